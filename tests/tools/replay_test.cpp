// `vigil replay`: what the rules say of a file is what they said of the run.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "files.h"
#include "tools/command.h"
#include "tools/eventful_run.h"
#include "vigil/config/config_reader.h"

namespace vigil {
namespace {

using nlohmann::json;
using namespace test;

// What an alert says, apart from the times of the wall clock, which a line holds to a quarter of a microsecond.
std::vector<json> alerts_in(const std::string& text) {
  static const std::set<std::string> kOfTheHost{"stalled", "disk_full"};
  std::vector<json> alerts;
  for (json& line : json_lines(text)) {
    if (line["type"] != "alert" || kOfTheHost.count(line["alert"]) > 0) continue;
    for (const char* key : {"since_time", "fired_time", "time", "run", "rank", "attempt"}) line.erase(key);
    alerts.push_back(std::move(line));
  }
  return alerts;
}

std::set<std::string> rules_in(const std::vector<json>& alerts) {
  std::set<std::string> rules;
  for (const json& alert : alerts) rules.insert(alert["alert"]);
  return rules;
}

json summary_of(const CommandResult& result) { return json_lines(result.out).back(); }

class Replay : public testing::Test {
 protected:
  Config config() const {
    Config made;
    made.exporters.jsonl.path = path;
    return made;
  }
  void expect_the_same_alerts(const EventfulRun& run, const Config& with, std::vector<std::string> arguments) const {
    export_eventful_run(run, with);
    arguments.insert(arguments.begin(), {"replay", path, "--json"});
    const CommandResult result = run_vigil(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    const std::vector<json> live = alerts_in(read_text(path)), replayed = alerts_in(result.out);
    ASSERT_EQ(replayed.size(), live.size());
    for (std::size_t i = 0; i < live.size(); ++i) EXPECT_EQ(replayed[i], live[i]) << "alert " << i;
  }

  TemporaryFolder folder;
  std::string path = folder.file("run.jsonl");
};

TEST_F(Replay, TellsTheAlertsThatTheRunItselfTold) {
  for (std::uint32_t seed = 1; seed <= 3; ++seed) {
    EventfulRun run;
    run.seed = seed;
    std::filesystem::remove(path);
    expect_the_same_alerts(run, config(), {});
    const std::set<std::string> rules = rules_in(alerts_in(read_text(path)));
    for (const char* rule : {"nonfinite_gradient",
                             "nonfinite_loss",
                             "nonfinite_parameter",
                             "nonfinite_activation",
                             "vanishing_gradient",
                             "exploding_gradient",
                             "gradient_spike",
                             "loss_spike",
                             "overfit",
                             "update_spike",
                             "unchanged_tensor",
                             "zero_gradient",
                             "dead_units",
                             "saturated_activation",
                             "poor_initialisation",
                             "learning_rate_jump",
                             "step_time_outlier",
                             "throughput_drop",
                             "memory_growth",
                             "number_format_overflow",
                             "frozen_parameter"}) {
      EXPECT_EQ(rules.count(rule), 1u) << rule << " did not fire: nothing was compared";
    }
  }
}

TEST_F(Replay, SoItDoesWithOtherRules) {
  const std::string yaml = R"(
rules:
  validation_scalar: accuracy
  max_instances: 2
  loss_spike: {ratio: 20}
  norm_drift: {ratio: 10}
  dead_units: {enabled: false}
  threshold:
    - 'vigil_user_scalar{name="validation/loss"} > 1 for 10 steps info as high'
    - 'vigil_gradient_std{layer="layer2"} < 1e-6 critical'
    - 'vigil_activation_dead_ratio > 0.5'
    - 'vigil_parameter_update_norm > 1 as large_update'
    - 'vigil_device_memory_bytes{kind="allocated"} > 1100000000 for 5s as full'
    - 'vigil_learning_rate{group="1"} == 0.01 for 3 steps as usual_rate'
    - 'vigil_nonfinite_steps_total >= 3 as three'
    - 'vigil_examples_total > 10000 as many'
)";
  const std::string rules = folder.write("rules.yml", yaml).string();
  Config with = parse_config(yaml);
  with.exporters.jsonl = config().exporters.jsonl;
  expect_the_same_alerts({}, with, {"--rules", rules});
  const std::set<std::string> fired = rules_in(alerts_in(read_text(path)));
  for (const char* rule : {"norm_drift", "high", "threshold_gradient_std", "threshold_activation_dead_ratio", "large_update", "full",
                           "usual_rate", "three", "many"})
    EXPECT_EQ(fired.count(rule), 1u) << rule;
  EXPECT_EQ(fired.count("dead_units"), 0u);
}

TEST_F(Replay, AHealthyRunIsSilent) {
  EventfulRun run;
  run.is_healthy = true;
  export_eventful_run(run, config());
  const CommandResult result = run_vigil({"replay", path, "--fail-on", "warning"});
  EXPECT_EQ(result.code, 0) << result.out;
  EXPECT_EQ(result.err, "");
  EXPECT_NE(result.out.find("No rule fired in 1500 steps and 301 samples of 1 run.\n"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("Not judged, as a file holds no readings of the host: stalled, disk_full"), std::string::npos);
}

TEST_F(Replay, EachAlertIsALineAndEachRuleARowOfTheSummary) {
  export_eventful_run({}, config());
  const CommandResult result = run_vigil({"replay", path});
  std::istringstream stream(result.out);
  std::vector<std::string> spikes, rows;
  for (std::string line; std::getline(stream, line);) {
    if (line.find(" loss_spike ") != std::string::npos) spikes.push_back(line);
    if (line.rfind("loss_spike ", 0) == 0) rows.push_back(line);
  }
  ASSERT_EQ(spikes.size(), 2u) << result.out;
  EXPECT_NE(spikes[0].find("step 450  firing    warning   loss_spike"), std::string::npos) << spikes[0];
  EXPECT_NE(spikes[0].find("the loss spiked to "), std::string::npos);
  EXPECT_NE(spikes[1].find("step 470  resolved  warning   loss_spike"), std::string::npos) << spikes[1];
  ASSERT_EQ(rows.size(), 1u);
  std::istringstream row(rows[0]);
  std::string name, severity, fired, first;
  row >> name >> severity >> fired >> first;
  EXPECT_EQ(severity + " " + fired + " " + first, "warning 1 450");
}

TEST_F(Replay, FailOnAsksForASeverity) {
  const std::string rules = folder
                                .write("rules.yml",
                                       "rules:\n  nonfinite_gradient: {enabled: false}\n  nonfinite_loss: {enabled: false}\n"
                                       "  nonfinite_parameter: {enabled: false}\n  nonfinite_activation: {enabled: false}\n")
                                .string();
  export_eventful_run({}, config());
  EXPECT_EQ(run_vigil({"replay", path, "--fail-on", "critical"}).code, 1);
  EXPECT_EQ(run_vigil({"replay", path, "--fail-on", "warning"}).code, 1);
  EXPECT_EQ(run_vigil({"replay", path, "--rules", rules, "--fail-on", "critical"}).code, 0);
  EXPECT_EQ(run_vigil({"replay", path, "--rules", rules, "--fail-on", "warning"}).code, 1);
  EXPECT_EQ(run_vigil({"replay", path}).code, 0);
}

TEST_F(Replay, WhatWasRotatedAwayComesFirstHoweverItIsNamed) {
  export_eventful_run({}, config());
  const std::vector<json> whole = alerts_in(run_vigil({"replay", path, "--json"}).out);
  const auto size = std::filesystem::file_size(path);
  std::filesystem::remove(path);
  Config rotating = config();
  rotating.exporters.jsonl.max_bytes = static_cast<std::int64_t>(size * 6 / 10);
  export_eventful_run({}, rotating);
  ASSERT_TRUE(std::filesystem::exists(path + ".1"));
  const CommandResult result = run_vigil({"replay", path, path + ".1", "--json"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(alerts_in(result.out), whole);
  EXPECT_EQ(summary_of(result)["runs"], 1);
  EXPECT_EQ(summary_of(result)["steps"], 1500);
}

TEST_F(Replay, WithoutTheOlderFileTheRunBeginsLateAndThatIsSaid) {
  Config rotating = config();
  export_eventful_run({}, rotating);
  rotating.exporters.jsonl.max_bytes = static_cast<std::int64_t>(std::filesystem::file_size(path) * 6 / 10);
  std::filesystem::remove(path);
  export_eventful_run({}, rotating);
  const CommandResult result = run_vigil({"replay", path, "--json"});
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.err.find(path + ".1 holds what came before " + path), std::string::npos) << result.err;
  EXPECT_NE(result.err.find(": the run begins at step "), std::string::npos) << result.err;
  // What was not finite long before is not news.
  const std::set<std::string> rules = rules_in(alerts_in(result.out));
  EXPECT_EQ(rules.count("nonfinite_gradient") + rules.count("nonfinite_loss"), 0u);
  EXPECT_EQ(rules.count("memory_growth"), 1u);
}

TEST_F(Replay, EachAttemptIsARunOfItsOwn) {
  EventfulRun run;
  run.steps = 460;
  export_eventful_run(run, config());
  export_eventful_run(run, config());  // the same identity: a new attempt has another start time, which here it has not
  std::string text = read_text(path);
  const auto second = text.rfind("{\"type\":\"run\"");
  const std::string start = "\"start_time\":1700000000.25";
  text.replace(text.find(start, second), start.size(), "\"start_time\":1700009999.5");
  folder.write("run.jsonl", text);
  const CommandResult result = run_vigil({"replay", path, "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  const json summary = summary_of(result), &rules = summary["rules"];
  EXPECT_EQ(summary["runs"], 2);
  EXPECT_EQ(summary["steps"], 920);
  const auto spike = std::find_if(rules.begin(), rules.end(), [](const json& rule) { return rule["alert"] == "loss_spike"; });
  ASSERT_NE(spike, rules.end());
  EXPECT_EQ((*spike)["fired"], 2);
  EXPECT_EQ((*spike)["first_step"], 450);
}

TEST_F(Replay, ALineThatACrashCutOffIsNoted) {
  EventfulRun run;
  run.steps = 20;
  run.is_healthy = true;
  export_eventful_run(run, config());
  const std::string text = read_text(path);
  const std::string cut = text.substr(0, text.size() - 40);
  folder.write("cut.jsonl", cut);
  CommandResult result = run_vigil({"replay", folder.file("cut.jsonl"), "--json"});
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.err.find("the line is cut off, as by a crash; it is passed over"), std::string::npos) << result.err;
  EXPECT_EQ(summary_of(result)["steps"], 19);
  // The run that is begun after it closes the line.
  std::string other = text;
  const std::string start = "\"start_time\":1700000000.25";
  other.replace(other.find(start), start.size(), "\"start_time\":1700009999.5");
  folder.write("cut.jsonl", cut + "\n" + other);
  result = run_vigil({"replay", folder.file("cut.jsonl"), "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(summary_of(result)["steps"], 39);
  EXPECT_EQ(summary_of(result)["runs"], 2);
}

TEST_F(Replay, ABrokenLineIsAnErrorWithItsPlace) {
  EventfulRun run;
  run.steps = 20;
  export_eventful_run(run, config());
  std::string text = read_text(path);
  const auto begin = text.find("{\"type\":\"step\",\"step\":7,");
  ASSERT_NE(begin, std::string::npos);
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(begin), '\n');
  std::string broken = text;
  broken.erase(begin + 30, 5);
  broken.insert(begin + 30, "\"\"");
  CommandResult result = run_vigil({"replay", folder.write("broken.jsonl", broken).string()});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("broken.jsonl:" + std::to_string(line) + ": expected one JSON object a line"), std::string::npos) << result.err;
  const std::string loss = "\"loss\":";
  const auto value = text.find(loss, begin) + loss.size();
  text.replace(value, text.find(',', value) - value, "true");
  result = run_vigil({"replay", folder.write("broken.jsonl", text).string()});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("broken.jsonl:" + std::to_string(line) + ": \"loss\": expected a number, got true"), std::string::npos)
      << result.err;
}

TEST_F(Replay, LostLinesAreNoted) {
  EventfulRun run;
  run.steps = 5;
  export_eventful_run(run, config());
  std::ofstream(path, std::ios::app) << "{\"type\":\"lost\",\"lines\":12}\n{\"type\":\"of a later vigil\"}\n";
  const CommandResult result = run_vigil({"replay", path});
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.err.find("the run could not write 12 lines; they are missing here"), std::string::npos) << result.err;
}

TEST_F(Replay, WrongRulesAreAnErrorWithTheirPlace) {
  EventfulRun run;
  run.steps = 5;
  export_eventful_run(run, config());
  const std::string rules = folder.write("rules.yml", "rules:\n  loss_spike: {ratio: many}\n").string();
  const CommandResult result = run_vigil({"replay", path, "--rules", rules});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err.rfind(rules + ":2:23: rules.loss_spike.ratio: ", 0), 0u) << result.err;
}

}  // namespace
}  // namespace vigil
