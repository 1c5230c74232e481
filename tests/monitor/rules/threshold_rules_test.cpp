// A user's own rules: on each kind of metric, with each comparison, and what is refused.
#include "vigil/monitor/rules/threshold_rules.h"

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>
#include <string>
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
                                      Metric::update_ratio,     Metric::step_duration,    Metric::flops_utilization,
                                      Metric::model_bytes,      Metric::model_layers,     Metric::nonfinite_origin_info,
                                      Metric::model_parameters, Metric::alert_active,     Metric::alerts,
                                      Metric::alerts_dropped,   Metric::ring_overwritten, Metric::ring_torn,
                                      Metric::series,           Metric::series_dropped,   Metric::exporter_errors};
  for (std::size_t i = 0; i < static_cast<std::size_t>(Metric::count); ++i) {
    const auto metric = static_cast<Metric>(i);
    EXPECT_EQ(find_figure(metric_row(metric).name).has_value(), of_no_record.count(metric) == 0) << metric_row(metric).name;
  }
  for (const std::string_view kind : kTensorKindNames) {
    for (const Statistic& statistic : kStatistics)
      EXPECT_TRUE(find_figure("vigil_" + std::string(kind) + "_" + std::string(statistic.name)));
  }
  for (const std::string_view name : kActivationStatistics) EXPECT_TRUE(find_figure("vigil_activation_" + std::string(name))) << name;
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
  EXPECT_EQ(
      refusal("vigil_los", {}),
      "rules.threshold[1]: expected a metric of a step, a tensor or an activation (docs/metrics.md), got 'vigil_los', which no record "
      "holds");
  EXPECT_EQ(refusal("vigil_loss", {{"rank", "0"}}), "rules.threshold[1]: expected no label of vigil_loss, got 'rank'");
  EXPECT_EQ(refusal("vigil_parameter_mean", {{"group", "0"}}),
            "rules.threshold[1]: expected parameter or layer of vigil_parameter_mean, got 'group'");
  EXPECT_EQ(refusal("vigil_user_scalar", {}),
            "rules.threshold[1]: expected the name of the scalar, as in vigil_user_scalar{name=\"validation/loss\"}");
}

}  // namespace
}  // namespace vigil
