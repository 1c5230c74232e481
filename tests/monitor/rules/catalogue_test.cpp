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

// What a rule is judged of has a name of its own, or the series and the end of one would be those of another.
std::multiset<std::string> told(const RuleRun& run) {
  std::multiset<std::string> subjects;
  for (const Alert& alert : run.told) {
    std::string subject(alert.state == AlertState::resolved ? "over " : "");
    for (const std::string_view part : {alert.parameter.view(), alert.layer.view(), alert.subject.view()})
      subject += std::string(part) + "|";
    subjects.insert(subject);
  }
  return subjects;
}

TEST(Subjects, GroupsOfLearningRatesBeginAndEndByThemselves) {
  RuleRun run;
  run.on(Rule::learning_rate_nonfinite);
  static_cast<void>(run.engine());
  run.scalars[0] = run.scalars[1] = kNan;
  run.step();
  run.scalars[1] = 0.01;
  run.step();
  EXPECT_EQ(told(run), (std::multiset<std::string>{"||group 0|", "||group 1|", "over ||group 1|"}));
  ASSERT_EQ(run.engine().book().firing().size(), 1u);
  EXPECT_EQ(run.engine().book().firing()[0].subject.view(), "group 0");
}

TEST(Subjects, ALayerInAPhaseOtherThanTrainingIsNamedWithIt) {
  RuleRun run;
  run.layers = {{"fc1", "train"}, {"fc1", "validation"}, {"fc2", "test"}};
  run.on(Rule::dead_units, {0.5, 1});
  run.setup.thresholds.push_back({});
  run.setup.thresholds[0].metric = "vigil_activation_dead_ratio";
  for (ActivationRow& row : run.activations) row.dead_ratio = 0.9;
  run.sample();
  EXPECT_EQ(told(run),
            (std::multiset<std::string>{"|fc1||", "|fc1||", "|fc1|validation|", "|fc1|validation|", "|fc2|test|", "|fc2|test|"}));
}

TEST(Subjects, AParameterIsNotItsGradient) {
  RuleRun run;
  run.on(Rule::number_format_overflow, {0.5});
  for (const RuleRun::Row row : {RuleRun::fc2_weight, RuleRun::fc2_gradient}) {
    run.schema.rows[row].dtype = DType::float16;
    run.values[row][0] = 5e4;
  }
  run.sample();
  EXPECT_EQ(told(run), (std::multiset<std::string>{"fc2.weight|fc2||", "fc2.weight|fc2|gradient|"}));
}

TEST(Subjects, MemoryOfTheProcessIsNotThatOfTheDevice) {
  RuleRun run;
  run.on(Rule::memory_growth, {0.01, 1});
  run.record.flags |= StepRecord::has_device_memory;
  for (std::uint64_t i = 1; i <= 2000; ++i) {
    run.record.device_allocated = 1'000'000 * i;
    run.record.totals.samples = i;  // device memory is read at samples
    run.host.anonymous_bytes = 1e6 * static_cast<double>(i);
    run.step();
    run.read_host(1);
  }
  EXPECT_EQ(told(run), (std::multiset<std::string>{"||device|", "||process|"}));
}

TEST(Subjects, SeriesOfAThresholdAreNamedByTheirLabel) {
  RuleRun run;
  for (const char* metric : {"vigil_learning_rate", "vigil_device_memory_bytes", "vigil_user_scalar", "vigil_loss"}) {
    run.setup.thresholds.push_back({});
    run.setup.thresholds.back().metric = metric;
  }
  run.setup.thresholds[2].labels = {{"name", "score"}};
  run.record.flags |= StepRecord::has_device_memory;
  run.record.device_allocated = run.record.device_reserved = run.record.device_peak = 1;
  run.log("score", 1);
  run.step();
  EXPECT_EQ(told(run), (std::multiset<std::string>{"||group=\"0\"|", "||group=\"1\"|", "||kind=\"allocated\"|", "||kind=\"reserved\"|",
                                                   "||kind=\"peak\"|", "||name=\"score\"|", "|||"}));
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

TEST(DivergedLoss, IsOverWhenItHasFallenInAContinuedRunToo) {
  RuleRun run;
  run.schema.is_continued = true;
  run.on(Rule::loss_not_decreasing, {200, 0.02}).keep_firing_steps = 50;
  run.record.loss = 3;
  run.step();
  run.record.loss = 31;
  run.steps(20);
  ASSERT_EQ(run.told.size(), 1u);
  EXPECT_EQ(run.told[0].state, AlertState::firing);
  run.record.loss = 3;
  run.steps(150);
  ASSERT_EQ(run.told.size(), 2u);
  EXPECT_EQ(run.told[1].state, AlertState::resolved);
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
