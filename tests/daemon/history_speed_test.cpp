// What the history costs, and how long its answers take. The figures are properties of the tests (--gtest_output=json).
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "daemon/history_run.h"
#include "effort.h"
#include "files.h"
#include "vigil/daemon/history_reader.h"
#include "vigil/daemon/history_writer.h"

namespace vigil {
namespace {

using namespace test;

constexpr std::uint64_t kSteps = kIsSanitized ? 100'000 : 1'000'000;  // and the limits below are those of a million
constexpr double kCpuFactor = kIsSanitized ? 20 : 1;

double wall_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Of this process, user and system.
double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec); };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

HistoryOptions options_at(const std::string& path) {
  HistoryOptions options;
  options.path = path;
  return options;
}

std::string milliseconds(double seconds) { return std::to_string(static_cast<int>(seconds * 1000 + 0.5)); }

MadeStep make_with_few_nans(std::uint64_t seed, std::uint64_t step) { return make_plausible_step(seed, step, 50'000); }

TEST(HistorySpeed, ARunOfAMillionStepsOpensWithinASecond) {
  const TemporaryFolder folder;
  const std::string path = folder.file("history.db");
  HistoryWriter writer(options_at(path));
  const RingKey key = writer.begin_ring(ring_id(1), make_history_schema(), kNow).key;
  const double made_from = cpu_seconds();
  for (std::uint64_t step = 1; step <= kSteps; ++step) make_with_few_nans(5, step);
  const double making = cpu_seconds() - made_from, cpu = cpu_seconds(), wall = wall_seconds();
  write_steps(writer, key, 5, 1, kSteps, 2000, make_with_few_nans);
  RecordProperty("write_cpu_ms", milliseconds(cpu_seconds() - cpu - making));
  RecordProperty("write_wall_ms", milliseconds(wall_seconds() - wall - making));
  ASSERT_TRUE(writer.retain(kNow).ok());
  RecordProperty("bytes_per_step", std::to_string(static_cast<double>(writer.counters().database_bytes) / static_cast<double>(kSteps)));

  SeriesRequest request = series_of({"mnist", 1}, {"loss", "gradient_norm", "step_seconds", "learning_rate[generator/0]", "data_seconds"});
  request.max_points = 2000;
  double longest = 0;
  for (const char* property : {"first_answer_ms", "second_answer_ms"}) {
    const double begin = wall_seconds();
    const SeriesReply reply = HistoryReader({path}).series(request);
    const double taken = wall_seconds() - begin;
    RecordProperty(property, milliseconds(taken));
    longest = std::max(longest, taken);
    ASSERT_EQ(reply.series.size(), 5u);
    for (const Series& series : reply.series) {
      EXPECT_LE(series.points.size(), 2000u);
      EXPECT_GT(series.points.size(), 400u);
      EXPECT_EQ(series.points.back().step, kSteps);
    }
    std::uint64_t nonfinite = 0;
    for (const NonfiniteSteps& stretch : reply.nonfinite) nonfinite += stretch.steps;
    EXPECT_EQ(nonfinite, kSteps / 50'000);
  }
  EXPECT_LT(longest, 1.0);

  // What a page asks every second.
  HistoryReader reader({path});
  request.since = HistoryCursor{1, kSteps - 1};
  reader.series(request);
  const double polls_from = cpu_seconds();
  constexpr int kPolls = 100;
  for (int i = 0; i < kPolls; ++i) reader.series(request);
  RecordProperty("poll_cpu_us", std::to_string(static_cast<int>((cpu_seconds() - polls_from) / kPolls * 1e6)));
}

// 64 trainers with a step a second, and a frame of 600 tensors with each, of which one in ten is kept.
TEST(HistorySpeed, SixtyFourTrainersTakeWellBelowTwoPercentOfACore) {
  constexpr std::uint64_t kRings = 64, kSeconds = 330;
  const TemporaryFolder folder;
  const std::string path = folder.file("history.db");
  HistoryWriter writer(options_at(path));
  const Schema schema = make_history_schema("run", 300);
  std::vector<RingKey> keys;
  for (std::uint64_t ring = 0; ring < kRings; ++ring)
    keys.push_back(writer.begin_ring(ring_id(ring), make_history_schema("run" + std::to_string(ring), 300), kNow).key);
  std::vector<MadeFrame> frames;
  for (std::uint64_t i = 0; i < 20; ++i) frames.push_back(make_frame(schema, i, i + 1));
  double writing = 0, longest_turn = 0, longest_retain = 0;
  for (std::uint64_t second = 1; second <= kSeconds; ++second) {
    const std::int64_t now = kNow + static_cast<std::int64_t>(second) * kSecond;
    std::vector<MadeStep> steps;
    for (std::uint64_t ring = 0; ring < kRings; ++ring) {
      steps.push_back(make_plausible_step(ring, second));
      steps.back().record.wall_time_ns = now;
    }
    const double cpu = cpu_seconds(), wall = wall_seconds();
    writer.begin(now);
    for (std::uint64_t ring = 0; ring < kRings; ++ring) {
      MadeFrame& frame = frames[(ring + second) % frames.size()];
      frame.header.step = second;
      frame.header.wall_time_ns = now;
      writer.add_frame(keys[ring], frame.view());
      writer.add_step(keys[ring], steps[ring].record, steps[ring].scalars.data(), made_scalar_names());
      writer.set_state(keys[ring], "running", "", 0);
      writer.set_cursors(keys[ring], {second, second, 0});
    }
    ASSERT_TRUE(writer.commit().ok());
    longest_turn = std::max(longest_turn, wall_seconds() - wall);
    const double before_retain = wall_seconds();
    ASSERT_TRUE(writer.retain(now).ok());
    longest_retain = std::max(longest_retain, wall_seconds() - before_retain);
    writing += cpu_seconds() - cpu;
  }
  const double percent = 100 * writing / static_cast<double>(kSeconds);
  RecordProperty("cpu_percent_of_a_core", std::to_string(percent));
  RecordProperty("longest_turn_ms", milliseconds(longest_turn));
  RecordProperty("longest_retain_ms", milliseconds(longest_retain));
  const HistoryCounters counters = writer.counters();
  EXPECT_EQ(counters.steps, kRings * kSeconds);
  EXPECT_EQ(counters.frames, kRings * kSeconds / 10);
  RecordProperty("bytes_per_frame", std::to_string(counters.database_bytes / counters.frames));
  RecordProperty("checkpoints", std::to_string(counters.checkpoints));
  RecordProperty("database_bytes_per_day", std::to_string(counters.database_bytes * 86'400 / kSeconds));
  EXPECT_LT(percent, 2 * kCpuFactor);
}

// One figure of a tensor over a day, at the default interval.
TEST(HistorySpeed, ADayOfATensorsFramesIsAnsweredInTime) {
  constexpr std::uint64_t kFrames = kSteps / 1000 * 9;
  const TemporaryFolder folder;
  const std::string path = folder.file("history.db");
  HistoryWriter writer(options_at(path));
  const Schema schema = make_history_schema("mnist", 300);
  const RingKey key = writer.begin_ring(ring_id(1), schema, kNow).key;
  MadeFrame frame = make_frame(schema, 1, 1);
  for (std::uint64_t i = 1; i <= kFrames;) {
    writer.begin(kNow);
    for (int k = 0; k < 500 && i <= kFrames; ++k, ++i) {
      frame.header.step = i * 1000;
      frame.header.wall_time_ns = kNow + static_cast<std::int64_t>(i) * 10 * kSecond;
      frame.rows[7].moments.max = i == 33 ? 77 : 1;
      writer.add_frame(key, frame.view());
    }
    ASSERT_TRUE(writer.commit().ok());
  }
  HistoryReader reader({path});
  const double answer_from = wall_seconds();
  const TensorSeriesReply reply = reader.tensor_series(tensor_series_of({"mnist", 1}, TensorKind::parameter, "layer7.weight", "max"));
  const double taken = wall_seconds() - answer_from;
  RecordProperty("answer_ms", milliseconds(taken));
  RecordProperty("passed_over", std::to_string(reply.passed_over));
  EXPECT_LE(reply.points.size(), 2000u);
  EXPECT_GT(reply.points.size(), 300u);
  EXPECT_EQ(reply.points.back().value, 1);
  EXPECT_LT(taken, 1.0);
}

}  // namespace
}  // namespace vigil
