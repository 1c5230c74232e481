// Remote write into the real Prometheus: every sample of a run is there, with its value and its time, whatever happens to the receiver.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "daemon/sent_samples.h"
#include "e2e/wait_until.h"
#include "exporters/captured_log.h"
#include "exporters/test_run.h"
#include "exporters/text_parser.h"
#include "files.h"
#include "servers/password_file.h"
#include "servers/push_receivers.h"
#include "vigil/daemon/remote_write.h"
#include "vigil/monitor/clock.h"

namespace vigil {
namespace {

using namespace test;
using nlohmann::json;
using std::chrono::milliseconds;

using Samples = std::vector<std::pair<std::int64_t, double>>;
using SamplesBySeries = std::map<std::string, Samples>;

std::string key_of(const json& metric) {
  std::map<std::string, std::string> labels = metric.get<std::map<std::string, std::string>>();
  const std::string name = labels.at("__name__");
  labels.erase("__name__");
  return series_key(name, labels);
}

// All that Prometheus has of a run: times in milliseconds, and values as it writes them.
SamplesBySeries stored_of(const RemoteWriteReceiver& receiver, const std::string& run) {
  SamplesBySeries all;
  for (const json& series : receiver.query("{run=\"" + run + "\"}[2h]")) {
    Samples& samples = all[key_of(series["metric"])];
    for (const json& value : series["values"]) {
      samples.emplace_back(std::llround(value[0].get<double>() * 1e3), std::strtod(value[1].get<std::string>().c_str(), nullptr));
    }
  }
  return all;
}

// NaN equals NaN, and 0 does not equal -0.
bool equal(const Samples& one, const Samples& other) {
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [](const auto& a, const auto& b) { return a.first == b.first && wire_bits(a.second) == wire_bits(b.second); });
}

std::string difference_of(const SamplesBySeries& got, const SamplesBySeries& expected) {
  std::string lines;
  for (const auto& [series, samples] : expected) {
    const auto found = got.find(series);
    if (found == got.end()) {
      lines += "missing: " + series + "\n";
    } else if (!equal(found->second, samples)) {
      std::size_t at = 0;
      while (at < std::min(found->second.size(), samples.size()) && equal({found->second[at]}, {samples[at]})) ++at;
      lines += series + ": " + std::to_string(found->second.size()) + " samples where there should be " + std::to_string(samples.size()) +
               ", the first that differs is that of number " + std::to_string(at) + "\n";
    }
  }
  for (const auto& [series, samples] : got) {
    if (expected.count(series) == 0) lines += "not expected: " + series + "\n";
  }
  return lines;
}

// A run that goes on with known values; remembers, by the code of /metrics, what every series was at every step.
class KnownRun {
 public:
  explicit KnownRun(const std::string& name, std::int64_t start_ns) : start_ns_(start_ns), random_(std::hash<std::string>{}(name)) {
    schema_.identity.run = name;
    schema_.identity.model = "Net";
    schema_.identity.start_time_ns = start_ns;
    schema_.learning_rates = 2;
    schema_.groups = {"generator/0", "discriminator/0"};
    run_ = std::make_unique<TestRun>(schema_, ChannelBounds{16, 0});
    run_->channel()->scalar_names().find_or_append("validation/accuracy \"top 1\"");
  }
  std::shared_ptr<const Schema> schema() const { return std::make_shared<const Schema>(schema_); }

  // The next step, `ms` milliseconds and a bit after the one before.
  void step(RunSamples& samples, std::int64_t ms) {
    ++step_;
    time_ns_ += ms * 1'000'000 + (ms > 0 ? static_cast<std::int64_t>(random_() % 900'000) : 0);
    StepRecord& record = run_->record();
    record.flags |= StepRecord::has_data_time | StepRecord::has_clip_ratio | StepRecord::has_device_memory;
    record.clip_ratio = 1 / static_cast<double>(step_);
    record.device_allocated = random_();
    record.multiply_accumulates = 12'345;
    record.data_ns = random_() % 1'000'000;
    record.gradient_norm = step_ % 101 == 0 ? kInf : std::exp(static_cast<double>(random_() % 1000) / 100);
    record.totals.examples += 32;
    record.totals.nonfinite_steps += step_ % 97 == 0;
    run_->scalars()[0] = 0.1 / static_cast<double>(step_);
    run_->scalars()[1] = step_ % 3 == 0 ? -0.0 : 1e-300;
    run_->scalars()[2] = static_cast<double>(random_()) / 1e10;
    record.step = step_;
    record.loss = step_ % 97 == 0 ? kNan : step_ % 89 == 0 ? -kInf : static_cast<double>(random_()) / 3e9;
    record.wall_time_ns = start_ns_ + time_ns_;
    record.user_scalars = 1;
    run_->channel()->publish(record, run_->scalars().data());
    samples.on_step(record, run_->scalars().data(), {"validation/accuracy \"top 1\""});
    samples.release_before(record.wall_time_ns);
    remember(record);
  }
  const SamplesBySeries& expected() const { return expected_; }
  const Samples& losses() const { return losses_; }
  std::int64_t time_ns() const { return start_ns_ + time_ns_; }

 private:
  void remember(const StepRecord& record) {
    const std::int64_t time_ms = record.wall_time_ns / 1'000'000;
    std::vector<Family> families = make_run_families(*run_->snapshot(), 0, 0);
    for (Family& family : families) {
      if (!is_pushed(family.name)) continue;
      std::vector<Family> one;
      one.push_back(std::move(family));
      for (const auto& [series, bits] : wire_values(one)) {
        double value = 0;
        std::memcpy(&value, &bits, sizeof value);
        Samples& samples = expected_[series];
        if (!samples.empty() && samples.back().first == time_ms) samples.pop_back();
        samples.emplace_back(time_ms, value);
      }
    }
    if (!losses_.empty() && losses_.back().first == time_ms) losses_.pop_back();
    losses_.emplace_back(time_ms, record.loss);
  }
  static bool is_pushed(std::string_view name) {
    for (const Metric metric : {Metric::build_info, Metric::run_state, Metric::model_parameters, Metric::model_bytes, Metric::model_layers,
                                Metric::overhead_ratio, Metric::ring_overwritten, Metric::ring_torn, Metric::series, Metric::series_dropped,
                                Metric::hook_errors, Metric::activation_layers_dropped, Metric::precision_advice}) {
      if (metric_row(metric).name == name) return false;
    }
    return true;
  }

  const std::int64_t start_ns_;
  std::mt19937_64 random_;
  Schema schema_;
  std::unique_ptr<TestRun> run_;
  std::uint64_t step_ = 0;
  std::int64_t time_ns_ = 0;
  SamplesBySeries expected_;
  Samples losses_;
};

class RemoteWriteServer : public testing::Test {
 protected:
  RemoteWriteOptions options() const {
    RemoteWriteOptions options;
    options.url = prometheus.write_url();
    options.interval = milliseconds(100);
    return options;
  }
  static bool wait_for_all(const RemoteWrite& write) {
    return wait_until(120, [&] { return write.counters().queued == 0; });
  }

  const TemporaryFolder folder;
  RemoteWriteReceiver prometheus{folder.path()};
  CapturedLog captured;
};

TEST_F(RemoteWriteServer, HasEverySampleOfTenThousandStepsWithItsValueAndTime) {
  prometheus.start();
  RemoteWrite write(options());
  KnownRun run("ten thousand", wall_time_ns() - std::int64_t{1'500'000'000'000});
  const auto samples = write.begin_run(run.schema());
  std::mt19937 random(1);
  for (int step = 1; step <= 10'000; ++step) run.step(*samples, static_cast<std::int64_t>(random() % 200));
  samples->release_before(run.time_ns() + 1'000'000);
  ASSERT_TRUE(wait_for_all(write));
  const RemoteWriteCounters counters = write.counters();
  EXPECT_EQ(counters.failed + counters.dropped + counters.out_of_order, 0u);
  EXPECT_GT(counters.replaced, 0u) << "steps in the same millisecond were among them";

  const SamplesBySeries stored = stored_of(prometheus, "ten thousand");
  EXPECT_EQ(difference_of(stored, run.expected()), "");
  std::uint64_t count = 0;
  for (const auto& [series, values] : stored) count += values.size();
  EXPECT_EQ(count, counters.sent);
  EXPECT_GE(stored.size(), 48u);
  EXPECT_TRUE(equal(stored.at(series_key("vigil_loss", {{"run", "ten thousand"}, {"rank", "0"}})), run.losses()));
  EXPECT_GT(run.losses().size(), 9000u);
  RecordProperty("samples", std::to_string(count));
  RecordProperty("requests", std::to_string(counters.requests));
}

TEST_F(RemoteWriteServer, LosesNothingWhenItIsKilledAndStartedAgain) {
  prometheus.start();
  RemoteWrite write(options());
  KnownRun run("killed", wall_time_ns() - std::int64_t{1'500'000'000'000}),
      other("other", wall_time_ns() - std::int64_t{1'400'000'000'000});
  const auto samples = write.begin_run(run.schema()), samples_of_other = write.begin_run(other.schema());
  for (int round = 0; round < 3; ++round) {
    for (int step = 0; step < 1000; ++step) {
      run.step(*samples, 100);
      other.step(*samples_of_other, 70);
    }
    prometheus.end();  // SIGKILL, while samples are on their way
    for (int step = 0; step < 500; ++step) run.step(*samples, 100);
    const std::uint64_t tries = write.counters().requests;
    ASSERT_TRUE(wait_until(30, [&] { return write.counters().requests > tries; })) << "it tries in vain";
    prometheus.start();
  }
  samples->release_before(run.time_ns() + 1'000'000);
  samples_of_other->release_before(other.time_ns() + 1'000'000);
  ASSERT_TRUE(wait_for_all(write));
  EXPECT_EQ(write.counters().dropped, 0u);
  EXPECT_GT(write.counters().retried, 0u);
  EXPECT_EQ(difference_of(stored_of(prometheus, "killed"), run.expected()), "");
  EXPECT_EQ(difference_of(stored_of(prometheus, "other"), other.expected()), "");
}

TEST_F(RemoteWriteServer, BehindAFullQueueHasTheNewestInOrder) {
  RemoteWriteOptions small = options();
  small.queue_bytes = 256 << 10;
  RemoteWrite write(small);
  KnownRun run("small", wall_time_ns() - std::int64_t{1'500'000'000'000});
  const auto samples = write.begin_run(run.schema());
  for (int step = 0; step < 3000; ++step) run.step(*samples, 100);
  samples->release_before(run.time_ns() + 1'000'000);
  const std::uint64_t made = write.counters().dropped + write.counters().queued;
  prometheus.start();
  ASSERT_TRUE(wait_for_all(write));
  const RemoteWriteCounters counters = write.counters();
  EXPECT_EQ(counters.sent + counters.dropped, made);
  EXPECT_EQ(counters.failed, 0u);
  EXPECT_GT(counters.dropped, 0u);
  // Of each series the end, without a gap; what was on its way when the queue was full may stand before it.
  std::uint64_t stored_samples = 0;
  for (const auto& [series, stored] : stored_of(prometheus, "small")) {
    stored_samples += stored.size();
    const Samples& all = run.expected().at(series);
    std::size_t behind = 0;
    while (behind < stored.size() && equal({stored[stored.size() - 1 - behind]}, {all[all.size() - 1 - behind]})) ++behind;
    EXPECT_GE(behind, 150u) << series;
    EXPECT_LE(stored.size() - behind, 2000 / run.expected().size()) << series << ": at most a batch of 2000 samples";
  }
  EXPECT_EQ(stored_samples, counters.sent);
}

TEST_F(RemoteWriteServer, HasNoSeriesOfARunThatIsOver) {
  prometheus.start();
  RemoteWriteOptions with_tensors = options();
  with_tensors.tensors = true;
  with_tensors.labels = {{"instance", "node1"}};
  RemoteWrite write(with_tensors);
  TestRun run;  // with a name that has quotes and a backslash
  Schema schema = run.channel()->schema();
  const std::int64_t now = wall_time_ns();
  schema.identity.run = "over";
  const auto samples = write.begin_run(std::make_shared<const Schema>(schema));
  run.publish_frame(1);
  run.publish_step(1);
  RunFollower follower(*run.channel());
  follower.poll(
      [&](StepRecord record, const double* scalars) {
        record.wall_time_ns = now - 2'000'000'000;
        samples->on_step(record, scalars, {});
      },
      [&](const Frame& frame) {
        FrameHeader header = frame.header;
        header.wall_time_ns = now - 2'100'000'000;
        samples->on_frame({header, frame.rows, frame.histograms, frame.activations, frame.layers});
      });
  samples->release_before(now);
  ASSERT_TRUE(wait_for_all(write));
  const std::size_t series = prometheus.query("{run=\"over\"}").size();
  EXPECT_GT(series, 200u);
  EXPECT_EQ(prometheus.query("{run=\"over\",instance=\"node1\"}").size(), series);
  samples->end();
  ASSERT_TRUE(wait_for_all(write));
  EXPECT_EQ(prometheus.query("{run=\"over\"}").size(), 0u) << "at once, not after five minutes";
  EXPECT_EQ(prometheus.query("{run=\"over\"}[1h]").size(), series) << "what was is still there";
  EXPECT_EQ(write.counters().failed, 0u);
}

TEST_F(RemoteWriteServer, SaysWhatItRefuses) {
  prometheus.start();
  RemoteWrite write(options());
  KnownRun now_run("now", wall_time_ns());
  const auto samples = write.begin_run(now_run.schema());
  now_run.step(*samples, 1);
  now_run.step(*samples, 100);
  ASSERT_TRUE(wait_for_all(write));
  // Hours before what the receiver has: it takes nothing that old.
  KnownRun old_run("old", wall_time_ns() - std::int64_t{7'200'000'000'000});
  const auto old_samples = write.begin_run(old_run.schema());
  old_run.step(*old_samples, 1);
  old_run.step(*old_samples, 100);
  now_run.step(*samples, 100);
  now_run.step(*samples, 100);
  ASSERT_TRUE(wait_for_all(write));
  EXPECT_GT(write.counters().failed, 0u);
  EXPECT_EQ(captured.count("HTTP status 400: out of bounds"), 1u);
  EXPECT_EQ(stored_of(prometheus, "now")[series_key("vigil_loss", {{"run", "now"}, {"rank", "0"}})].size(), 3u)
      << "the other run's samples are there";
}

TEST_F(RemoteWriteServer, WantsAPasswordAndGetsIt) {
  const auto config = folder.write("web.yml", kPasswordFile);
  RemoteWriteReceiver guarded(folder.path(), config.string());
  guarded.start();
  RemoteWriteOptions wrong = options();
  wrong.url = guarded.write_url();
  RemoteWriteOptions right = wrong;
  right.files.basic_auth = folder.write("password", "aladdin:sesame\n").string();
  RemoteWrite without(wrong), with(right);
  KnownRun run("guarded", wall_time_ns() - 10'000'000'000);
  for (RemoteWrite* write : {&without, &with}) {
    const auto samples = write->begin_run(run.schema());
    run.step(*samples, 100);
    run.step(*samples, 100);
    ASSERT_TRUE(wait_for_all(*write));
  }
  EXPECT_EQ(without.counters().sent, 0u);
  EXPECT_GT(without.counters().failed, 0u);
  EXPECT_GT(with.counters().sent, 0u);
  EXPECT_EQ(captured.count("HTTP status 401: Unauthorized"), 1u);
}

}  // namespace
}  // namespace vigil
