// What a configuration's rules become, and which configurations are refused.
#include "vigil/exporters/alert_rules.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "exporters/test_run.h"

namespace vigil {
namespace {

RuleConfig& rule(Config& config, Rule which) { return config.rules.catalogue[static_cast<std::size_t>(which)]; }

std::string refusal(const Config& config) {
  try {
    alert_rules(config);
    make_alert_engine(test::make_schema(), config.rules);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(AlertRules, TheDefaultsAreTheCatalogueWithLogAndCallback) {
  const std::vector<AlertRule> rules = alert_rules(Config{});
  ASSERT_EQ(rules.size(), kRuleCount);
  for (std::size_t i = 0; i < kRuleCount; ++i) {
    EXPECT_EQ(rules[i].name, kRules[i].name);
    EXPECT_EQ(rules[i].severity, kRules[i].severity);
    EXPECT_FALSE(rules[i].advice.empty());
    EXPECT_TRUE(rules[i].has(AlertAction::log));
    EXPECT_TRUE(rules[i].has(AlertAction::callback));
    EXPECT_FALSE(rules[i].has(AlertAction::stop));
  }
}

TEST(AlertRules, ThresholdsFollowTheCatalogueInTheirOrder) {
  Config config;
  config.rules.threshold = {"vigil_loss > 4 for 3 steps keep 7 steps critical as high_loss do stop log",
                            "vigil_learning_rate < 1e-9 for 2s"};
  const std::vector<AlertRule> rules = alert_rules(config);
  ASSERT_EQ(rules.size(), kRuleCount + 2);
  EXPECT_EQ(rules[kRuleCount].name, "high_loss");
  EXPECT_EQ(rules[kRuleCount].severity, Severity::critical);
  EXPECT_TRUE(rules[kRuleCount].has(AlertAction::stop));
  EXPECT_FALSE(rules[kRuleCount].has(AlertAction::callback));
  EXPECT_EQ(rules[kRuleCount + 1].name, "threshold_learning_rate");
  EXPECT_TRUE(rules[kRuleCount + 1].has(AlertAction::callback)) << "those of rules.actions";
  const AlertEngineSetup setup = engine_setup(config.rules);
  ASSERT_EQ(setup.thresholds.size(), 2u);
  EXPECT_EQ(setup.thresholds[0].metric, "vigil_loss");
  EXPECT_EQ(setup.thresholds[0].comparison, Comparison::above);
  EXPECT_EQ(setup.thresholds[0].limit, 4);
  EXPECT_EQ(setup.thresholds[0].rule.for_steps, 3u);
  EXPECT_EQ(setup.thresholds[0].rule.keep_firing_steps, 7u);
  EXPECT_EQ(setup.thresholds[1].rule.keep_firing_steps, 20u) << "unless it says another number";
  EXPECT_EQ(setup.thresholds[1].comparison, Comparison::below);
  EXPECT_EQ(setup.thresholds[1].rule.for_ns, 2'000'000'000);
}

TEST(AlertRules, SettingsReachTheEngine) {
  Config config;
  RuleConfig& spike = rule(config, Rule::loss_spike);
  spike.enabled = false;
  spike.for_steps = 7;
  spike.for_ms = 8;
  spike.keep_firing_steps = 9;
  spike.parameters = {10, 11, 12};
  spike.severity = Severity::info;
  spike.actions = {"stop", "checkpoint"};
  config.rules.max_instances = 3;
  config.rules.validation_scalar = "eval";
  const AlertEngineSetup setup = engine_setup(config.rules);
  const RuleSetup& made = setup.rules[static_cast<std::size_t>(Rule::loss_spike)];
  EXPECT_FALSE(made.enabled);
  EXPECT_EQ(made.for_steps, 7u);
  EXPECT_EQ(made.for_ns, 8'000'000);
  EXPECT_EQ(made.keep_firing_steps, 9u);
  EXPECT_EQ(made.parameters, (std::array<double, 3>{10, 11, 12}));
  EXPECT_EQ(setup.max_instances, 3u);
  EXPECT_EQ(setup.validation_scalar, "eval");
  const AlertRule described = alert_rules(config)[static_cast<std::size_t>(Rule::loss_spike)];
  EXPECT_FALSE(described.enabled);
  EXPECT_EQ(described.severity, Severity::info);
  EXPECT_TRUE(described.has(AlertAction::checkpoint));
  EXPECT_FALSE(described.has(AlertAction::log));
}

TEST(AlertRules, TwoOfOneNameAreRefused) {
  Config config;
  config.rules.threshold = {"vigil_loss > 4", "vigil_loss > 5"};
  EXPECT_EQ(refusal(config), "rules.threshold[1]: another rule is called 'threshold_loss'; give it a name of its own with `as NAME`");
  config.rules.threshold = {"vigil_loss > 4 as loss_spike"};
  EXPECT_EQ(refusal(config), "rules.threshold[0]: another rule is called 'loss_spike'; give it a name of its own with `as NAME`");
}

TEST(AlertRules, WhatIsNoThresholdIsRefused) {
  Config config;
  config.rules.threshold = {"vigil_loss > 4", "vigil_loss above 4"};
  EXPECT_EQ(refusal(config).rfind("rules.threshold[1]: expected ", 0), 0u) << refusal(config);
  config.rules.threshold = {"vigil_losses > 4"};
  EXPECT_EQ(refusal(config).rfind("rules.threshold[0]: expected a metric of a step, a tensor or an activation (docs/metrics.md), got "
                                  "'vigil_losses', which no record holds; there are vigil_steps_total, ",
                                  0),
            0u)
      << refusal(config);
}

TEST(AlertRules, AnActionWithNowhereToGoIsRefused) {
  Config config;
  rule(config, Rule::disk_full).actions = {"webhook"};
  EXPECT_EQ(refusal(config),
            "rules.disk_full.actions: the rule disk_full has the action webhook, but exporters.webhook.url is empty; set it, or leave the "
            "action out");
  config.exporters.webhook.url = "http://127.0.0.1:1";
  EXPECT_EQ(refusal(config), "accepted");
  config.rules.threshold = {"vigil_loss > 4 do alertmanager"};
  EXPECT_EQ(refusal(config),
            "rules.threshold[0]: the rule threshold_loss has the action alertmanager, but exporters.alertmanager.url is empty; set it, "
            "or leave the action out");
  config.exporters.alertmanager.url = "http://127.0.0.1:1";
  EXPECT_EQ(refusal(config), "accepted");
  config.rules.actions = {"dump"};
  config.exporters.report.enabled = false;
  EXPECT_EQ(refusal(config),
            "rules.actions: the rule nonfinite_gradient has the action dump, but exporters.report.enabled is false; set it to "
            "true, or leave the action out");
}

TEST(AlertRules, ARuleThatIsOffMayHaveAnyAction) {
  Config config;
  config.exporters.report.enabled = false;
  rule(config, Rule::disk_full).actions = {"webhook", "alertmanager", "dump"};
  rule(config, Rule::disk_full).enabled = false;
  EXPECT_EQ(refusal(config), "accepted");
}

}  // namespace
}  // namespace vigil
