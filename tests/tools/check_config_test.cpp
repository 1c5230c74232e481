// `vigil check-config`: what a user learns of a file, right or wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "files.h"
#include "tools/command.h"
#include "vigil/config/rule_table.h"

namespace vigil {
namespace {

using nlohmann::json;
using namespace test;

class CheckConfig : public testing::Test {
 protected:
  CommandResult check(const std::string& yaml, std::vector<std::string> more = {}) {
    path = folder.write("vigil.yml", yaml).string();
    more.insert(more.begin(), {"check-config", path});
    return run_vigil(more);
  }

  TemporaryFolder folder;
  std::string path;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The line of a rule, without what follows it.
std::string rule_line(const std::string& text, const std::string& name) {
  for (const std::string& line : lines_of(text)) {
    if (line.rfind(name + " ", 0) == 0) return line;
  }
  return {};
}

constexpr const char* kChanged = R"(
exporters:
  webhook: {url: "http://127.0.0.1:9999/hook"}
rules:
  threshold: ['vigil_gradient_l2_norm{layer="fc"} > 5 for 20 steps critical as big_fc do log webhook']
  exploding_gradient: {max_norm: 500, severity: critical, for_steps: 7, actions: [log, webhook]}
  throughput_drop: {keep_firing_steps: 1}
  overfit: {enabled: false}
  stalled: {enabled: false}
)";

TEST_F(CheckConfig, TheDefaultsNameEveryRuleOfTheCatalogueAndNothingDiffers) {
  const CommandResult result = run_vigil({"check-config", VIGIL_SOURCE_DIR "/config/default.yml"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "");
  for (const RuleRow& rule : kRules) {
    const std::string line = rule_line(result.out, std::string(rule.name));
    EXPECT_NE(line.find(kSeverityNames[static_cast<std::size_t>(rule.severity)]), std::string::npos) << rule.name;
    EXPECT_EQ(line.find('*'), std::string::npos) << line;
  }
  EXPECT_NE(result.out.find("Off: none\n"), std::string::npos);
}

TEST_F(CheckConfig, NoLineIsWiderThan140Columns) {
  for (const std::string& line : lines_of(check(kChanged).out)) EXPECT_LE(line.size(), 140u) << line;
}

TEST_F(CheckConfig, EachRuleIsShownAsItIsConfiguredAndWhatDiffersIsMarked) {
  const CommandResult result = check(kChanged);
  EXPECT_EQ(result.code, 0) << result.err;
  const std::string exploding = rule_line(result.out, "exploding_gradient");
  for (const char* part : {"critical *", "7 steps *", "50 steps ", "log, webhook *"})
    EXPECT_NE(exploding.find(part), std::string::npos) << exploding;
  EXPECT_NE(result.out.find("    max_norm = 500 * (default 1000): "), std::string::npos);
  EXPECT_NE(result.out.find("    ratio = 10: times the run's own level"), std::string::npos);
  const std::string throughput = rule_line(result.out, "throughput_drop");
  for (const char* part : {"100 steps, 10 s ", "1 step *", "log, callback"})
    EXPECT_NE(throughput.find(part), std::string::npos) << throughput;
  EXPECT_EQ(rule_line(result.out, "overfit"), "");
  EXPECT_NE(result.out.find("\nOff: overfit, stalled\n"), std::string::npos);
  EXPECT_NE(rule_line(result.out, "big_fc").find("critical"), std::string::npos);
  EXPECT_NE(result.out.find("    fires when vigil_gradient_l2_norm{layer=\"fc\"} is > 5\n"), std::string::npos);
  EXPECT_NE(result.out.find("webhook:      http://127.0.0.1:9999/hook (not signed, timeout 5 s)\n"), std::string::npos);
  EXPECT_NE(result.out.find("alertmanager: none\n"), std::string::npos);
}

TEST_F(CheckConfig, AReceiverThatNoRuleUsesIsNamedAsSuch) {
  const CommandResult result = check("exporters:\n  alertmanager: {url: \"http://127.0.0.1:9093\"}\n");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("alertmanager: http://127.0.0.1:9093 (sent again every 30 s, timeout 5 s; no rule uses it: add alertmanager to "
                            "rules.actions)\n"),
            std::string::npos)
      << result.out;
}

TEST_F(CheckConfig, AThresholdKeepsFiringForAsLongAsItSays) {
  const CommandResult result = check("rules:\n  threshold: ['vigil_loss > 3 as a', 'vigil_loss > 3 keep 5 steps as b do metric']\n");
  EXPECT_NE(rule_line(result.out, "a").find("20 steps"), std::string::npos) << result.out;
  EXPECT_NE(rule_line(result.out, "b").find("5 steps"), std::string::npos) << result.out;
  EXPECT_NE(rule_line(result.out, "b").find("metric"), std::string::npos) << result.out;
}

TEST_F(CheckConfig, AKeyThatCannotBeReadIsAnError) {
  const std::string webhook = "exporters:\n  webhook: {url: \"http://127.0.0.1:9999\", secret_file: " + folder.file("no such key") + "}\n";
  const CommandResult result = check(webhook + "rules:\n  actions: [webhook]\n");
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err.rfind(path + ":2:56: exporters.webhook.secret_file: cannot read a key from the first line of '" +
                                 folder.file("no such key") + "'; set ",
                             0),
            0u)
      << result.err;
  EXPECT_EQ(check(webhook).code, 0) << "which no rule needs";
}

TEST_F(CheckConfig, JsonSaysTheSame) {
  const CommandResult result = check(kChanged, {"--json"});
  EXPECT_EQ(result.code, 0);
  const json report = json::parse(result.out);
  EXPECT_EQ(report["valid"], true);
  ASSERT_EQ(report["rules"].size(), kRules.size() + 1);
  const auto rule = [&](const std::string& name) {
    const json& rules = report["rules"];
    return *std::find_if(rules.begin(), rules.end(), [&](const json& one) { return one["name"] == name; });
  };
  EXPECT_EQ(rule("exploding_gradient")["severity"], "critical");
  EXPECT_EQ(rule("exploding_gradient")["parameters"], json({{"max_norm", 500}, {"ratio", 10}}));
  EXPECT_EQ(rule("exploding_gradient")["differs"], json({"severity", "for", "actions", "max_norm"}));
  EXPECT_EQ(rule("stalled")["enabled"], false);
  EXPECT_EQ(rule("big_fc")["own"], true);
  EXPECT_EQ(rule("big_fc")["for_steps"], 20);
  EXPECT_EQ(report["deliveries"]["webhook"], "http://127.0.0.1:9999/hook");
}

TEST_F(CheckConfig, QuietIsSilentWhenAllIsWell) {
  const CommandResult result = check(kChanged, {"--quiet"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out + result.err, "");
}

TEST_F(CheckConfig, EveryProblemIsALineWithItsPlace) {
  const CommandResult result = check("rules:\n  loss_spike: {ratoi: 3}\nring:\n  step_records: none\n");
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.out, "");
  const std::vector<std::string> lines = lines_of(result.err);
  ASSERT_EQ(lines.size(), 2u) << result.err;
  EXPECT_EQ(lines[0].rfind(path + ":2:16: rules.loss_spike.ratoi: ", 0), 0u) << lines[0];
  EXPECT_NE(lines[0].find("did you mean 'ratio'?"), std::string::npos);
  EXPECT_EQ(lines[1].rfind(path + ":4:17: ring.step_records: expected ", 0), 0u) << lines[1];
}

TEST_F(CheckConfig, AllProblemsComeAtOnceWhoeverFindsThem) {
  const CommandResult result = check(
      "exporters: {alertmanager: {url: []}}\n"
      "rules:\n"
      "  actions: [alertmanager]\n"
      "  loss_spike: {actions: [log, webhook]}\n"
      "  throughput_drop: {actions: [webhook]}\n"
      "  threshold:\n"
      "    - vigil_nope > 5\n"
      "    - vigil_loss\n"
      "    - vigil_loss > 4 do log\n"
      "    - vigil_loss > 5\n"
      "    - vigil_loss > 6\n"
      "ring: {shared: 5}\n");
  EXPECT_EQ(result.code, 1);
  std::vector<std::string> expected{
      ":1:33: exporters.alertmanager.url: expected ",
      ":4:25: rules.loss_spike.actions: the rule loss_spike has the action webhook, but exporters.webhook.url is empty; set it, or leave ",
      ":5:30: rules.throughput_drop.actions: the rule throughput_drop has the action webhook, but ",
      ":7:7: rules.threshold[0]: expected a metric of a step, a tensor or an activation",
      ":8:7: rules.threshold[1]: expected one of > >= < <= == !=, got the end",
      ":10:7: rules.threshold[3]: another rule is called 'threshold_loss'; ",
      ":11:7: rules.threshold[4]: another rule is called 'threshold_loss'; ",
      ":12:16: ring.shared: expected true or false, got '5'"};
  const std::vector<std::string> lines = lines_of(result.err);
  ASSERT_EQ(lines.size(), expected.size()) << result.err;
  for (std::size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i].rfind(path + expected[i], 0), 0u) << lines[i];
}

TEST_F(CheckConfig, AProblemIsThereInJsonToo) {
  const json report = json::parse(check("ring:\n  step_records: none\n", {"--json"}).out);
  EXPECT_EQ(report["valid"], false);
  ASSERT_EQ(report["problems"].size(), 1u);
  EXPECT_EQ(report["problems"][0]["line"], 2);
  EXPECT_EQ(report["problems"][0]["key"], "ring.step_records");
}

TEST_F(CheckConfig, AnActionThatLeadsNowhereIsAnError) {
  const CommandResult result = check("rules:\n  actions: [alertmanager]\n", {"--quiet"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(lines_of(result.err).size(), 1u) << "once for all rules that have it from there";
  EXPECT_EQ(result.err.rfind(path + ":2:12: rules.actions: the rule ", 0), 0u) << result.err;
  EXPECT_NE(result.err.find("has the action alertmanager, but exporters.alertmanager.url is empty; set it"), std::string::npos)
      << result.err;
}

TEST_F(CheckConfig, SoIsAThresholdOverNoMetricAtAll) {
  const CommandResult result = check("rules:\n  threshold: ['vigil_los > 3']\n");
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("rules.threshold[0]: expected a metric"), std::string::npos) << result.err;
}

TEST_F(CheckConfig, AFileThatIsNotThereIsNamed) {
  const CommandResult result = run_vigil({"check-config", folder.file("missing.yml")});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find(folder.file("missing.yml")), std::string::npos);
}

}  // namespace
}  // namespace vigil
