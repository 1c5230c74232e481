// A user's own rules: on each kind of metric, with each comparison, and what is refused.
#include "vigil/monitor/rules/threshold_rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "monitor/rules/rule_run.h"
#include "vigil/monitor/metric_table.h"

namespace vigil {
namespace {

using namespace test;
using Labels = std::vector<std::pair<std::string, std::string>>;

void add(RuleRun& run, const std::string& metric, Comparison comparison, double limit, Labels labels = {}) {
  AlertEngineSetup::Threshold& made = run.setup.thresholds.emplace_back();
  made.metric = metric;
  made.labels = std::move(labels);
  made.comparison = comparison;
  made.limit = limit;
}

// A run in which every figure has a value of its own.
void drive(RuleRun& run) {
  StepRecord& record = run.record;
  record.flags |= StepRecord::has_parameter_norm | StepRecord::has_clip_ratio | StepRecord::has_device_memory;
  record.loss = 0.75;
  record.gradient_norm = 1.5;
  record.parameter_norm = 3.25;
  record.clip_ratio = 0.5;
  record.multiply_accumulates = 1000;
  record.device_allocated = 101;
  record.device_reserved = 102;
  record.device_peak = 103;
  record.device_retries = 104;
  record.device_out_of_memory = 105;
  RunTotals& totals = record.totals;
  totals.nonfinite_values = {{{1, 2}, {3, 4}, {5, 6}, {7, 8}}};
  totals.nonfinite_steps = 21;
  totals.skipped_steps = 22;
  totals.rollbacks = 23;
  totals.micro_batches = 24;
  totals.examples = 25;
  totals.layers_dropped = 26;
  totals.samples = 27;
  totals.overhead_ns = 2'500'000'000;
  totals.loop_overhead_ns = 1;
  totals.loop_ns = 8;
  totals.hook_errors = {31, 32};
  run.drifts = false;
  run.values[RuleRun::fc2_weight] = {3, -4, 0, 0, kNan, kInf, -kInf, 1};
  run.values[RuleRun::fc2_gradient] = {0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, -0.5};
  run.values[RuleRun::buffer] = {9, 9, 9, 9};
  run.rows[RuleRun::fc2_weight].update_norm = 0.125;
  run.rows[RuleRun::fc1_weight].distance = 0.625;
  run.rows[RuleRun::fc2_gradient].cosine = -0.375;
  run.activations[RuleRun::fc1_relu].dead_ratio = 0.1875;
  run.activations[RuleRun::fc2].saturated_ratio = 0.3125;
  run.activations[RuleRun::fc2].moments = moments_of({kNan, 12, 14, 0});
  static_cast<void>(run.engine());
  run.scalars[0] = 0.01;
  run.scalars[1] = 0.02;
  run.log("validation/accuracy", 0.875);
  run.log("other", 17);
  run.sample();
}

struct MetricValue {
  const char* name;
  std::string metric;
  Labels labels;
  double value;
  std::string parameter = {}, layer = {};
};

std::vector<MetricValue> metric_values() {
  const Labels weight{{"parameter", "fc2.weight"}}, fc2{{"layer", "fc2"}}, buffer{{"parameter", "norm.running_mean"}};
  return {{"Steps", "vigil_steps_total", {}, 1},
          {"Samples", "vigil_samples_total", {}, 27},
          {"Loss", "vigil_loss", {}, 0.75},
          {"GradientNorm", "vigil_gradient_norm", {}, 1.5},
          {"ParameterNorm", "vigil_parameter_norm", {}, 3.25},
          {"ClipRatio", "vigil_clip_ratio", {}, 0.5},
          {"MicroBatches", "vigil_micro_batches_total", {}, 24},
          {"Examples", "vigil_examples_total", {}, 25},
          {"Flops", "vigil_step_flops", {}, 2000},
          {"NonfiniteInLoss", "vigil_nonfinite_values_total", {{"tensor", "loss"}}, 3},
          {"NonfiniteInActivations", "vigil_nonfinite_values_total", {{"tensor", "activation"}}, 15},
          {"NonfiniteSteps", "vigil_nonfinite_steps_total", {}, 21},
          {"SkippedSteps", "vigil_skipped_steps_total", {}, 22},
          {"Rollbacks", "vigil_rollbacks_total", {}, 23},
          {"DeviceAllocated", "vigil_device_memory_bytes", {{"kind", "allocated"}}, 101},
          {"DeviceReserved", "vigil_device_memory_bytes", {{"kind", "reserved"}}, 102},
          {"DevicePeak", "vigil_device_memory_bytes", {{"kind", "peak"}}, 103},
          {"Retries", std::string(metric_row(Metric::allocation_retries).name), {}, 104},
          {"OutOfMemory", std::string(metric_row(Metric::out_of_memory).name), {}, 105},
          {"Overhead", "vigil_overhead_seconds_total", {}, 2.5},
          {"OverheadRatio", "vigil_overhead_ratio", {}, 0.125},
          {"LayersDropped", std::string(metric_row(Metric::activation_layers_dropped).name), {}, 26},
          {"HookErrors", "vigil_hook_errors_total", {{"hook", "guard"}}, 32},
          {"LearningRate", "vigil_learning_rate", {{"group", "1"}}, 0.02},
          {"UserScalar", "vigil_user_scalar", {{"name", "validation/accuracy"}}, 0.875},
          {"ParameterMax", "vigil_parameter_max", weight, 3, "fc2.weight", "fc2"},
          {"ParameterL1", "vigil_parameter_l1_norm", weight, 8, "fc2.weight", "fc2"},
          {"ParameterZeros", "vigil_parameter_zero_ratio", weight, 0.25, "fc2.weight", "fc2"},
          {"ParameterNan", "vigil_parameter_nan_values", weight, 1, "fc2.weight", "fc2"},
          {"ParameterInf", "vigil_parameter_inf_values", weight, 2, "fc2.weight", "fc2"},
          {"GradientMean", "vigil_gradient_mean", weight, 0.375, "fc2.weight", "fc2"},
          {"BufferMean", "vigil_buffer_mean", buffer, 9, "norm.running_mean", "norm"},
          {"UpdateNorm", "vigil_parameter_update_norm", weight, 0.125, "fc2.weight", "fc2"},
          {"Distance", "vigil_parameter_distance", {}, 0.625, "fc1.weight", "fc1"},
          {"Cosine", "vigil_gradient_cosine", {}, -0.375, "fc2.weight", "fc2"},
          {"ActivationMax", "vigil_activation_max", fc2, 14, "", "fc2"},
          {"ActivationNan", "vigil_activation_nan_values", {{"layer", "fc2"}, {"phase", "train"}}, 1, "", "fc2"},
          {"DeadRatio", "vigil_activation_dead_ratio", {}, 0.1875, "", "fc1/relu"},
          {"SaturatedRatio", "vigil_activation_saturated_ratio", {}, 0.3125, "", "fc2"}};
}

std::string name_of_row(const testing::TestParamInfo<MetricValue>& row) { return row.param.name; }

class ThresholdOn : public testing::TestWithParam<MetricValue> {};

TEST_P(ThresholdOn, ItsValueAndNoOther) {
  const MetricValue& wanted = GetParam();
  RuleRun run;
  add(run, wanted.metric, Comparison::equal, wanted.value, wanted.labels);
  add(run, wanted.metric, Comparison::at_least, wanted.value, wanted.labels);
  add(run, wanted.metric, Comparison::at_most, wanted.value, wanted.labels);
  add(run, wanted.metric, Comparison::above, wanted.value, wanted.labels);
  add(run, wanted.metric, Comparison::below, wanted.value, wanted.labels);
  add(run, wanted.metric, Comparison::unequal, wanted.value, wanted.labels);
  drive(run);
  ASSERT_EQ(run.told.size(), 3u);
  std::set<std::size_t> rules;
  for (const Alert& alert : run.told) {
    rules.insert(alert.rule - kRuleCount);
    EXPECT_EQ(alert.value, wanted.value);
    EXPECT_EQ(alert.parameter.view(), wanted.parameter);
    EXPECT_EQ(alert.layer.view(), wanted.layer);
    EXPECT_NE(alert.sentence.view().find(wanted.metric + " is "), std::string_view::npos) << alert.sentence.view();
  }
  EXPECT_EQ(rules, (std::set<std::size_t>{0, 1, 2}));
}

INSTANTIATE_TEST_SUITE_P(Metrics, ThresholdOn, testing::ValuesIn(metric_values()), name_of_row);

// What a reader of docs/metrics.md may take for a rule, but for these, which are of no record.
TEST(Thresholds, EveryMetricOfARecordMayBeUsed) {
  const std::set<Metric> of_no_record{Metric::build_info,       Metric::run_info,         Metric::up,
                                      Metric::start_time,       Metric::run_state,        Metric::last_step_timestamp,
                                      Metric::model_bytes,      Metric::model_layers,     Metric::nonfinite_origin_info,
                                      Metric::model_parameters, Metric::alert_active,     Metric::alerts,
                                      Metric::alerts_dropped,   Metric::ring_overwritten, Metric::ring_torn,
                                      Metric::series,           Metric::series_dropped,   Metric::exporter_errors,
                                      Metric::run_end_info,     Metric::model_sparsity,   Metric::precision_advice};
  for (std::size_t i = 0; i < static_cast<std::size_t>(Metric::count); ++i) {
    const auto metric = static_cast<Metric>(i);
    EXPECT_EQ(find_figure(metric_row(metric).name).has_value(), of_no_record.count(metric) == 0) << metric_row(metric).name;
  }
  for (const std::string_view kind : kTensorKindNames) {
    for (const Statistic& statistic : kStatistics)
      EXPECT_TRUE(find_figure("vigil_" + std::string(kind) + "_" + std::string(statistic.name)));
  }
  for (const std::string_view name : kActivationStatistics) EXPECT_TRUE(find_figure("vigil_activation_" + std::string(name))) << name;
  EXPECT_TRUE(find_figure("vigil_optimizer_moment_norm"));
}

TEST(Thresholds, OneThatIsNoneIsAnErrorThatSaysWhichThereAre) {
  RuleRun run;
  add(run, "process_resident_memory_bytes", Comparison::above, 1);
  try {
    static_cast<void>(run.engine());
    FAIL() << "it was taken";
  } catch (const std::invalid_argument& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("got 'process_resident_memory_bytes', which no record holds; there are vigil_steps_total, "), std::string::npos)
        << text;
    for (const char* known : {"vigil_loss, ", "vigil_step_duration_seconds, ", "vigil_learning_rate, ", "vigil_update_ratio, ",
                              "vigil_optimizer_moment_norm, ", "vigil_gradient_…, "})
      EXPECT_NE(text.find(known), std::string::npos) << known;
  }
}

std::vector<std::pair<std::string, double>> values_of(const RuleRun& run) {
  std::vector<std::pair<std::string, double>> values;
  for (const Alert& alert : run.told) values.emplace_back(std::string(alert.subject.view()), alert.value);
  std::sort(values.begin(), values.end());
  return values;
}
using Values = std::vector<std::pair<std::string, double>>;

TEST(Thresholds, TheTimeOfAStepIsThatOfEachPhase) {
  RuleRun run;
  add(run, "vigil_step_duration_seconds", Comparison::at_least, 0);
  run.record.flags |= StepRecord::has_optimizer_time;
  run.record.total_ns = 500'000'000;
  run.record.data_ns = 125'000'000;
  run.record.forward_backward_ns = 250'000'000;
  run.record.optimizer_ns = 62'500'000;
  run.record.vigil_ns = 31'250'000;
  run.step();
  const auto values = values_of(run);
  const Values expected{{"phase=\"data\"", 0.125},
                        {"phase=\"forward_backward\"", 0.25},
                        {"phase=\"optimizer\"", 0.0625},
                        {"phase=\"total\"", 0.5},
                        {"phase=\"vigil\"", 0.03125}};
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(values[i].first, expected[i].first);
    EXPECT_DOUBLE_EQ(values[i].second, expected[i].second);
  }
}

TEST(Thresholds, UtilizationIsOverTheMeanTimeOf64Steps) {
  RuleRun run;
  run.schema.peak_flops = 1000;
  add(run, "vigil_model_flops_utilization_ratio", Comparison::above, 0.5);
  run.record.total_ns = 4'000'000'000;
  run.step();
  run.record.multiply_accumulates = 750;
  run.steps(63);
  EXPECT_TRUE(run.told.empty());  // 1500 / 4 s / 1000 = 0.375
  run.record.total_ns = 2'000'000'000;
  run.steps(31);
  EXPECT_TRUE(run.told.empty());  // (33 * 4 + 31 * 2) / 64 = 3.03 s: 0.4948
  run.step();
  ASSERT_EQ(run.told.size(), 0u) << "exactly a half is not above";
  run.step();
  ASSERT_EQ(run.told.size(), 1u);
  EXPECT_NEAR(run.told[0].value, 1.5 / ((31 * 4.0 + 33 * 2.0) / 64), 1e-12);
}

TEST(Thresholds, UpdateRatioIsOfAllParametersAsOneVector) {
  RuleRun run;
  add(run, "vigil_update_ratio", Comparison::above, 0);
  run.drifts = false;
  for (std::size_t i = 0; i < 4; ++i) run.values[i] = {0};
  run.values[RuleRun::fc1_weight] = {3, 0};
  run.values[RuleRun::fc2_weight] = {0, 4};
  run.rows[RuleRun::fc1_weight].update_norm = 0.6;
  run.rows[RuleRun::fc2_weight].update_norm = 0.8;
  run.rows[RuleRun::fc1_bias].update_norm = run.rows[RuleRun::fc2_bias].update_norm = 0;
  run.sample();
  ASSERT_EQ(run.told.size(), 1u);
  EXPECT_DOUBLE_EQ(run.told[0].value, 0.2);  // hypot(0.6, 0.8) / hypot(3, 4)
}

TEST(Thresholds, EachMomentOfAnOptimizerIsASubject) {
  RuleRun run;
  run.schema.rows[RuleRun::fc1_weight].optimizer_state = {"exp_avg", "exp_avg_sq"};
  run.schema.rows[RuleRun::fc2_weight].optimizer_state = {"exp_avg"};
  run.rows[RuleRun::fc1_weight].state_norms = {0.5, 0.25, 0};
  run.rows[RuleRun::fc1_weight].states = 3;
  run.rows[RuleRun::fc2_weight].state_norms = {0.125, 0, 0};
  run.rows[RuleRun::fc2_weight].states = 1;
  add(run, "vigil_optimizer_moment_norm", Comparison::above, 0);
  add(run, "vigil_optimizer_moment_norm", Comparison::above, 0, {{"parameter", "fc1.weight"}, {"moment", "exp_avg_sq"}});
  run.sample();
  EXPECT_EQ(
      values_of(run),
      (Values{
          {"moment=\"exp_avg\"", 0.125}, {"moment=\"exp_avg\"", 0.5}, {"moment=\"exp_avg_sq\"", 0.25}, {"moment=\"exp_avg_sq\"", 0.25}}));
}

TEST(Thresholds, OnesThatMatchNoSeriesAreToldOnce) {
  RuleRun run;
  using Indices = std::vector<std::size_t>;
  add(run, "vigil_gradient_l2_norm", Comparison::above, 1e9, {{"layer", "fc9"}});
  add(run, "vigil_gradient_l2_norm", Comparison::above, 1e9, {{"layer", "fc1"}});
  add(run, "vigil_learning_rate", Comparison::above, 1e9, {{"group", "7"}});
  add(run, "vigil_user_scalar", Comparison::above, 1e9, {{"name", "validatoin/loss"}});
  add(run, "vigil_activation_max", Comparison::above, 1e9, {{"layer", "fc1"}, {"phase", "test"}});
  add(run, "vigil_loss", Comparison::above, 1e9);
  add(run, "vigil_clip_ratio", Comparison::above, 1e9);
  EXPECT_EQ(run.engine().take_unmatched_thresholds(), Indices{});
  run.sample();
  EXPECT_EQ(run.engine().take_unmatched_thresholds(), Indices{0});
  run.steps_until(999);
  EXPECT_EQ(run.engine().take_unmatched_thresholds(), Indices{});
  run.step();
  EXPECT_EQ(run.engine().take_unmatched_thresholds(), (Indices{2, 3, 4, 6}));
  run.steps(10);
  EXPECT_EQ(run.engine().take_unmatched_thresholds(), Indices{});
}

TEST(Thresholds, WithoutLabelsEachSeriesIsASubjectOfItsOwn) {
  RuleRun run;
  add(run, "vigil_parameter_l2_norm", Comparison::above, 0);
  add(run, "vigil_learning_rate", Comparison::above, 0.005);
  add(run, "vigil_device_memory_bytes", Comparison::above, 0);
  drive(run);
  EXPECT_EQ(run.told.size(), 4u + 2u + 3u);
}

TEST(Thresholds, GroupsMayHaveNames) {
  RuleRun run;
  run.schema.groups = {"generator/0", "critic/0"};
  add(run, "vigil_learning_rate", Comparison::above, 0, {{"group", "critic/0"}});
  add(run, "vigil_learning_rate", Comparison::above, 0, {{"group", "1"}});
  drive(run);
  ASSERT_EQ(run.told.size(), 1u);
  EXPECT_EQ(run.told[0].value, 0.02);
}

TEST(Thresholds, NanIsUnequalToANumberAndNeitherAboveNorBelow) {
  RuleRun run;
  for (const Comparison comparison : {Comparison::above, Comparison::at_least, Comparison::below, Comparison::at_most, Comparison::equal})
    add(run, "vigil_loss", comparison, 1);
  run.record.loss = kNan;
  run.step();
  EXPECT_TRUE(run.told.empty());
  RuleRun other;
  add(other, "vigil_loss", Comparison::unequal, 1);
  other.record.loss = kNan;
  other.step();
  ASSERT_EQ(other.told.size(), 1u);
  EXPECT_EQ(other.told[0].sentence.view(), "vigil_loss is nan, the rule is != 1");
}

TEST(Thresholds, WhatWasNotMeasuredIsNotJudged) {
  RuleRun run;
  for (const char* metric : {"vigil_parameter_norm", "vigil_clip_ratio", "vigil_device_memory_bytes", "vigil_overhead_ratio",
                             "vigil_parameter_update_norm", "vigil_activation_dead_ratio", "vigil_step_flops"})
    add(run, metric, Comparison::unequal, 123);
  run.samples(3);
  EXPECT_TRUE(run.told.empty()) << run.told.front().sentence.view();
}

TEST(Thresholds, ALossThatWasNotGivenIsNotNan) {
  RuleRun run;
  add(run, "vigil_loss", Comparison::unequal, 0);
  add(run, "vigil_gradient_norm", Comparison::unequal, 0);
  run.record.flags = 0;
  run.steps(3);
  EXPECT_TRUE(run.told.empty()) << run.told.front().sentence.view();
}

TEST(Thresholds, HoldForStepsAsOthersDo) {
  RuleRun run;
  add(run, "vigil_loss", Comparison::above, 0.5);
  run.setup.thresholds.back().rule.for_steps = 3;
  run.steps(3);
  EXPECT_TRUE(run.told.empty());
  run.step();
  EXPECT_EQ(run.told.size(), 1u);
  run.record.loss = 0.5;
  run.step();
  EXPECT_EQ(run.told.size(), 2u);
}

TEST(Thresholds, ARecordOfTheSameStepAgainBringsTheScalarsOnly) {
  RuleRun run;
  add(run, "vigil_loss", Comparison::above, 1);
  add(run, "vigil_learning_rate", Comparison::above, 1);
  add(run, "vigil_user_scalar", Comparison::above, 1, {{"name", "accuracy"}});
  run.step();
  run.record.loss = run.scalars[0] = 2;
  run.record.flags |= StepRecord::again;
  run.log("accuracy", 2);
  --run.record.step;
  run.step();
  ASSERT_EQ(run.told.size(), 1u);
  EXPECT_EQ(run.told[0].rule, kRuleCount + 2);
}

std::string refusal(const std::string& metric, const Labels& labels) {
  RuleRun run;
  add(run, "vigil_loss", Comparison::above, 0);
  add(run, metric, Comparison::above, 0, labels);
  try {
    static_cast<void>(run.engine());
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Thresholds, UnknownMetricsAndLabelsAreRefused) {
  EXPECT_EQ(refusal("vigil_los", {})
                .rfind("rules.threshold[1]: expected a metric of a step, a tensor or an activation (docs/metrics.md), got 'vigil_los', "
                       "which no record holds; there are ",
                       0),
            0u);
  EXPECT_EQ(refusal("vigil_loss", {{"rank", "0"}}), "rules.threshold[1]: expected no label of vigil_loss, got 'rank'");
  EXPECT_EQ(refusal("vigil_parameter_mean", {{"group", "0"}}),
            "rules.threshold[1]: expected parameter or layer of vigil_parameter_mean, got 'group'");
  EXPECT_EQ(refusal("vigil_user_scalar", {}),
            "rules.threshold[1]: expected the name of the scalar, as in vigil_user_scalar{name=\"validation/loss\"}");
}

}  // namespace
}  // namespace vigil
