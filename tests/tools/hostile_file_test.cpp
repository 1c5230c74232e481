// `vigil replay` over files that nobody has written, or somebody with ill will: exit code 1 and a sentence, never a crash.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "files.h"
#include "tools/command.h"
#include "tools/eventful_run.h"

namespace vigil {
namespace {

using namespace test;

class HostileFile : public testing::Test {
 protected:
  CommandResult replay(const std::string& text) { return run_vigil({"replay", folder.write("hostile.jsonl", text).string()}); }
  void expect_error(const std::string& text, const std::string& says) {
    const CommandResult result = replay(text);
    EXPECT_EQ(result.code, 1) << says;
    EXPECT_NE(result.err.find(says), std::string::npos) << result.err.substr(0, 1000);
    EXPECT_LT(result.err.size(), 2000u);
  }

  // A run of a few steps.
  std::string small_run() {
    EventfulRun run;
    run.steps = 3;
    Config config;
    config.exporters.jsonl.path = folder.file("small.jsonl");
    export_eventful_run(run, config);
    return read_text(config.exporters.jsonl.path);
  }
  std::string run_line() {
    const std::string text = small_run();
    return text.substr(0, text.find('\n') + 1);
  }

  TemporaryFolder folder;
};

TEST_F(HostileFile, NoFileAndNoRun) {
  expect_error("", "expected the lines of a run");
  expect_error("\n\n", "expected the lines of a run");
  const CommandResult missing = run_vigil({"replay", folder.file("missing")});
  EXPECT_EQ(missing.code, 1);
  EXPECT_NE(missing.err.find(folder.file("missing") + ": cannot be opened: No such file"), std::string::npos) << missing.err;
  const CommandResult directory = run_vigil({"replay", folder.path().string()});
  EXPECT_EQ(directory.code, 1);
  EXPECT_NE(directory.err.find("is a directory"), std::string::npos) << directory.err;
}

// Every byte is gone through in tests/exporters; here it is the whole program.
TEST_F(HostileFile, ARunThatIsCutOffAnywhere) {
  const std::string text = small_run();
  const std::size_t run_bytes = text.find('\n');
  for (std::size_t bytes = 1; bytes < text.size(); bytes += 211) {
    const CommandResult result = replay(text.substr(0, bytes));
    EXPECT_EQ(result.code, bytes < run_bytes ? 1 : 0) << bytes << ": " << result.err;
    EXPECT_NE(result.err.find(bytes < run_bytes ? "expected the lines of a run" : ""), std::string::npos) << result.err;
  }
}

TEST_F(HostileFile, RandomBytes) {
  std::mt19937 random(7);
  for (int i = 0; i < 10; ++i) {
    std::string text(1000, '\0');
    for (char& c : text) c = static_cast<char>(random());
    expect_error(text, "hostile.jsonl:1: ");
    expect_error(run_line() + text, "hostile.jsonl:2: ");
  }
}

TEST_F(HostileFile, LongLines) {
  expect_error(run_line() + std::string(10'000'000, 'x') + "\n", "expected one JSON object a line");
  expect_error(std::string(40'000'000, '{'), "expected a line of at most 16 MiB");
  expect_error(run_line() + "{\"type\":\"step\",\"a\":[" + std::string(10'000'000, ','), "values, got more");
}

TEST_F(HostileFile, DeepNesting) {
  expect_error(run_line() + std::string(5'000'000, '[') + "\n", "levels of nesting, got more");
  expect_error("{\"type\":" + std::string(1'000'000, '{'), "levels of nesting, got more");
}

TEST_F(HostileFile, WrongTypesAndValuesAreNamed) {
  const std::string run = run_line();
  struct Line {
    const char *text, *says;
  };
  for (const Line& line : {
           Line{"[]", "expected an object"},
           Line{"{}", "expected \"type\""},
           Line{"{\"type\":3}", "\"type\": expected a text, got 3"},
           Line{"{\"type\":\"step\"}", "expected \"step\""},
           Line{"{\"type\":\"step\",\"step\":-1}", "\"step\": expected a whole number"},
           Line{"{\"type\":\"step\",\"step\":0}", "\"step\": expected one after 0, got 0"},
           Line{"{\"type\":\"step\",\"step\":1,\"time\":1e300}", "\"time\": expected seconds since the epoch"},
           Line{"{\"type\":\"step\",\"step\":1,\"time\":\"NaN\"}", "\"time\": expected seconds since the epoch"},
           Line{"{\"type\":\"step\",\"step\":1,\"time\":1,\"total_seconds\":-1}", "\"total_seconds\": expected a duration"},
           Line{"{\"type\":\"frame\",\"step\":1,\"time\":1,\"tensors\":[]}", "\"tensors\": expected 11 as in the run's line, got 0"},
           Line{"{\"type\":\"nonfinite\",\"step\":1,\"time\":1,\"found_by\":\"luck\"}",
                "\"found_by\": expected one of bracket, replay, trace, got 'luck'"},
           Line{"{\"type\":\"scalars\",\"step\":9,\"scalars\":{}}", "\"step\": expected the latest step"},
           Line{"{\"type\":\"lost\",\"lines\":{}}", "\"lines\": expected a whole number"},
           Line{"{\"type\":\"run\",\"run\":\"x\",\"rank\":0,\"world_size\":1,\"start_time\":1}", "expected \"tensors\""},
       }) {
    expect_error(run + line.text + "\n", std::string("hostile.jsonl:2: ") + line.says);
  }
  expect_error("{\"type\":\"step\",\"step\":1}\n", "expected a line of the type \"run\" first, got 'step'");
}

TEST_F(HostileFile, SizesThatNoModelHasAreRefused) {
  std::string run = run_line();
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = run;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  expect_error(replaced("\"learning_rates\":2", "\"learning_rates\":4000000000"),
               "\"learning_rates\": expected a whole number from 0 to 4096");
  expect_error(replaced("\"max_activations\":4", "\"max_activations\":99999999999"),
               "\"max_activations\": expected a whole number from 0 to 65536");
  expect_error(replaced("\"elements\":128", "\"elements\":18446744073709551615"), "\"elements\": expected a whole number");
}

TEST_F(HostileFile, WhatATerminalWouldActOnIsNotPrinted) {
  std::string text = small_run();
  const std::string name = "eventful \\\"run\\\"";
  text.replace(text.find(name), name.size(), "\\u001b]0;owned\\u0007");
  const CommandResult result = replay(text);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out.find('\x1b'), std::string::npos);
  EXPECT_NE(result.out.find("run '?]0;owned?'"), std::string::npos) << result.out;
}

}  // namespace
}  // namespace vigil
