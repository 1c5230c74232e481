// `vigil ps`: every run of a directory, as it is.
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "environment.h"
#include "files.h"
#include "tools/command.h"
#include "tools/ring_trainer.h"

namespace vigil {
namespace {

using nlohmann::json;
using namespace test;

class Ps : public testing::Test {
 protected:
  CommandResult ps(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"ps", "--ring.directory", folder.path().string()});
    return run_vigil(more);
  }
  std::vector<json> objects() const {
    const CommandResult result = ps({"--json"});
    EXPECT_EQ(result.code, 0) << result.err;
    return json_lines(result.out);
  }
  TrainingSetup setup(const std::string& run, int rank = 0) const {
    TrainingSetup made;
    made.directory = folder.path();
    made.run = run;
    made.figures.rank = rank;
    made.figures.world_size = 2;
    return made;
  }

  TemporaryFolder folder;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST_F(Ps, TellsEachStateOfARunApart) {
  TrainingSetup first = setup("a starting");
  first.is_starting = true;
  RingTrainer starting(first), running(setup("b running")), hung(setup("c hung"));
  running.train(20);
  hung.train(5);
  hung.be_silent(100);
  trained(setup("d finished"), 5, TrainingEnd::finished);
  trained(setup("e failed"), 5, TrainingEnd::failed);
  trained(setup("f killed"), 5, TrainingEnd::killed);
  trained(setup("g faulty"), 5, TrainingEnd::segmentation_fault);
  folder.write("h.ring", "not a ring");
  const std::vector<json> runs = objects();
  ASSERT_EQ(runs.size(), 8u);
  const std::vector<std::pair<std::string, std::string>> expected{{"starting", ""},
                                                                  {"running", ""},
                                                                  {"hung", "no sign of life for 100 s"},
                                                                  {"finished", ""},
                                                                  {"failed", ""},
                                                                  {"crashed", "no word: killed (SIGKILL, out of memory) or _exit()"},
                                                                  {"crashed", "signal 11 (SIGSEGV)"},
                                                                  {"unreadable", "it is shorter than a header: 10 bytes"}};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    EXPECT_EQ(runs[i]["state"], expected[i].first) << runs[i];
    EXPECT_EQ(runs[i]["reason"], expected[i].second) << runs[i];
  }
  EXPECT_EQ(runs[1]["run"], "b running");
  EXPECT_EQ(runs[1]["step"], 20);
  EXPECT_EQ(runs[1]["pid"], running.pid());
}

TEST_F(Ps, ItsNumbersAreThoseThatWereWritten) {
  const TrainingSetup of = setup("mnist", 1);
  trained(of, 450, TrainingEnd::killed);
  const PublishedRun wrote = published(of, 450);
  const std::vector<json> runs = objects();
  ASSERT_EQ(runs.size(), 1u);
  const StepRecord& last = wrote.steps.back().record;
  EXPECT_EQ(runs[0]["step"], 450);
  EXPECT_EQ(runs[0]["rank"], 1);
  EXPECT_EQ(runs[0]["loss"].get<double>(), last.loss);
  EXPECT_EQ(runs[0]["gradient_norm"].get<double>(), last.gradient_norm);
  EXPECT_EQ(runs[0]["nonfinite"], true);
  EXPECT_EQ(runs[0]["nonfinite_steps"], 3);
  double seconds = 0;
  for (std::size_t i = 450 - 64; i < 450; ++i) seconds += static_cast<double>(wrote.steps[i].record.total_ns) * 1e-9 / 64;
  EXPECT_NEAR(runs[0]["mean_step_seconds"].get<double>(), seconds, 1e-9);
  ASSERT_FALSE(runs[0]["alerts"].empty());
  EXPECT_EQ(runs[0]["alerts"][0]["state"], "firing");
}

TEST_F(Ps, SortsByRunAndRankAndAlignsItsColumns) {
  RingTrainer b1(setup("beta", 1)), b0(setup("beta", 0)), a(setup("alpha"));
  for (RingTrainer* trainer : {&b1, &b0, &a}) trainer->train(3);
  const CommandResult result = ps();
  ASSERT_EQ(result.code, 0) << result.err;
  const std::vector<std::string> lines = lines_of(result.out);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0].find("RUN    RANK  ATTEMPT  STATE"), 0u) << lines[0];
  EXPECT_EQ(lines[1].find("alpha     0        0  running"), 0u) << lines[1];
  EXPECT_EQ(lines[2].find("beta      0        0  running"), 0u) << lines[2];
  EXPECT_EQ(lines[3].find("beta      1        0  running"), 0u) << lines[3];
  const std::size_t file = lines[0].find("FILE");
  for (std::size_t i = 1; i < 4; ++i) EXPECT_EQ(lines[i].find(folder.path().string()), file) << lines[i];
}

TEST_F(Ps, KeepsToTheWidthThatThereIs) {
  trained(setup("mnist"), 450, TrainingEnd::killed);
  folder.write("x.ring", "x");
  for (const std::size_t columns : {200u, 120u, 80u, 40u, 10u}) {
    const EnvironmentVariable width("COLUMNS", std::to_string(columns));
    const CommandResult result = ps();
    ASSERT_EQ(result.code, 0);
    for (const std::string& line : lines_of(result.out)) {
      std::size_t characters = 0;
      for (const char c : line) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
      EXPECT_LE(characters, columns) << line;
    }
    EXPECT_EQ(lines_of(result.out).size(), 3u);
    EXPECT_EQ(result.out.find("mnist") != std::string::npos, true);
    EXPECT_EQ(result.out.find("crashed") != std::string::npos, columns >= 40) << result.out;
  }
}

TEST_F(Ps, NamesThatATerminalWouldActOnAreShownHarmless) {
  const std::string hostile =
      "evil\x1b[31m\x1b]0;title\x07\xc2\x9b"
      "2J\xe2\x80\xae\xff\n";
  TrainingSetup of = setup(hostile);
  of.change = [&](Schema& schema) { schema.identity.host = schema.identity.model = hostile; };
  trained(of, 3, TrainingEnd::killed);
  folder.write("\x1b[2J.ring", "x");
  for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--json"}}) {
    const CommandResult result = ps(more);
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(lines_of(result.out).size(), more.empty() ? 3u : 2u) << result.out;
    for (const char* bad : {"\x1b", "\x07", "\xc2\x9b", "\xe2\x80\xae", "\xff"})
      EXPECT_EQ(result.out.find(bad), std::string::npos) << result.out;
  }
  EXPECT_EQ(objects()[0]["run"].get<std::string>().find("evil\x1b[31m\x1b]0;title\x07\xc2\x9b"
                                                        "2J\xe2\x80\xae"),
            0u)
      << "but JSON means them";
}

TEST_F(Ps, SaysWhatToDoWhenThereIsNothing) {
  CommandResult result = ps();
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find("ring.shared: true"), std::string::npos) << result.err;
  result = run_vigil({"ps", "--ring.directory", folder.file("nowhere")});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("nowhere: cannot be read"), std::string::npos) << result.err;
}

TEST_F(Ps, LooksIntoEveryDirectoryThatIsNamedAndElseIntoTheUsualOnes) {
  const TemporaryFolder other, runtime;
  trained(setup("here"), 1, TrainingEnd::finished);
  TrainingSetup there = setup("there");
  there.directory = other.path();
  trained(there, 1, TrainingEnd::finished);
  const CommandResult both =
      run_vigil({"ps", "--json", "--ring.directory", folder.path().string(), "--ring.directory", other.path().string()});
  EXPECT_EQ(json_lines(both.out).size(), 2u);
  const EnvironmentVariable usual("XDG_RUNTIME_DIR", runtime.path().string());
  std::filesystem::create_directory(runtime.path() / "vigil");
  there.directory = runtime.path() / "vigil";
  there.run = "in the usual place";
  const std::string path = trained(there, 1, TrainingEnd::finished);
  EXPECT_NE(run_vigil({"ps", "--json"}).out.find(path), std::string::npos);
}

}  // namespace
}  // namespace vigil
