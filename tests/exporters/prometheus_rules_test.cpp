// deploy/prometheus/catalogue.yml, and what of the settings it follows. promtool checks the file in tests/rules/.
// `VIGIL_REFRESH=1 ctest -R PrometheusRules` writes it anew.
#include "vigil/exporters/prometheus_rules.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <regex>
#include <set>
#include <string>

#include "files.h"
#include "vigil/exporters/alert_text.h"
#include "vigil/exporters/prometheus_rule_table.h"

namespace vigil {
namespace {

using test::read_text;

const std::string kFolder = VIGIL_PROMETHEUS_DIR;

std::size_t index_of(std::string_view rule) {
  for (std::size_t i = 0; i < kRules.size(); ++i) {
    if (kRules[i].name == rule) return i;
  }
  ADD_FAILURE() << "no rule " << rule;
  return 0;
}

// The text from `- alert: <name>` to the next entry; empty when there is none.
std::string alert_of(const std::string& yaml, const std::string& name) {
  const std::size_t begin = yaml.find("- alert: " + name + "\n");
  if (begin == std::string::npos) return {};
  const std::size_t end = std::min(yaml.find("\n      - ", begin), yaml.find("\n\n", begin));
  return yaml.substr(begin, end == std::string::npos ? end : end - begin);
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(PrometheusRules, CatalogueFileIsThatOfTheDefaults) {
  const std::string yaml = prometheus_rules_yaml({}), path = kFolder + "/catalogue.yml";
  if (std::getenv("VIGIL_REFRESH") != nullptr) std::ofstream(path) << yaml;
  EXPECT_EQ(yaml, read_text(path)) << path << ": run with VIGIL_REFRESH=1 and look at the difference";
}

TEST(PrometheusRules, EveryRuleIsAnAlertHereOrOneOfTheOtherFileOrTakenFromTheEngine) {
  const std::string yaml = prometheus_rules_yaml({}), others = read_text(kFolder + "/alerts.yml");
  ASSERT_FALSE(others.empty());
  std::set<std::string> seen;
  for (std::size_t i = 0; i < kRules.size(); ++i) {
    const PrometheusRuleRow& row = kPrometheusRules[i];
    const std::string rule(kRules[i].name), name = alertmanager_name(rule);
    SCOPED_TRACE(rule);
    ASSERT_EQ(row.rule, rule);
    EXPECT_TRUE(seen.insert(rule).second);
    const std::string severity = "severity: " + std::string(kSeverityNames[static_cast<std::size_t>(kRules[i].severity)]) + "\n";
    const std::string alert = alert_of(yaml, name);
    const bool is_elsewhere = has(yaml, "# - " + rule + " is ");
    const bool is_of_the_engine = has(alert, "vigil_alert_active{alert=\"" + rule + "\"}");
    if (row.coverage == PrometheusCoverage::other_alert) {
      EXPECT_TRUE(alert.empty());
      EXPECT_TRUE(is_elsewhere);
      EXPECT_TRUE(has(alert_of(others, std::string(row.expression)), severity)) << row.expression;
      continue;
    }
    EXPECT_FALSE(is_elsewhere);
    EXPECT_EQ(is_of_the_engine, row.coverage == PrometheusCoverage::engine);
    EXPECT_FALSE(is_of_the_engine && row.note.empty()) << "say why the metrics do not tell it";
    EXPECT_TRUE(has(alert, severity)) << alert;
    EXPECT_TRUE(has(alert, std::string(kRules[i].advice))) << alert;
    EXPECT_TRUE(has(alert, "{{ $labels.run }}")) << alert;
    EXPECT_TRUE(has(alert, "runbook_url: docs/runbooks/" + name + ".md\n")) << alert;
    const bool is_of_run = row.subject == PrometheusSubject::run;
    EXPECT_EQ(has(alert, "?var-run={{ urlquery $labels.run }}&var-rank={{ urlquery $labels.rank }}"), !is_of_run) << alert;
  }
}

// The thresholds of alerts.yml are written there a second time: as long as the defaults are the same, nobody is told two numbers.
TEST(PrometheusRules, AlertsOfTheOtherFileHaveTheDefaultsOfTheCatalogue) {
  const std::string others = read_text(kFolder + "/alerts.yml");
  const auto has_number = [&](const std::string& alert, const std::string& number) {
    return std::regex_search(alert_of(others, alert), std::regex("[^0-9.]" + number + "[^0-9.]"));
  };
  for (const RuleParameter& parameter : kRules[index_of("exploding_gradient")].parameters) {
    if (parameter.name.empty()) continue;
    EXPECT_TRUE(has_number("VigilExplodingGradient", std::to_string(static_cast<long>(parameter.value)))) << parameter.name;
  }
  EXPECT_TRUE(has_number("VigilStalled", std::to_string(static_cast<long>(kRules[index_of("stalled")].parameters[0].value))));
}

TEST(PrometheusRules, ParametersOfEveryExpressionFollowTheSettings) {
  // What a time or the lack of a metric stands for.
  const std::set<std::string> unseen{"dead_units.observations", "saturated_activation.observations", "step_time_outlier.deviations"};
  for (std::size_t i = 0; i < kRules.size(); ++i) {
    if (kPrometheusRules[i].coverage != PrometheusCoverage::expression) continue;
    for (std::size_t j = 0; j < kMaxRuleParameters && !kRules[i].parameters[j].name.empty(); ++j) {
      RulesConfig rules;
      rules.catalogue[i].parameters[j] = 0.015625;
      const std::string key = std::string(kRules[i].name) + "." + std::string(kRules[i].parameters[j].name);
      EXPECT_EQ(has(prometheus_rules_yaml(rules), "0.015625"), unseen.count(key) == 0) << key;
    }
  }
}

TEST(PrometheusRules, SeverityAndTheLongerTimeFollowTheSettings) {
  RulesConfig rules;
  RuleConfig& spike = rules.catalogue[index_of("loss_spike")];
  spike.severity = Severity::critical;
  spike.for_ms = 1500;
  const std::string alert = alert_of(prometheus_rules_yaml(rules), "VigilLossSpike");
  EXPECT_TRUE(has(alert, "severity: critical\n")) << alert;
  EXPECT_TRUE(has(alert, "for: 1500ms\n")) << alert;
  rules.catalogue[index_of("throughput_drop")].for_ms = 1000;
  EXPECT_TRUE(has(alert_of(prometheus_rules_yaml(rules), "VigilThroughputDrop"), "for: 120s\n"));
}

TEST(PrometheusRules, RuleThatIsOffIsLeftOutWithWhatOnlyItNeeds) {
  RulesConfig rules;
  rules.catalogue[index_of("norm_drift")].enabled = false;
  const std::string yaml = prometheus_rules_yaml(rules);
  EXPECT_TRUE(alert_of(yaml, "VigilNormDrift").empty());
  EXPECT_TRUE(has(yaml, "# - norm_drift is off.\n"));
  EXPECT_FALSE(has(yaml, "parameter:vigil_parameter_l2_norm:first"));
  EXPECT_TRUE(has(yaml, "record: rank:vigil_start_time_seconds:age\n"));

  for (RuleConfig& rule : rules.catalogue) rule.enabled = false;
  const std::string nothing = prometheus_rules_yaml(rules);
  EXPECT_TRUE(has(nothing, "\ngroups: []\n")) << nothing;
  EXPECT_FALSE(has(nothing, "record:"));
}

TEST(PrometheusRules, NameOfTheValidationScalarIsQuoted) {
  RulesConfig rules;
  rules.validation_scalar = "a\"b\\c\nd%on%";
  EXPECT_TRUE(has(prometheus_rules_yaml(rules), R"(vigil_user_scalar{name="a\"b\\c\x0ad%on%"})"));
}

TEST(PrometheusRules, RecordsComeBeforeWhatNeedsThem) {
  const std::string yaml = prometheus_rules_yaml({});
  const std::regex record("- record: ([a-z0-9_:]+)\n");
  std::size_t records = 0;
  for (std::sregex_iterator match(yaml.begin(), yaml.end(), record), end; match != end; ++match, ++records) {
    const std::string name = (*match)[1];
    EXPECT_LT(match->position(), yaml.find("- alert: ")) << name;
    // Not at once: what reads its own past, or that of a later one, says so by a range.
    const std::size_t first = yaml.find(name);
    EXPECT_TRUE(first >= static_cast<std::size_t>(match->position()) || yaml.substr(first + name.size(), 4) == "[1m]") << name;
  }
  EXPECT_EQ(records, kPrometheusRecords.size());
}

}  // namespace
}  // namespace vigil
