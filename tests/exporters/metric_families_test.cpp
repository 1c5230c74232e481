// What a snapshot is worth in metrics.
#include "vigil/exporters/metric_families.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

#include "exporters/test_run.h"
#include "vigil/monitor/statistics.h"

namespace vigil {
namespace {

using namespace test;

const std::string kRun = R"(run="mnist \"a\\b\"",rank="0")";

std::string with(const std::string& more) { return kRun + "," + more; }

TEST(MetricFamilies, FollowTheOrderOfTheContract) {
  const std::vector<Family> families = families_of(*make_running_snapshot());
  std::vector<std::string_view> expected;
  for (const MetricRow& info : kMetrics) expected.push_back(info.name);
  std::vector<std::string> tensor_names;
  for (const char* kind : {"parameter", "gradient", "buffer"}) {
    for (const Statistic& statistic : kStatistics) tensor_names.push_back("vigil_" + std::string(kind) + "_" + std::string(statistic.name));
    if (kind == std::string("parameter")) {
      for (const char* name :
           {"vigil_parameter_update_ratio", "vigil_parameter_update_norm", "vigil_parameter_distance", "vigil_optimizer_moment_norm"}) {
        tensor_names.push_back(name);
      }
    }
    if (kind == std::string("gradient")) tensor_names.push_back("vigil_gradient_cosine");
    if (kind == std::string("buffer")) continue;  // has no histogram in this run
    for (const char* name : {"magnitude_bucket", "magnitude"}) tensor_names.push_back("vigil_" + std::string(kind) + "_" + name);
  }
  for (const char* name : {"mean", "std", "min", "max", "zero_ratio", "nan_values", "inf_values", "dead_ratio"}) {
    tensor_names.push_back("vigil_activation_" + std::string(name));  // no tanh in this run
  }
  expected.insert(expected.end(), tensor_names.begin(), tensor_names.end());
  std::vector<std::string_view> names;
  for (const Family& family : families) names.push_back(family.name);
  EXPECT_EQ(names, expected);
}

TEST(MetricFamilies, AnAlertIsNamedByWhatItIsOf) {
  const std::vector<Family> families = families_of(*make_running_snapshot());
  EXPECT_EQ(find_family(families, "vigil_alert_active")->samples.size(), 2u);
  const std::string run = "run=\"mnist \\\"a\\\\b\\\"\",rank=\"0\",";
  EXPECT_EQ(value_of(families, "vigil_alert_active",
                     run + "alert=\"nonfinite_gradient\",severity=\"critical\",parameter=\"fc.weight\",layer=\"fc\""),
            1);
  EXPECT_EQ(value_of(families, "vigil_alert_active", run + "alert=\"learning_rate_jump\",severity=\"warning\",subject=\"group 1\""), 1);
}

TEST(MetricFamilies, CarryExactlyTheLabelsOfTheContract) {
  const std::vector<Family> families = families_of(*make_running_snapshot());
  for (const MetricRow& info : kMetrics) {
    const Family* family = find_family(families, info.name);
    ASSERT_NE(family, nullptr) << info.name;
    std::string expected = "run,rank";
    if (!info.labels.empty()) expected += "," + std::string(info.labels);
    std::vector<Labels> all;
    for (const Sample& sample : family->samples) all.push_back(sample.labels);
    for (const HistogramSample& sample : family->histograms) all.push_back(sample.labels);
    ASSERT_FALSE(all.empty()) << info.name;
    for (const Labels& labels : all) {
      std::string names;
      for (const Label& label : labels->labels()) names += (names.empty() ? "" : ",") + label.name;
      if (info.name == "vigil_alert_active") {
        // What is empty is left out: these are all that one may have.
        for (const Label& label : labels->labels())
          EXPECT_NE(("," + expected + ",").find("," + label.name + ","), std::string::npos) << label.name;
        continue;
      }
      EXPECT_EQ(names, expected) << info.name;
    }
  }
}

TEST(MetricFamilies, CountersOfAlertsAreThereWithZeroBeforeTheFirstStep) {
  const std::vector<Family> families = families_of(*make_first_snapshot());
  for (const char* tensor : {"loss", "gradient", "parameter"}) {
    for (const char* value : {"nan", "inf"}) {
      const std::string labels = with("tensor=\"" + std::string(tensor) + "\",value=\"" + value + "\"");
      EXPECT_EQ(value_of(families, "vigil_nonfinite_values_total", labels), 0);
    }
  }
  EXPECT_EQ(value_of(families, "vigil_nonfinite_steps_total", kRun), 0);
  EXPECT_EQ(value_of(families, "vigil_skipped_steps_total", with("reason=\"nonfinite\"")), 0);
  for (const std::string_view hook : kHookNames) {
    EXPECT_EQ(value_of(families, "vigil_hook_errors_total", with("hook=\"" + std::string(hook) + "\"")), 0);
  }
  for (const char* exporter : {"prometheus", "jsonl"}) {
    EXPECT_EQ(value_of(families, "vigil_exporter_errors_total", with("exporter=\"" + std::string(exporter) + "\"")), 0);
  }
  for (const char* ring : {"steps", "frames"}) {
    EXPECT_EQ(value_of(families, "vigil_ring_overwritten_total", with("ring=\"" + std::string(ring) + "\"")), 0);
    EXPECT_EQ(value_of(families, "vigil_ring_torn_total", with("ring=\"" + std::string(ring) + "\"")), 0);
  }
}

TEST(MetricFamilies, WithoutAStepThereIsNeitherLossNorOriginNorTensor) {
  const std::vector<Family> families = families_of(*make_first_snapshot());
  for (const char* name : {"vigil_loss", "vigil_learning_rate", "vigil_gradient_norm", "vigil_parameter_norm", "vigil_user_scalar",
                           "vigil_nonfinite_origin_info", "vigil_parameter_mean", "vigil_gradient_l2_norm", "vigil_update_ratio",
                           "vigil_parameter_update_ratio", "vigil_parameter_magnitude"}) {
    EXPECT_EQ(find_family(families, name), nullptr) << name;
  }
  EXPECT_EQ(value_of(families, "vigil_steps_total", kRun), 0);
  EXPECT_EQ(value_of(families, "vigil_last_step_timestamp_seconds", kRun), 1700000000.25);
  EXPECT_EQ(value_of(families, "vigil_up", kRun), 1);
  EXPECT_EQ(value_of(families, "vigil_series", kRun), 0);
}

TEST(MetricFamilies, AStepWithoutALossHasNoLossSeries) {
  TestRun run;
  run.record().flags = 0;
  run.publish_step(1);
  const std::vector<Family> families = families_of(*run.snapshot());
  EXPECT_EQ(find_family(families, "vigil_loss"), nullptr);
  EXPECT_EQ(find_family(families, "vigil_gradient_norm"), nullptr);
  EXPECT_EQ(value_of(families, "vigil_steps_total", kRun), 1);
}

TEST(MetricFamilies, ALossThatIsNanIsExportedAsNan) {
  TestRun run;
  run.publish_nonfinite_step(1, -1);
  EXPECT_TRUE(std::isnan(value_of(families_of(*run.snapshot()), "vigil_loss", kRun)));
}

TEST(MetricFamilies, TheOriginNamesParameterLayerAndStep) {
  TestRun run;
  run.publish_nonfinite_step(7, 1);
  EXPECT_EQ(value_of(families_of(*run.snapshot()), "vigil_nonfinite_origin_info",
                     with(R"(layer="conv",parameter="conv.bias",step="7",found_by="bracket")")),
            1);
  run.publish_replay(7);
  const std::vector<Family> families = families_of(*run.snapshot());
  EXPECT_EQ(value_of(families, "vigil_nonfinite_origin_info",
                     with(R"(layer="conv/log",operation="LogBackward0",parameter="conv.bias",step="7",found_by="replay")")),
            1);
  EXPECT_EQ(find_family(families, "vigil_nonfinite_origin_info")->samples.size(), 1u);
}

TEST(MetricFamilies, AnOriginWhoseEventIsLostIsThatOfTheRecord) {
  TestRun run;
  run.publish_nonfinite_step(7, 1);
  auto snapshot = std::make_shared<Snapshot>(*run.snapshot());
  snapshot->origin.reset();
  EXPECT_EQ(value_of(families_of(*snapshot), "vigil_nonfinite_origin_info",
                     with(R"(layer="conv",parameter="conv.bias",step="7",found_by="bracket")")),
            1);
}

TEST(MetricFamilies, AnOriginInTheLossOnlyHasItsStepAlone) {
  TestRun run;
  run.publish_nonfinite_step(7, -1);
  EXPECT_EQ(value_of(families_of(*run.snapshot()), "vigil_nonfinite_origin_info", with(R"(step="7",found_by="bracket")")), 1);
}

TEST(MetricFamilies, AnOriginBeyondTheParametersIsNotFollowed) {
  TestRun run;
  run.publish_nonfinite_step(7, 1000);
  EXPECT_EQ(value_of(families_of(*run.snapshot()), "vigil_nonfinite_origin_info", with(R"(step="7",found_by="bracket")")), 1);
}

TEST(MetricFamilies, UpAndStateFollowTheRun) {
  TestRun run;
  run.publish_step(1);
  for (const RunState state : {RunState::starting, RunState::running, RunState::finished, RunState::failed}) {
    run.channel()->live().state.store(state);
    const std::vector<Family> families = families_of(*run.snapshot());
    EXPECT_EQ(value_of(families, "vigil_up", kRun), state == RunState::starting || state == RunState::running ? 1 : 0);
    for (std::size_t i = 0; i < kRunStateNames.size(); ++i) {
      EXPECT_EQ(value_of(families, "vigil_run_state", with("state=\"" + std::string(kRunStateNames[i]) + "\"")),
                i == static_cast<std::size_t>(state) ? 1 : 0);
    }
  }
}

TEST(MetricFamilies, AFinishedRunKeepsItsSeries) {
  TestRun run;
  run.publish_frame(1);
  run.publish_step(1);
  const std::size_t before = families_of(*run.snapshot()).size();
  run.channel()->live().state.store(RunState::finished);
  EXPECT_EQ(families_of(*run.snapshot()).size(), before);
}

// Two distances, a cosine, two moments; seven statistics of each of two layers, and one's dead ratio.
constexpr std::size_t kMore = 2 + 1 + 2 + 7 + 8;

TEST(MetricFamilies, ActivationsAreOfLayerAndPhase) {
  TestRun run;
  run.publish_frame(4);
  run.publish_step(4);
  const std::vector<Family> families = families_of(*run.snapshot());
  EXPECT_EQ(value_of(families, "vigil_activation_max", with(R"(layer="conv",phase="train")")), make_moments(4).max);
  EXPECT_EQ(find_family(families, "vigil_activation_max")->samples.size(), 2u) << "the third layer was not measured yet";
  ASSERT_EQ(find_family(families, "vigil_activation_dead_ratio")->samples.size(), 1u);
  EXPECT_EQ(find_family(families, "vigil_activation_dead_ratio")->samples[0].value, 0.25);
  EXPECT_EQ(find_family(families, "vigil_activation_saturated_ratio"), nullptr);
}

TEST(MetricFamilies, ActivationsHaveTheRoomThatTensorsLeave) {
  TestRun run;
  run.publish_frame(4);
  run.publish_step(4);
  const std::uint64_t tensors = 7 * kStatistics.size() + 2 * 3 + 2 * 38 + 5;
  for (const std::size_t layers : {0, 1}) {
    PrometheusConfig config;
    config.max_series = static_cast<std::int64_t>(tensors + 9 * layers + 8);
    const std::vector<Family> families = families_of(*run.snapshot(), config);
    EXPECT_EQ(value_of(families, "vigil_series", kRun), static_cast<double>(tensors + 7 * layers));
    EXPECT_EQ(value_of(families, "vigil_series_dropped_total", kRun), layers == 0 ? 15 : 8);
  }
}

TEST(MetricFamilies, TensorsCarryTheirStatistics) {
  TestRun run;
  run.publish_frame(1);
  run.publish_step(1);
  const std::vector<Family> families = families_of(*run.snapshot());
  for (const Statistic& statistic : kStatistics) {
    const std::string name = "vigil_gradient_" + std::string(statistic.name);
    EXPECT_EQ(value_of(families, name, with(R"(parameter="conv.bias",layer="conv")")), statistic.value(make_moments(4)));
    EXPECT_EQ(find_family(families, name)->help, "Gradient: " + std::string(statistic.help) + ".");
  }
  EXPECT_EQ(value_of(families, "vigil_parameter_mean", with("parameter=\"scale\"")), make_moments(2).mean) << "a root parameter";
  EXPECT_EQ(value_of(families, "vigil_series", kRun), static_cast<double>(7 * kStatistics.size() + 2 * 3 + 2 * 38 + kMore));
}

TEST(MetricFamilies, AbsentAndUnreadableTensorsHaveNoSeries) {
  TestRun run;
  run.publish_frame(1);
  run.publish_step(1);
  auto snapshot = std::make_shared<Snapshot>(*run.snapshot());
  snapshot->rows[3].state = TensorRow::absent;
  snapshot->rows[4].state = TensorRow::unreadable;
  const std::vector<Family> families = families_of(*snapshot);
  ASSERT_NE(find_family(families, "vigil_gradient_mean"), nullptr);
  EXPECT_EQ(find_family(families, "vigil_gradient_mean")->samples.size(), 1u);
  EXPECT_EQ(value_of(families, "vigil_series", kRun), static_cast<double>(5 * kStatistics.size() + 2 * 3 + 38 + kMore - 1));
  EXPECT_EQ(value_of(families, "vigil_series_dropped_total", kRun), 0) << "absence is not the bound's doing";
}

TEST(MetricFamilies, AFoldedLayerIsTheMergeOfItsTensors) {
  TestRun run(make_large_schema(3));
  run.publish_frame(1);
  run.publish_step(1);
  PrometheusConfig config;
  config.max_series = static_cast<std::int64_t>(6 * kStatistics.size());
  const std::vector<Family> families = families_of(*run.snapshot(), config);
  // Rows 6 and 7 are the gradients of layer0's weight and bias.
  Moments layer = make_moments(6);
  merge(layer, make_moments(7));
  for (const Statistic& statistic : kStatistics) {
    const std::string name = "vigil_gradient_" + std::string(statistic.name);
    EXPECT_EQ(value_of(families, name, R"(run="large",rank="0",parameter="layer0.*",layer="layer0")"), statistic.value(layer)) << name;
  }
  EXPECT_EQ(value_of(families, "vigil_series", R"(run="large",rank="0")"), static_cast<double>(6 * kStatistics.size()));
  EXPECT_EQ(value_of(families, "vigil_series_dropped_total", R"(run="large",rank="0")"), static_cast<double>(12 * kStatistics.size()));
}

TEST(MetricFamilies, AFoldedLayerLeavesOutWhatIsAbsent) {
  TestRun run(make_large_schema(3));
  run.publish_frame(1);
  auto snapshot = std::make_shared<Snapshot>(*run.snapshot());
  snapshot->rows[6].state = TensorRow::absent;
  snapshot->rows[8].state = TensorRow::absent;
  snapshot->rows[9].state = TensorRow::unreadable;
  PrometheusConfig config;
  config.max_series = static_cast<std::int64_t>(6 * kStatistics.size());
  const std::vector<Family> families = families_of(*snapshot, config);
  EXPECT_EQ(value_of(families, "vigil_gradient_mean", R"(run="large",rank="0",parameter="layer0.*",layer="layer0")"), make_moments(7).mean);
  EXPECT_EQ(find_family(families, "vigil_gradient_mean")->samples.size(), 2u) << "layer1 has no tensor left";
}

const std::string kWeight = R"(parameter="conv.weight",layer="conv")";

TEST(MetricFamilies, MagnitudesAreCumulativeFromTheZerosToAllFiniteElements) {
  TestRun run;
  run.publish_frame(1);
  auto snapshot = std::make_shared<Snapshot>(*run.snapshot());
  MagnitudeHistogram& histogram = snapshot->histograms[1];  // of the gradient conv.weight
  histogram = {};
  histogram.underflow = 2;
  for (std::size_t i = 0; i < histogram.buckets.size(); ++i) histogram.buckets[i] = i + 1;
  histogram.overflow = 4;
  Moments& moments = snapshot->rows[3].moments;
  moments.zero_count = 3;
  moments.nan_count = 5;
  moments.inf_count = 6;
  moments.count = 3 + 2 + 32 * 33 / 2 + 4 + 5 + 6;
  const std::vector<Family> families = families_of(*snapshot);
  const auto at_most = [&](const std::string& le) {
    return value_of(families, "vigil_gradient_magnitude_bucket", with(kWeight + ",le=\"" + le + "\""));
  };
  EXPECT_EQ(at_most("0"), 3);
  EXPECT_EQ(at_most("3.725290298461914e-09"), 3 + 2);      // 2^-28
  EXPECT_EQ(at_most("7.450580596923828e-09"), 3 + 2 + 1);  // 2^-27
  EXPECT_EQ(at_most("1"), 3 + 2 + 28 * 29 / 2);            // 28 buckets below it
  EXPECT_EQ(at_most("16"), 3 + 2 + 32 * 33 / 2);           // 2^4
  EXPECT_EQ(at_most("+Inf"), static_cast<double>(finite_count(moments)));
  const Family* family = find_family(families, "vigil_gradient_magnitude_bucket");
  EXPECT_EQ(family->samples.size(), 35u);
  EXPECT_EQ(family->type, MetricType::untyped);
  EXPECT_EQ(find_family(families, "vigil_buffer_magnitude_bucket"), nullptr) << "no histogram, no series";
}

TEST(MetricFamilies, QuantilesOfMagnitudesAreThoseOfTheHistogram) {
  TestRun run;
  run.publish_frame(1);
  const std::vector<Family> families = families_of(*run.snapshot());
  EXPECT_EQ(find_family(families, "vigil_parameter_magnitude")->samples.size(), 3u);
  for (const auto& [text, q] : {std::pair("0.01", 0.01), std::pair("0.5", 0.5), std::pair("0.99", 0.99)}) {
    EXPECT_EQ(value_of(families, "vigil_parameter_magnitude", with(kWeight + ",quantile=\"" + text + "\"")),
              magnitude_quantile(make_histogram(0), make_moments(0), q));
  }
}

TEST(MetricFamilies, TheUpdateRatioIsTheUpdateOverTheParameter) {
  TestRun run;
  run.publish_frame(1);
  auto snapshot = std::make_shared<Snapshot>(*run.snapshot());
  Moments &weight = snapshot->rows[0].moments, &bias = snapshot->rows[1].moments, &scale = snapshot->rows[2].moments;
  weight.sum_squares = 9;
  bias.sum_squares = 16;
  snapshot->rows[0].update_norm = 0.3;
  snapshot->rows[1].update_norm = 0.4;
  scale = Moments{};
  scale.count = scale.zero_count = 1;
  snapshot->rows[2].update_norm = 0;
  const auto ratio = [&](const std::string& labels) {
    return value_of(families_of(*snapshot), "vigil_parameter_update_ratio", with(labels));
  };
  EXPECT_EQ(ratio(kWeight), 0.3 / 3);
  EXPECT_EQ(ratio(R"(parameter="conv.bias",layer="conv")"), 0.1);
  EXPECT_EQ(ratio(R"(parameter="scale")"), 0) << "nothing moved, and nothing was there";
  EXPECT_DOUBLE_EQ(value_of(families_of(*snapshot), "vigil_update_ratio", kRun), 0.5 / 5);
  snapshot->rows[2].update_norm = 1;
  EXPECT_EQ(ratio(R"(parameter="scale")"), kInf);
}

TEST(MetricFamilies, WithoutAMeasuredUpdateThereIsNoUpdateRatio) {
  TestRun run;
  run.publish_frame(1);
  auto snapshot = std::make_shared<Snapshot>(*run.snapshot());
  snapshot->rows[2].state = TensorRow::absent;
  snapshot->rows[0].update_norm = kNan;
  EXPECT_EQ(find_family(families_of(*snapshot), "vigil_parameter_update_ratio")->samples.size(), 1u) << "conv.bias has one";
  EXPECT_DOUBLE_EQ(value_of(families_of(*snapshot), "vigil_update_ratio", kRun), 0.125 / l2_norm(snapshot->rows[1].moments));
  snapshot->rows[1].state = TensorRow::unreadable;
  EXPECT_EQ(find_family(families_of(*snapshot), "vigil_parameter_update_ratio"), nullptr);
  EXPECT_EQ(find_family(families_of(*snapshot), "vigil_update_ratio"), nullptr);
}

TEST(MetricFamilies, AParameterThatIsNotFiniteMakesUpdateRatiosNan) {
  for (std::uint64_t Moments::*count : {&Moments::nan_count, &Moments::inf_count}) {
    for (const double norm : {0.5, kNan}) {
      TestRun run;
      run.publish_frame(1);
      auto snapshot = std::make_shared<Snapshot>(*run.snapshot());
      snapshot->rows[2].moments.nan_count = 0;
      EXPECT_TRUE(std::isfinite(value_of(families_of(*snapshot), "vigil_update_ratio", kRun)));
      snapshot->rows[0].moments.*count = 1;
      snapshot->rows[0].update_norm = norm;
      EXPECT_TRUE(std::isnan(value_of(families_of(*snapshot), "vigil_parameter_update_ratio", with(kWeight))));
      EXPECT_TRUE(std::isnan(value_of(families_of(*snapshot), "vigil_update_ratio", kRun)));
    }
  }
}

TEST(MetricFamilies, TheUpdateRatioOfTheRunNeedsNoSeriesOfTensors) {
  PrometheusConfig config;
  config.per_parameter = PerParameter::none;
  EXPECT_NE(find_family(families_of(*make_running_snapshot(), config), "vigil_update_ratio"), nullptr);
}

TEST(MetricFamilies, NoSeriesIsThereTwice) {
  for (const Family& family : families_of(*make_running_snapshot())) {
    std::set<std::string> seen;
    for (const Sample& sample : family.samples) EXPECT_TRUE(seen.insert(sample.labels->text()).second) << family.name;
  }
}

TEST(MetricFamilies, UnitsEndNamesAndCountersEndInTotal) {
  for (const Family& family : families_of(*make_running_snapshot())) {
    std::string name(family.name);
    const bool counter = family.type == MetricType::counter;
    ASSERT_EQ(counter, name.size() > 6 && name.rfind("_total") == name.size() - 6) << name;
    if (counter) name.resize(name.size() - 6);
    if (family.unit.empty()) continue;
    EXPECT_EQ(name.rfind("_" + std::string(family.unit)), name.size() - family.unit.size() - 1) << name;
  }
}

}  // namespace
}  // namespace vigil
