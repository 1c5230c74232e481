// Records of a run as samples: the same series and values as /metrics has at that moment, at the time of the record.
#include "vigil/daemon/run_samples.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "daemon/sent_samples.h"
#include "exporters/captured_log.h"
#include "exporters/test_run.h"
#include "exporters/text_parser.h"

namespace vigil {
namespace {

using namespace test;

// What /metrics has and a step does not: see docs/push.md.
const std::set<Metric> kNotPushed{Metric::build_info,        Metric::run_state,        Metric::nonfinite_origin_info,
                                  Metric::flops_utilization, Metric::model_parameters, Metric::model_bytes,
                                  Metric::model_layers,      Metric::alert_active,     Metric::alerts,
                                  Metric::alerts_dropped,    Metric::overhead_ratio,   Metric::ring_overwritten,
                                  Metric::ring_torn,         Metric::series,           Metric::series_dropped,
                                  Metric::exporter_errors,   Metric::hook_errors,      Metric::activation_layers_dropped,
                                  Metric::run_end_info,      Metric::precision_advice};

bool is_pushed(const Family& family) {
  return std::none_of(kNotPushed.begin(), kNotPushed.end(), [&family](Metric metric) { return metric_row(metric).name == family.name; });
}

class Samples : public testing::Test {
 protected:
  explicit Samples(Schema schema = make_schema()) : run(std::move(schema)), follower(*run.channel()) {}

  void begin(RunSamplesOptions options = {}, const RunCursor& after = {}) {
    samples = std::make_unique<RunSamples>(std::make_shared<const Schema>(run.channel()->schema()), std::move(options), progress, after,
                                           losses, [this](const SampleBlock& block) { collect(sent, block); });
  }
  // Reads what is new as vigild does, and hands over everything.
  void poll() {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < run.channel()->scalar_names().size(); ++i) names.emplace_back(run.channel()->scalar_names().at(i));
    follower.poll([&](const StepRecord& record, const double* scalars) { samples->on_step(record, scalars, names); },
                  [&](const Frame& frame) { samples->on_frame(frame); });
    samples->release_before(kStartNs + std::int64_t{1'000'000'000'000});
  }
  static std::string key(const std::string& name, std::map<std::string, std::string> labels = {}) {
    labels.insert({{"run", "mnist \"a\\b\""}, {"rank", "0"}});
    return series_key(name, labels);
  }

  CapturedLog captured;
  TestRun run;
  RunFollower follower;
  const std::shared_ptr<SampleLosses> losses = std::make_shared<SampleLosses>();
  RunProgress progress;
  std::unique_ptr<RunSamples> samples;
  SentSamples sent;
};

TEST_F(Samples, AreWhatTheExpositionSaysAfterEveryStep) {
  begin();
  run.channel()->scalar_names().find_or_append("validation/accuracy");
  std::mt19937 random(3);
  const auto number = [&random] { return std::uniform_real_distribution<double>(-3, 3)(random); };
  std::set<std::string> all_pushed;
  for (std::uint64_t step = 1; step <= 60; ++step) {
    StepRecord& record = run.record();
    record.flags = random() & 1023;
    record.flags &= ~std::uint64_t{StepRecord::again};
    if (random() % 2 == 0) record.flags |= StepRecord::has_device_memory;
    record.gradient_norm = step % 7 == 0 ? kNan : number();
    record.parameter_norm = step % 11 == 0 ? kInf : number();
    record.clip_ratio = number();
    record.data_ns = random() % 1'000'000'000;
    record.forward_backward_ns = random() % 1'000'000'000;
    record.optimizer_ns = random() % 1'000'000'000;
    record.vigil_ns = random() % 1'000'000;
    record.total_ns = random() % 10'000'000'000;
    record.multiply_accumulates = step < 5 ? 0 : random();
    record.device_allocated = random();
    record.device_retries = random() % 5;
    record.totals.examples += random() % 100;
    record.totals.micro_batches += random() % 3;
    for (NonfiniteCounts& counts : record.totals.nonfinite_values) counts = {random() % 9, random() % 9};
    record.totals.nonfinite_steps += random() % 2;
    record.totals.skipped_steps += random() % 2;
    record.totals.rollbacks += random() % 2;
    run.scalars()[0] = number();
    run.scalars()[1] = number();
    run.publish_step(step, step % 5 == 0 ? -kInf : number());
    sent.clear();
    poll();

    std::vector<Family> families = make_run_families(*follower.snapshot(), 0, 0);
    families.erase(std::remove_if(families.begin(), families.end(), [](const Family& family) { return !is_pushed(family); }),
                   families.end());
    std::map<std::string, std::uint64_t> expected = wire_values(families);
    for (const auto& [series, value] : expected) all_pushed.insert(series.substr(0, series.find('{')));
    // These keep what they were: nothing new is said of them.
    if (!record.has(StepRecord::has_loss)) expected.erase(key("vigil_loss"));
    if (!record.has(StepRecord::has_gradient_norm)) expected.erase(key("vigil_gradient_norm"));
    std::map<std::string, std::uint64_t> got;
    for (const auto& [series, samples_of_it] : sent) {
      ASSERT_EQ(samples_of_it.size(), 1u) << series;
      EXPECT_EQ(samples_of_it[0].first, record.wall_time_ns / 1'000'000);
      if (samples_of_it[0].second == kStaleBits) {
        EXPECT_EQ(expected.count(series), 0u) << series << " ends, but is there";
      } else {
        got[series] = samples_of_it[0].second;
      }
    }
    EXPECT_EQ(difference(got, expected), "") << "step " << step;
  }
  // A metric that is new in the table is either pushed or named above.
  for (std::size_t i = 0; i < kMetrics.size(); ++i) {
    if (kNotPushed.count(static_cast<Metric>(i)) > 0 || static_cast<Metric>(i) == Metric::update_ratio ||
        static_cast<Metric>(i) == Metric::model_sparsity)
      continue;
    std::string name(kMetrics[i].name);
    if (kMetrics[i].type == MetricType::histogram) name += "_sum";
    EXPECT_EQ(all_pushed.count(name), 1u) << name;
  }
}

TEST_F(Samples, HaveTheTimeOfTheirStepInMilliseconds) {
  begin();
  for (std::uint64_t step = 1; step <= 3; ++step) run.publish_step(step, static_cast<double>(step));
  poll();
  const std::int64_t start_ms = kStartNs / 1'000'000;
  EXPECT_EQ(sent[key("vigil_loss")], (std::vector<std::pair<std::int64_t, std::uint64_t>>{
                                         {start_ms + 10, bits_of(1)}, {start_ms + 20, bits_of(2)}, {start_ms + 30, bits_of(3)}}));
}

TEST_F(Samples, EndWhereTheExpositionWouldNotHaveThem) {
  begin();
  run.record().flags |= StepRecord::has_clip_ratio;
  run.record().clip_ratio = 0.5;
  run.publish_step(1);
  run.record().flags = StepRecord::has_optimizer_time;
  run.publish_step(2);
  run.publish_step(3);
  poll();
  for (const char* name : {"vigil_clip_ratio", "vigil_parameter_norm"}) {
    ASSERT_EQ(sent[key(name)].size(), 2u) << name;
    EXPECT_EQ(sent[key(name)][1].second, kStaleBits) << name;
  }
  EXPECT_EQ(sent[key("vigil_last_step_duration_seconds", {{"phase", "total"}})].back().second, kStaleBits);
  EXPECT_EQ(sent[key("vigil_last_step_duration_seconds", {{"phase", "optimizer"}})].size(), 3u);
  EXPECT_EQ(sent[key("vigil_loss")].size(), 1u) << "keeps its value";
}

TEST_F(Samples, LoggedAfterTheLastStepComeAMillisecondAfterIt) {
  begin();
  run.publish_step(1);
  run.publish_step(2);
  poll();
  const std::size_t losses_before = sent[key("vigil_loss")].size();
  run.channel()->scalar_names().find_or_append("test/accuracy");
  run.scalars()[1] = 0.75;
  run.record().flags |= StepRecord::again;
  run.publish_step(2);
  poll();
  const std::int64_t last_ms = kStartNs / 1'000'000 + 20;
  EXPECT_EQ(sent[key("vigil_user_scalar", {{"name", "test/accuracy"}})],
            (std::vector<std::pair<std::int64_t, std::uint64_t>>{{last_ms + 1, bits_of(0.75)}}));
  EXPECT_EQ(sent[key("vigil_loss")].size(), losses_before);
  samples->end();
  EXPECT_EQ(sent[key("vigil_loss")].back(), (std::pair<std::int64_t, std::uint64_t>{last_ms + 2, kStaleBits}));
  EXPECT_EQ(losses->out_of_order, 0u);
}

TEST_F(Samples, AllEndWithTheRun) {
  begin({{}, 1, true, {}});
  run.publish_frame(1);
  run.publish_step(1);
  run.record().wall_time_ns = 0;
  poll();
  const std::size_t series = sent.size();
  EXPECT_GT(series, 100u);
  samples->end();
  EXPECT_EQ(sent.size(), series);
  for (const auto& [name, values] : sent) {
    EXPECT_EQ(values.back().second, kStaleBits) << name;
    EXPECT_GT(values.back().first, values[values.size() - 2].first) << name;
  }
}

TEST_F(Samples, CarryTheLabelsOfTheHostAndNoEmptyOnes) {
  begin({{{"instance", "node1"}, {"cluster", ""}}, 1, false, {}});
  run.publish_step(1);
  poll();
  EXPECT_EQ(sent.count(key("vigil_loss", {{"instance", "node1"}})), 1u);
  for (const auto& [name, values] : sent) EXPECT_NE(name.find("instance=\"node1\""), std::string::npos) << name;
}

TEST_F(Samples, OfTensorsAreWhatTheExpositionSaysOfTheFrame) {
  begin({{}, 1, true, {}});
  run.publish_frame(1);
  poll();
  const auto snapshot = follower.snapshot();
  const SeriesPlan plan(*snapshot->schema, PrometheusConfig{});
  std::map<std::string, std::uint64_t> expected = wire_values(make_tensor_families(*snapshot, plan));
  EXPECT_GT(expected.size(), 150u);
  const auto run_families = make_run_families(*snapshot, 0, 0);
  for (const char* name : {"vigil_update_ratio", "vigil_model_sparsity_ratio"})
    expected[key(name)] = wire_bits(find_family(run_families, name)->samples.at(0).value);
  std::map<std::string, std::uint64_t> got;
  for (const auto& [series, values] : sent) {
    ASSERT_EQ(values.size(), 1u) << series;
    EXPECT_EQ(values[0].first, kStartNs / 1'000'000) << "when the frame was taken";
    got[series] = values[0].second;
  }
  EXPECT_EQ(difference(got, expected), "");
}

TEST_F(Samples, OfTensorsAreNotSentUnlessAskedFor) {
  begin();
  run.publish_frame(1);
  poll();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent.count(key("vigil_update_ratio")), 1u);
  EXPECT_EQ(sent.count(key("vigil_model_sparsity_ratio")), 1u);
}

TEST_F(Samples, OfTensorsStayWithinTheBoundOnSeries) {
  RunSamplesOptions options;
  options.tensors = true;
  options.series.max_series = 30;
  begin(options);
  run.publish_frame(1);
  poll();
  EXPECT_LE(sent.size(), 32u) << "and the update ratio and the sparsity";
  EXPECT_GT(sent.size(), 9u);
}

TEST_F(Samples, OfATensorThatIsGoneEndAndOfALayerComeOnceForEachMeasurement) {
  begin({{}, 1, true, {}});
  const auto schema = run.channel()->schema();
  FrameHeader header{1, kStartNs, 1};
  std::vector<TensorRow> rows(schema.rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = {make_moments(i), TensorRow::present};
  const std::vector<MagnitudeHistogram> histograms(schema.histograms);
  std::vector<ActivationRow> activations(1);
  activations[0].moments = make_moments(4);
  activations[0].step = 1;
  const std::vector<LayerLabel> layers{{"conv", "train"}};
  samples->on_frame({header, rows, histograms, activations, layers});
  header.wall_time_ns += 1'000'000'000;
  rows[3].state = TensorRow::absent;  // the gradient of conv.weight
  samples->on_frame({header, rows, histograms, activations, layers});
  activations[0].step = 3;
  header.wall_time_ns += 1'000'000'000;
  samples->on_frame({header, rows, histograms, activations, layers});
  samples->release_before(kStartNs + std::int64_t{10'000'000'000});
  const auto& gradient = sent[key("vigil_gradient_mean", {{"parameter", "conv.weight"}, {"layer", "conv"}})];
  ASSERT_EQ(gradient.size(), 2u);
  EXPECT_EQ(gradient[1].second, kStaleBits);
  EXPECT_EQ(sent[key("vigil_gradient_mean", {{"parameter", "conv.bias"}, {"layer", "conv"}})].size(), 3u);
  const auto& activation = sent[key("vigil_activation_mean", {{"layer", "conv"}, {"phase", "train"}})];
  ASSERT_EQ(activation.size(), 2u) << "the second frame only repeats it";
  EXPECT_EQ(activation[1].first - activation[0].first, 2000);
}

TEST_F(Samples, BeforeTheCursorAreSkippedAndTheCursorFollowsWhatIsDone) {
  const std::int64_t start_ms = kStartNs / 1'000'000;
  begin({}, {start_ms + 20, SampleProgress::kNone});
  progress.steps->queued_ms = start_ms + 20;
  for (std::uint64_t step = 1; step <= 4; ++step) run.publish_step(step, static_cast<double>(step));
  poll();
  EXPECT_EQ(sent[key("vigil_loss")],
            (std::vector<std::pair<std::int64_t, std::uint64_t>>{{start_ms + 30, bits_of(3)}, {start_ms + 40, bits_of(4)}}));
  EXPECT_EQ(sent[key("vigil_step_duration_seconds_count", {{"phase", "total"}})].back().second, bits_of(4)) << "counts what was skipped";
  EXPECT_EQ(samples->cursor().steps_ms, SampleProgress::kNone);
  progress.steps->finish(start_ms + 40);
  EXPECT_EQ(samples->cursor().steps_ms, start_ms + 40);
}

TEST_F(Samples, AClockThatIsSetBackIsToldOnce) {
  begin();
  run.publish_step(5);
  for (std::uint64_t step = 1; step <= 3; ++step) run.publish_step(step);
  poll();
  EXPECT_EQ(captured.count("are left out, as their times are not after those of the ones before: a clock was set back"), 1u);
  EXPECT_GT(losses->out_of_order, 100u);
}

TEST_F(Samples, OfUserScalarsAreAsManyAsHaveNames) {
  begin();
  std::vector<double> scalars(run.channel()->scalar_capacity(), 0.25);
  StepRecord record;
  record.wall_time_ns = kStartNs;
  record.user_scalars = 1'000'000;  // as a broken file may say
  samples->on_step(record, scalars.data(), {"a", "b"});
  record.wall_time_ns += 1'000'000;
  record.user_scalars = 1;
  samples->on_step(record, scalars.data(), {"a", "b"});
  samples->release_before(kStartNs + std::int64_t{1'000'000'000});
  EXPECT_EQ(sent[key("vigil_user_scalar", {{"name", "a"}})].size(), 2u);
  EXPECT_EQ(sent[key("vigil_user_scalar", {{"name", "b"}})].size(), 1u);
}

}  // namespace
}  // namespace vigil
