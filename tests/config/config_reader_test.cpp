#include "vigil/config/config_reader.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <string>

#include "config/config_fields.h"
#include "environment.h"
#include "files.h"

namespace vigil {
namespace {

using test::EnvironmentVariable;
using test::TemporaryFolder;

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

bool is_default(const Config& config) { return fields_of(config) == fields_of(Config{}); }

template <class Load>
std::string message_of(Load load) {
  try {
    load();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(ParseConfig, TakesAnEmptyTextForTheDefaults) {
  for (const char* text : {"", "\n", "# nothing but a comment\n", "---\n", "--- # a comment\n", "---\n...\n", "{}\n", "\xef\xbb\xbf"}) {
    EXPECT_TRUE(is_default(parse_config(text))) << text;
  }
}

TEST(ParseConfig, ChangesOnlyWhatTheTextSays) {
  const Config config = parse_config("exporters:\n  prometheus:\n    port: 0\n");
  EXPECT_EQ(config.exporters.prometheus.port, 0);
  Config expected;
  expected.exporters.prometheus.port = 0;
  EXPECT_TRUE(fields_of(config) == fields_of(expected));
}

TEST(ParseConfig, ReadsEveryStyleOfYamlCollection) {
  for (const char* text :
       {"sampling: {include: [a, \"*.b\"]}", "sampling:\n  include:\n    - a\n    - '*.b'\n", "? sampling\n: include:\n  - a\n  - '*.b'\n",
        "\"sampling\":\r\n    'include': [\r\n      a, # one\r\n      \"*.b\",\r\n    ]\r\n"}) {
    EXPECT_EQ(parse_config(text).sampling.include, (std::vector<std::string>{"a", "*.b"})) << text;
  }
}

TEST(ParseConfig, ReadsSizesWithAndWithoutSuffix) {
  const auto size = [](const std::string& text) { return parse_config("ring: {frame_bytes: " + text + "}").ring.frame_bytes; };
  EXPECT_EQ(size("65536"), 65536);
  EXPECT_EQ(size("64KiB"), 65536);
  EXPECT_EQ(size("3MiB"), 3 * kMiB);
  EXPECT_EQ(size("16GiB"), 16 * 1024 * kMiB);
  EXPECT_EQ(parse_config("exporters: {jsonl: {max_bytes: 1TiB}}").exporters.jsonl.max_bytes, 1024 * 1024 * kMiB);
}

TEST(ParseConfig, ReadsDurationsWithAndWithoutSuffix) {
  const auto duration = [](const std::string& text) {
    return parse_config("exporters: {interval_ms: " + text + "}").exporters.interval_ms;
  };
  EXPECT_EQ(duration("250"), 250);
  EXPECT_EQ(duration("10ms"), 10);
  EXPECT_EQ(duration("1s"), 1000);
  EXPECT_EQ(duration("60s"), 60000);
}

TEST(ParseConfig, ReadsTheEndsOfARange) {
  EXPECT_EQ(parse_config("sampling: {every_steps: 1}").sampling.every_steps, 1);
  EXPECT_EQ(parse_config("sampling: {every_steps: 1000000}").sampling.every_steps, 1'000'000);
  EXPECT_EQ(parse_config("exporters: {prometheus: {port: 65535}}").exporters.prometheus.port, 65535);
}

TEST(ParseConfig, TakesATextAsItIsWritten) {
  const auto name = [](const std::string& text) { return parse_config("run:\n  name: " + text + "\n").run.name; };
  EXPECT_EQ(name("42"), "42");
  EXPECT_EQ(name("1.0"), "1.0");
  EXPECT_EQ(name("true"), "true");
  EXPECT_EQ(name("'null'"), "null");
  EXPECT_EQ(name("a b # comment"), "a b");
  EXPECT_EQ(name("'it''s'"), "it's");
  EXPECT_EQ(name("\"\\u00e9\\\"\""), "é\"");
  EXPECT_EQ(name("\"\""), "");
  EXPECT_EQ(name(std::string(128, 'n')).size(), 128u);
}

TEST(ParseConfig, ReadsEveryNamedValue) {
  EXPECT_EQ(parse_config("guard: {on_nonfinite: warn}").guard.on_nonfinite, OnNonfinite::warn);
  EXPECT_EQ(parse_config("guard: {on_nonfinite: skip_step}").guard.on_nonfinite, OnNonfinite::skip_step);
  EXPECT_EQ(parse_config("guard: {on_nonfinite: 'stop'}").guard.on_nonfinite, OnNonfinite::stop);
  const auto ranks = [](const std::string& text) {
    return parse_config("exporters: {prometheus: {per_parameter: " + text + "}}").exporters.prometheus.per_parameter;
  };
  EXPECT_EQ(ranks("rank0"), PerParameter::rank0);
  EXPECT_EQ(ranks("all"), PerParameter::all);
  EXPECT_EQ(ranks("none"), PerParameter::none);
  EXPECT_EQ(parse_config("log: {level: debug}").log.level, LogLevel::debug);
  EXPECT_EQ(parse_config("log: {level: info}").log.level, LogLevel::info);
  EXPECT_EQ(parse_config("log: {level: warning}").log.level, LogLevel::warning);
  EXPECT_EQ(parse_config("log: {level: error}").log.level, LogLevel::error);
  EXPECT_EQ(parse_config("log: {level: off}").log.level, LogLevel::off);
}

TEST(ParseConfig, TakesNumericAddressesOfBothFamilies) {
  for (const std::string address : {"0.0.0.0", "192.168.1.20", "::", "::1", "fe80::1:2", "::ffff:10.0.0.1"}) {
    EXPECT_EQ(parse_config("exporters: {prometheus: {address: \"" + address + "\"}}").exporters.prometheus.address, address);
  }
}

TEST(ParseConfig, TakesAnEmptyPathWhileTheFileIsDisabled) {
  EXPECT_EQ(parse_config("exporters: {jsonl: {path: ''}}").exporters.jsonl.path, "");
  EXPECT_EQ(parse_config("exporters: {jsonl: {path: '', enabled: false}}").exporters.jsonl.path, "");
}

TEST(ParseConfig, ReportsEveryProblemInTheOrderOfTheFile) {
  const std::string text =
      "sampling:\n"
      "  every_step: 5\n"
      "  every_steps: 0\n"
      "exporters:\n"
      "  jsonl: {path: '', enabled: true, max_bytes: 1}\n"
      "log: loud\n"
      "---\n";
  try {
    parse_config(text, "bad.yml");
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    ASSERT_EQ(error.problems().size(), 6u);
    std::string lines;
    for (const ConfigProblem& problem : error.problems()) {
      EXPECT_EQ(problem.file, "bad.yml");
      lines += std::to_string(problem.line) + ":" + std::to_string(problem.column) + " " + problem.key + "\n";
      EXPECT_NE(std::string(error.what()).find(problem.message()), std::string::npos);
    }
    EXPECT_EQ(
        lines,
        "2:3 sampling.every_step\n3:16 sampling.every_steps\n5:17 exporters.jsonl.path\n5:47 exporters.jsonl.max_bytes\n6:6 log\n7:1 \n");
  }
}

TEST(ParseConfig, ListsTheFirstHundredProblemsOnly) {
  std::string text;
  for (int i = 0; i < 4000; ++i) text += "unknown" + std::to_string(i) + ": 1\n";
  try {
    parse_config(text, "bad.yml");
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    ASSERT_EQ(error.problems().size(), 101u);
    EXPECT_EQ(error.problems()[99].line, 100);
    EXPECT_EQ(error.problems()[100].message(), "bad.yml: expected fewer problems, got more than the 100 above");
  }
}

TEST(ParseConfig, RefusesTooManyNodesAndTooManyBytes) {
  std::string list = "sampling: {include: [";
  for (int i = 0; i < 10000; ++i) list += "a,";
  EXPECT_EQ(message_of([&] { parse_config(list + "]}", "v.yml"); }), "v.yml:1:20012: expected at most 10000 keys and values, got more");
  EXPECT_EQ(message_of([] { parse_config(std::string(kMiB + 1, '\n'), "v.yml"); }), "v.yml: expected at most 1 MiB, got more");
  EXPECT_TRUE(is_default(parse_config(std::string(kMiB, '\n'))));
}

TEST(ParseConfig, RefusesNestingOfAnyDepth) {
  const std::vector<std::string> steps = {"[", "{", "{a: ", "- ", "? ", "[[{"};
  for (const std::string& step : steps) {
    std::string text;
    while (text.size() < 200'000) text += step;
    EXPECT_NE(message_of([&] { parse_config(text); }).find("expected at most 16 levels, got more"), std::string::npos) << step;
  }
}

TEST(ToYaml, IsReadBackToTheSameConfig) {
  for (const Config& config : {Config{}, changed_config()}) {
    const std::string yaml = to_yaml(config);
    EXPECT_TRUE(fields_of(parse_config(yaml)) == fields_of(config)) << yaml;
    EXPECT_EQ(to_yaml(parse_config(yaml)), yaml);
  }
}

TEST(ToYaml, WritesSizesAndDurationsInTheirLargestExactUnit) {
  Config config;
  config.ring.frame_bytes = 3 * kMiB;
  config.exporters.jsonl.max_bytes = 65537;
  config.exporters.interval_ms = 2000;
  config.sampling.include = {"a\"b", "c\\d"};
  const std::string yaml = to_yaml(config);
  EXPECT_NE(yaml.find("\nring:\n  step_records: 4096\n  frame_bytes: 3MiB\n"), std::string::npos) << yaml;
  EXPECT_NE(yaml.find("\n  interval_ms: 2s\n"), std::string::npos) << yaml;
  EXPECT_NE(yaml.find("\n    max_bytes: 65537\n"), std::string::npos) << yaml;
  EXPECT_NE(yaml.find("\n  include: [\"a\\\"b\", \"c\\\\d\"]\n  exclude: []\n"), std::string::npos) << yaml;
}

TEST(ToYaml, ShowsControlCharactersOfAnInvalidConfig) {
  Config config;
  config.run.name = "a\nb";
  EXPECT_EQ(to_yaml(config).substr(0, 24), "run:\n  name: \"a\\x0Ab\"\n  ");
}

TEST(Validate, AcceptsTheDefaultsAndEveryParsedConfig) {
  EXPECT_NO_THROW(validate(Config{}));
  EXPECT_NO_THROW(validate(changed_config()));
}

TEST(Validate, NamesEverySettingThatNoFileCouldSet) {
  Config config;
  config.run.name = "a\nb";
  config.run.model = "caf\xe9";
  config.sampling.every_steps = 0;
  config.sampling.include = {"*", ""};
  config.sampling.exclude.assign(1001, "a");
  config.guard.every_steps = -1;
  config.guard.on_nonfinite = static_cast<OnNonfinite>(9);
  config.ring.step_records = 15;
  config.ring.frame_bytes = 1024;
  config.exporters.interval_ms = std::numeric_limits<std::int64_t>::max();
  config.exporters.prometheus = {true, "localhost", 65536, 0, -5, static_cast<PerParameter>(3)};
  config.exporters.jsonl = {true, "", std::numeric_limits<std::int64_t>::min()};
  config.log.level = static_cast<LogLevel>(5);
  EXPECT_EQ(message_of([&] { validate(config); }),
            "run.name: expected printable UTF-8 text, got the control character U+000A\n"
            "run.model: expected printable UTF-8 text, got the byte 0xE9, which is not UTF-8\n"
            "sampling.every_steps: expected an integer from 1 to 1000000, got 0\n"
            "sampling.include[1]: expected a pattern of 1 to 1024 bytes, got \"\"\n"
            "sampling.exclude: expected a list of at most 1000 patterns, got 1001\n"
            "guard.every_steps: expected an integer from 0 to 1000000, got -1\n"
            "guard.on_nonfinite: expected warn, skip_step, stop or rollback, got 9\n"
            "ring.step_records: expected an integer from 16 to 16777216, got 15\n"
            "ring.frame_bytes: expected a size from 64KiB to 16GiB (in bytes, KiB, MiB, GiB or TiB), got 1KiB\n"
            "exporters.interval_ms: expected a duration from 10ms to 60s (in ms or s), got 9223372036854775807ms\n"
            "exporters.prometheus.address: expected a numeric IPv4 or IPv6 address (host names are not resolved), got \"localhost\"\n"
            "exporters.prometheus.port: expected an integer from 0 to 65535, got 65536\n"
            "exporters.prometheus.threads: expected an integer from 1 to 64, got 0\n"
            "exporters.prometheus.max_series: expected an integer from 0 to 10000000, got -5\n"
            "exporters.prometheus.per_parameter: expected rank0, all or none, got 3\n"
            "exporters.jsonl.path: expected a path because exporters.jsonl.enabled is true, got \"\"\n"
            "exporters.jsonl.max_bytes: expected a size from 64KiB to 1TiB (in bytes, KiB, MiB, GiB or TiB), got -8388608TiB\n"
            "log.level: expected debug, info, warning, error or off, got 5");
}

TEST(LoadConfig, ReadsAFileAndNamesItInProblems) {
  const TemporaryFolder folder;
  EXPECT_EQ(load_config(folder.write("good.yml", "ring: {step_records: 64}\n")).ring.step_records, 64);
  EXPECT_TRUE(is_default(load_config(folder.write("empty.yml", ""))));
  const auto bad = folder.write("bad.yml", "ring:\n  step_records: 1\n");
  EXPECT_EQ(message_of([&] { load_config(bad); }),
            bad.string() + ":2:17: ring.step_records: expected an integer from 16 to 16777216, got '1'");
}

TEST(LoadConfig, FollowsASymbolicLink) {
  const TemporaryFolder folder;
  folder.write("real.yml", "ring: {step_records: 64}\n");
  std::filesystem::create_symlink("real.yml", folder.path() / "link.yml");
  EXPECT_EQ(load_config(folder.path() / "link.yml").ring.step_records, 64);
}

TEST(LoadConfig, RefusesWhatIsNoReadableFile) {
  const TemporaryFolder folder;
  const auto expect = [](const std::filesystem::path& path, const std::string& got) {
    EXPECT_EQ(message_of([&] { load_config(path); }), path.string() + ": " + got);
  };
  expect(folder.path() / "missing.yml", "expected a readable file, got the error: No such file or directory");
  expect(folder.path(), "expected a readable file, got a directory");
  const auto pipe = folder.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  expect(pipe, "expected a readable file, got a pipe, socket or device");
  expect("/dev/zero", "expected a readable file, got a pipe, socket or device");
  EXPECT_EQ(message_of([] { load_config(""); }), "expected a readable file, got the error: No such file or directory");
}

TEST(LoadConfig, RefusesAFileWithoutPermission) {
  const TemporaryFolder folder;
  const auto path = folder.write("secret.yml", "");
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  // Root may read everything, so a test run by root reads as nobody.
  const uid_t user = geteuid();
  if (user == 0) {
    ASSERT_EQ(seteuid(65534), 0);
  }
  const std::string message = message_of([&] { load_config(path); });
  if (user == 0) {
    ASSERT_EQ(seteuid(0), 0);
  }
  EXPECT_EQ(message, path.string() + ": expected a readable file, got the error: Permission denied");
}

TEST(LoadConfig, ReadsAtMostOneMebibyte) {
  const TemporaryFolder folder;
  EXPECT_TRUE(is_default(load_config(folder.write("full.yml", std::string(kMiB, '#')))));
  const auto path = folder.write("large.yml", std::string(kMiB + 1, '#'));
  EXPECT_EQ(message_of([&] { load_config(path); }), path.string() + ": expected at most 1 MiB, got more");
}

TEST(LoadConfigFromEnvironment, GivesTheDefaultsWithoutTheVariable) {
  unsetenv("VIGIL_CONFIG");
  EXPECT_TRUE(is_default(load_config_from_environment()));
  const EnvironmentVariable empty("VIGIL_CONFIG", "");
  EXPECT_TRUE(is_default(load_config_from_environment()));
}

TEST(LoadConfigFromEnvironment, ReadsTheFileThatTheVariableNames) {
  const TemporaryFolder folder;
  const EnvironmentVariable variable("VIGIL_CONFIG", folder.write("good.yml", "ring: {step_records: 64}\n").string());
  EXPECT_EQ(load_config_from_environment().ring.step_records, 64);
}

TEST(LoadConfigFromEnvironment, SaysWhereAnUnusablePathCameFrom) {
  const EnvironmentVariable variable("VIGIL_CONFIG", "/nowhere/vigil.yml");
  EXPECT_EQ(message_of([] { load_config_from_environment(); }),
            "/nowhere/vigil.yml: expected a readable file, got the error: No such file or directory "
            "(named by the environment variable VIGIL_CONFIG)");
}

TEST(ConfigProblem, LeavesEmptyPartsOutOfItsMessage) {
  EXPECT_EQ((ConfigProblem{"f.yml", 3, 5, "a.b", "expected x, got y"}).message(), "f.yml:3:5: a.b: expected x, got y");
  EXPECT_EQ((ConfigProblem{"f.yml", 0, 0, "", "expected x, got y"}).message(), "f.yml: expected x, got y");
  EXPECT_EQ((ConfigProblem{"", 0, 0, "a.b", "expected x, got y"}).message(), "a.b: expected x, got y");
}

}  // namespace
}  // namespace vigil
