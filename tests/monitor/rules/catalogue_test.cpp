// Each rule of the catalogue fires in one run and is silent in another that is just within its limits.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "monitor/rules/rule_run.h"

namespace vigil {
namespace {

using namespace test;

std::vector<RuleCase> all_cases() {
  std::vector<RuleCase> all = step_rule_cases();
  for (RuleCase& one : tensor_rule_cases()) all.push_back(std::move(one));
  return all;
}

std::string_view name_of(Rule rule) { return kRuleNames[static_cast<std::size_t>(rule)]; }

class Catalogue : public testing::TestWithParam<RuleCase> {};

std::string name_of_case(const testing::TestParamInfo<RuleCase>& info) {
  return std::string(name_of(info.param.rule)) + "_" + info.param.name;
}

TEST_P(Catalogue, FiresOrIsSilent) {
  const RuleCase& wanted = GetParam();
  RuleRun run;
  run.on(wanted.rule, wanted.parameters).keep_firing_steps = 1'000'000;
  wanted.drive(run);
  if (wanted.sentence.empty()) {
    EXPECT_TRUE(run.told.empty()) << run.told.front().sentence.view();
    return;
  }
  ASSERT_EQ(run.told.size(), 1u);
  const Alert& alert = run.told.front();
  EXPECT_EQ(alert.state, AlertState::firing);
  EXPECT_EQ(alert.rule, static_cast<std::size_t>(wanted.rule));
  EXPECT_NE(alert.sentence.view().find(wanted.sentence), std::string_view::npos) << alert.sentence.view();
  EXPECT_EQ(alert.parameter.view(), wanted.parameter);
  EXPECT_EQ(alert.layer.view(), wanted.layer);
  EXPECT_EQ(run.engine().book().fired()[alert.rule], 1u);
}

INSTANTIATE_TEST_SUITE_P(Rules, Catalogue, testing::ValuesIn(all_cases()), name_of_case);

TEST(CatalogueCases, ThereIsAFiringAndASilentOneForEachRuleOfOneRank) {
  std::map<std::string_view, std::set<bool>> seen;
  for (const RuleCase& one : all_cases()) seen[name_of(one.rule)].insert(one.sentence.empty());
  for (const std::string_view rule : kRuleNames) {
    if (rule == "rank_divergence" || rule == "straggler_rank") continue;  // of several ranks
    EXPECT_EQ(seen[rule].size(), 2u) << rule;
  }
}

TEST(Hysteresis, AValueAroundTheLimitMakesOneAlert) {
  RuleRun run;
  run.on(Rule::exploding_gradient, {1000, 1e300});
  run.record.gradient_norm = 1001;
  run.steps(50);  // that it may be large for at first
  EXPECT_TRUE(run.told.empty());
  for (const double norm : {1001.0, 999.0, 1001.0, 801.0}) {
    run.record.gradient_norm = norm;
    run.step();
  }
  EXPECT_EQ(run.told.size(), 1u);
  run.record.gradient_norm = 799;
  run.step();
  ASSERT_EQ(run.told.size(), 2u);
  EXPECT_EQ(run.told[1].state, AlertState::resolved);
}

TEST(Hysteresis, ADiskIsQuietOnlyWithAFifthMoreRoom) {
  RuleRun run;
  run.on(Rule::disk_full, {1000});
  for (const double bytes : {999.0, 1001.0, 999.0, 1199.0}) {
    run.host.disk_free_bytes = bytes;
    run.read_host(1);
  }
  EXPECT_EQ(run.told.size(), 1u);
  run.host.disk_free_bytes = 1200;
  run.read_host(1);
  EXPECT_EQ(run.told.size(), 2u);
}

TEST(LearningRates, EachOfSixtyFourGroupsIsJudged) {
  RuleRun run;
  run.schema.learning_rates = StepRules::kMaxGroups;
  run.setup.max_instances = 64;
  run.on(Rule::learning_rate_nonfinite);
  run.on(Rule::learning_rate_jump, {10});
  static_cast<void>(run.engine());
  run.steps(10);  // in which rates may jump
  for (std::size_t group = 0; group < StepRules::kMaxGroups; ++group) run.scalars[group] = group % 2 == 0 ? kNan : 1;
  run.step();
  EXPECT_EQ(run.told.size(), StepRules::kMaxGroups);
  EXPECT_NE(run.told.back().sentence.view().find("group 63 jumped to 1"), std::string_view::npos) << run.told.back().sentence.view();
}

TEST(LearningRates, OfMoreGroupsTheLastOnesCountAsLearning) {
  RuleRun run;
  run.schema.learning_rates = StepRules::kMaxGroups + 2;
  run.on(Rule::learning_rate_zero);
  run.on(Rule::learning_rate_nonfinite);
  static_cast<void>(run.engine());
  for (std::size_t group = 0; group < StepRules::kMaxGroups; ++group) run.scalars[group] = 0;
  run.scalars.back() = 0.1;
  run.step();
  EXPECT_TRUE(run.told.empty()) << run.told.front().sentence.view();
}

TEST(Validation, RecordsThatAreTheSameStepAgainBringTheScalarsOnly) {
  RuleRun run;
  run.on(Rule::overtraining, {0.001, 2});
  run.on(Rule::loss_spike, {8, 2});
  run.steps(64);
  run.record.loss = 100;
  run.record.flags |= StepRecord::again;
  for (const double loss : {1.0, 1.1, 1.2}) {
    run.log("validation/loss", loss);
    --run.record.step;
    run.step();
  }
  ASSERT_EQ(run.told.size(), 1u);
  EXPECT_EQ(run.told[0].rule, static_cast<std::size_t>(Rule::overtraining));
}

// With the widest limits that a rule takes, nothing but what is not finite is to be seen in a run of nothing else.
TEST(NanRun, OnlyTheRulesForWhatIsNotFiniteFire) {
  RuleRun run;
  for (const RuleCase& one : all_cases()) run.on(one.rule, one.parameters);
  static_cast<void>(run.engine());
  run.scalars[0] = 0.01;
  run.record.loss = run.record.gradient_norm = kNan;
  run.record.flags |= StepRecord::nonfinite;
  for (auto& row : run.values) {
    for (double& value : row) value = kNan;
  }
  for (TensorRow& row : run.rows) row.update_norm = row.distance = row.cosine = kNan;
  for (ActivationRow& row : run.activations) row.moments = moments_of({kNan, kInf});
  run.log("validation/loss", kNan);
  for (int i = 0; i < 300; ++i) {
    run.nonfinite(NonfiniteIn::loss).nan += 1;
    run.nonfinite(NonfiniteIn::gradient).nan += 22;
    run.nonfinite(NonfiniteIn::parameter).nan += 26;
    if (i % 3 == 0) run.sample();
    run.step();
    run.read_host(0.01);
  }
  std::set<std::string_view> fired;
  for (const Alert& alert : run.told) fired.insert(kRuleNames[alert.rule]);
  EXPECT_EQ(fired, (std::set<std::string_view>{"nonfinite_loss", "nonfinite_gradient", "nonfinite_parameter", "nonfinite_activation"}));
}

}  // namespace
}  // namespace vigil
