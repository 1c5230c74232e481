#include "vigil/daemon/history_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "daemon/history_run.h"
#include "exporters/alert_message.h"
#include "files.h"
#include "vigil/daemon/history_writer.h"
#include "vigil/monitor/statistics.h"
#include "vigil/monitor/update_ratio.h"

namespace vigil {
namespace {

using namespace test;

class HistoryReaderTest : public testing::Test {
 protected:
  static HistoryOptions options_at(const std::string& path) {
    HistoryOptions options;
    options.path = path;
    return options;
  }
  RingKey begin(std::uint64_t id, std::int64_t start_time_ns = kNow, std::size_t tensors = 3) {
    return writer_.begin_ring(ring_id(id), make_history_schema("mnist", tensors, start_time_ns), kNow).key;
  }
  void set_state(RingKey key, const char* state, std::int64_t ended_ns) {
    writer_.begin(kNow);
    writer_.set_state(key, state, "", ended_ns);
    ASSERT_TRUE(writer_.commit().ok());
  }
  void add_frame(RingKey key, const MadeFrame& frame) {
    writer_.begin(kNow);
    writer_.add_frame(key, frame.view());
    ASSERT_TRUE(writer_.commit().ok());
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_.file("history.db");
  HistoryWriter writer_{options_at(path_)};
  HistoryReader reader_{{path_}};
  const RunSelector run_{"mnist", 1};
};

// Value of a series at a step, as the record says; nothing where it has none.
std::optional<double> value_of(const std::string& name, const MadeStep& made) {
  const StepRecord& record = made.record;
  const auto seconds = [](std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; };
  const auto when = [&](StepRecord::Flag flag, double value) { return record.has(flag) ? std::optional(value) : std::nullopt; };
  if (name == "loss") return when(StepRecord::has_loss, record.loss);
  if (name == "gradient_norm") return when(StepRecord::has_gradient_norm, record.gradient_norm);
  if (name == "parameter_norm") return when(StepRecord::has_parameter_norm, record.parameter_norm);
  if (name == "clip_ratio") return when(StepRecord::has_clip_ratio, record.clip_ratio);
  if (name == "step_seconds") return when(StepRecord::has_total_time, seconds(record.total_ns));
  if (name == "data_seconds") return when(StepRecord::has_data_time, seconds(record.data_ns));
  if (name == "forward_backward_seconds") return when(StepRecord::has_total_time, seconds(record.forward_backward_ns));
  if (name == "optimizer_seconds") return when(StepRecord::has_optimizer_time, seconds(record.optimizer_ns));
  if (name == "vigil_seconds") return when(StepRecord::has_total_time, seconds(record.vigil_ns));
  if (name == "examples") return static_cast<double>(record.examples);
  if (name == "device_peak_bytes") return when(StepRecord::has_device_memory, static_cast<double>(record.device_peak));
  if (name == "nonfinite_steps_total") return static_cast<double>(record.totals.nonfinite_steps);
  if (name == "learning_rate[generator/0]") return made.scalars[0];
  if (name == "learning_rate[critic/0]") return made.scalars[1];
  for (std::size_t i = 0; i < record.user_scalars; ++i) {
    if (name == "user_scalar[" + std::string(made_scalar_names().at(i)) + "]") return made.scalars[2 + i];
  }
  return {};
}

const std::vector<std::string> kNames{"loss",
                                      "gradient_norm",
                                      "parameter_norm",
                                      "clip_ratio",
                                      "step_seconds",
                                      "data_seconds",
                                      "forward_backward_seconds",
                                      "optimizer_seconds",
                                      "vigil_seconds",
                                      "examples",
                                      "device_peak_bytes",
                                      "nonfinite_steps_total",
                                      "learning_rate[generator/0]",
                                      "learning_rate[critic/0]",
                                      "user_scalar[validation/accuracy]",
                                      "user_scalar[entropy]",
                                      "user_scalar[temperature]"};

TEST_F(HistoryReaderTest, SeriesHoldEveryPointAsItWasWritten) {
  write_steps(writer_, begin(1), 5, 1, 1500, 77);
  SeriesRequest request = series_of(run_, kNames);
  request.since = HistoryCursor{0, 100};
  request.until = 1400;
  const SeriesReply reply = reader_.series(request);
  EXPECT_FALSE(reply.is_downsampled);
  EXPECT_EQ(reply.next.step, 1400u);
  ASSERT_EQ(reply.series.size(), kNames.size());
  for (const Series& series : reply.series) {
    std::size_t i = 0;
    for (std::uint64_t step = 101; step <= 1400; ++step) {
      const MadeStep made = make_step(5, step);
      const auto expected = value_of(series.name, made);
      if (!expected) continue;
      ASSERT_LT(i, series.points.size()) << series.name;
      EXPECT_EQ(series.points[i].step, step) << series.name;
      EXPECT_EQ(series.points[i].time_ns, made.record.wall_time_ns);
      EXPECT_TRUE(is_same(series.points[i].value, *expected)) << series.name << " " << step;
      EXPECT_EQ(series.points[i].nonfinite, std::isfinite(*expected) ? 0u : 1u);
      ++i;
    }
    EXPECT_EQ(i, series.points.size()) << series.name;
  }
  EXPECT_EQ(reply.series[4].unit, "seconds");
}

TEST_F(HistoryReaderTest, NamesListWhatTheRunHas) {
  write_steps(writer_, begin(1), 5, 1, 20);
  std::vector<std::string> names;
  for (const SeriesName& name : reader_.series_names(run_)) names.push_back(name.name);
  for (const std::string& name : kNames) EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
}

// Compares what is kept of a long series with all of it: in each stretch between kept points no value lies outside what is kept around it.
TEST_F(HistoryReaderTest, DownsamplingLosesNoExtremeAndNoNonfiniteStep) {
  constexpr std::uint64_t kSteps = 40'000;
  write_steps(writer_, begin(1), 5, 1, kSteps, 4000);
  for (const std::size_t max_points : {100u, 2000u, 12'000u}) {
    SeriesRequest request = series_of(run_, kNames);
    request.max_points = max_points;
    const SeriesReply reply = reader_.series(request);
    EXPECT_TRUE(reply.is_downsampled);
    std::map<std::string, std::vector<SeriesPoint>> all;
    std::uint64_t nonfinite_steps = 0;
    for (std::uint64_t step = 1; step <= kSteps; ++step) {
      const MadeStep made = make_step(5, step);
      nonfinite_steps += made.record.has(StepRecord::nonfinite);
      for (const std::string& name : kNames) {
        if (const auto value = value_of(name, made)) all[name].push_back({step, made.record.wall_time_ns, *value});
      }
    }
    for (const Series& series : reply.series) {
      const std::vector<SeriesPoint>& written = all[series.name];
      EXPECT_LE(series.points.size(), max_points) << series.name;
      PointSummary kept, expected;
      for (const SeriesPoint& point : series.points) kept.add(point);
      for (const SeriesPoint& point : written) expected.add(point);
      EXPECT_EQ(kept.smallest->value, expected.smallest->value) << series.name;
      EXPECT_EQ(kept.largest->value, expected.largest->value) << series.name;
      EXPECT_EQ(kept.first->step, expected.first->step);
      EXPECT_EQ(kept.last->step, expected.last->step);
      EXPECT_EQ(kept.nonfinite ? kept.nonfinite->nonfinite : 0, expected.nonfinite ? expected.nonfinite->nonfinite : 0) << series.name;
      // Each is a point that was written, and in every tenth of the range the extremes are those of that tenth or of a neighbouring bucket.
      const std::uint64_t bucket = kSteps / (max_points / Downsampler::kBucketPoints) + 1 + kBlockSteps;
      for (std::uint64_t begin = 1; begin + 2 * bucket < kSteps; begin += kSteps / 10) {
        double low = INFINITY, high = -INFINITY, kept_low = INFINITY, kept_high = -INFINITY;
        for (const SeriesPoint& point : written) {
          if (point.step < begin || point.step >= begin + bucket || !std::isfinite(point.value)) continue;
          low = std::min(low, point.value);
          high = std::max(high, point.value);
        }
        for (const SeriesPoint& point : series.points) {
          if (point.step + bucket < begin || point.step >= begin + 2 * bucket || !std::isfinite(point.value)) continue;
          kept_low = std::min(kept_low, point.value);
          kept_high = std::max(kept_high, point.value);
        }
        EXPECT_LE(kept_low, low) << series.name << " from " << begin;
        EXPECT_GE(kept_high, high) << series.name << " from " << begin;
      }
      for (const SeriesPoint& point : series.points) {
        const auto same = std::lower_bound(written.begin(), written.end(), point.step,
                                           [](const SeriesPoint& other, std::uint64_t step) { return other.step < step; });
        ASSERT_TRUE(same != written.end() && same->step == point.step) << series.name << " " << point.step;
        EXPECT_TRUE(is_same(same->value, point.value));
        EXPECT_EQ(same->time_ns, point.time_ns);
      }
    }
    std::uint64_t told = 0;
    for (const NonfiniteSteps& stretch : reply.nonfinite) told += stretch.steps;
    EXPECT_EQ(told, nonfinite_steps);
    EXPECT_LE(reply.nonfinite.size(), max_points);
  }
}

TEST_F(HistoryReaderTest, PollingSeesEveryPointExactlyOnceAcrossAttempts) {
  std::map<std::int64_t, std::vector<std::uint64_t>> seen;
  std::optional<HistoryCursor> since;
  const auto poll = [&] {
    SeriesRequest request = series_of(run_, {"examples", "user_scalar[entropy]"});
    // As an address has it.
    if (since) request.since = HistoryCursor::parse(since->text());
    const SeriesReply reply = reader_.series(request);
    for (const SeriesPoint& point : reply.series[0].points) seen[reply.attempt].push_back(point.step);
    since = reply.next;
  };
  const RingKey first = begin(1);
  std::uint64_t step = 0;
  for (const std::uint64_t count : {1, 5, 0, 300, 700, 1, 256, 0}) {
    if (count > 0) write_steps(writer_, first, 5, step + 1, step + count, 50);
    step += count;
    poll();
  }
  // The next attempt begins before the last steps of the first one are read, at an earlier step.
  const RingKey second = begin(2, kNow + kSecond);
  write_steps(writer_, second, 6, 900, 950);
  poll();
  write_steps(writer_, first, 5, step + 1, step + 7);
  set_state(first, "crashed", kNow);
  for (int i = 0; i < 3; ++i) poll();
  write_steps(writer_, second, 6, 951, 960);
  for (int i = 0; i < 2; ++i) poll();

  std::vector<std::uint64_t> of_first, of_second;
  for (std::uint64_t i = 1; i <= step + 7; ++i) of_first.push_back(i);
  for (std::uint64_t i = 900; i <= 960; ++i) of_second.push_back(i);
  EXPECT_EQ(seen[1], of_first);
  EXPECT_EQ(seen[2], of_second);
}

TEST_F(HistoryReaderTest, WhoPollsSeesScalarsThatCameLater) {
  const RingKey key = begin(1);
  write_steps(writer_, key, 5, 1, 30);
  SeriesRequest request = series_of(run_, {"loss", "user_scalar[entropy]"});
  request.since = reader_.series(request).next;
  MadeStep again = make_step(5, 30);
  again.record.flags |= StepRecord::again;
  again.scalars.assign(5, 0.75);
  writer_.begin(kNow);
  writer_.add_step(key, again.record, again.scalars.data(), made_scalar_names());
  ASSERT_TRUE(writer_.commit().ok());
  const SeriesReply reply = reader_.series(request);
  EXPECT_TRUE(reply.series[0].points.empty()) << "the loss is known";
  ASSERT_EQ(reply.series[1].points.size(), 1u);
  EXPECT_EQ(reply.series[1].points[0].step, 30u);
  EXPECT_EQ(reply.series[1].points[0].value, 0.75);
  request.since = reply.next;
  EXPECT_TRUE(reader_.series(request).series[1].points.empty());
  request.since = HistoryCursor{0, 30};
  EXPECT_TRUE(reader_.series(request).series[1].points.empty()) << "a step alone tells of no revision";
}

TEST_F(HistoryReaderTest, CursorsAreTextAndNothingElseIsOne) {
  EXPECT_EQ((HistoryCursor{3, 12, 1}).text(), "3.12.1");
  const auto parsed = HistoryCursor::parse("3.12.1");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->attempt, 3);
  EXPECT_EQ(parsed->step, 12u);
  EXPECT_EQ(parsed->revision, 1u);
  ASSERT_TRUE(HistoryCursor::parse("77"));
  EXPECT_EQ(HistoryCursor::parse("77")->step, 77u);
  EXPECT_EQ(HistoryCursor::parse("77")->attempt, 0);
  for (const char* text : {"", ".", "1.", "1.2.", "1.2.3.4", "-1", "1.-2", "x", "1 ", "99999999999999999999", "18446744073709551615.1"})
    EXPECT_FALSE(HistoryCursor::parse(text)) << text;
}

TEST_F(HistoryReaderTest, FramesGiveTheTensorsAtAStep) {
  const RingKey key = begin(1);
  const Schema schema = make_history_schema();
  for (std::uint64_t step = 1000; step <= 10'000; step += 1000) add_frame(key, make_frame(schema, 3, step));
  for (const std::uint64_t asked : {1000u, 4999u, 5000u, 99'999u}) {
    const MadeFrame written = make_frame(schema, 3, std::min<std::uint64_t>(asked / 1000 * 1000, 10'000));
    const HistoryFrame frame = reader_.frame(run_, asked);
    EXPECT_EQ(frame.header.step, written.header.step);
    EXPECT_EQ(frame.header.wall_time_ns, written.header.wall_time_ns);
    ASSERT_EQ(frame.rows.size(), written.rows.size());
    for (std::size_t i = 0; i < frame.rows.size(); ++i) {
      EXPECT_EQ(frame.rows[i].state, written.rows[i].state);
      for (const Statistic& statistic : kStatistics) {
        const double read = statistic.value(frame.rows[i].moments), expected = statistic.value(written.rows[i].moments);
        EXPECT_TRUE((std::isnan(expected) && std::isnan(read)) || std::fabs(read - expected) <= 1e-6 * std::fabs(expected))
            << statistic.name;
      }
    }
    ASSERT_EQ(frame.layers.size(), 3u);
    EXPECT_EQ(frame.layers[1].layer, "layer0/relu");
    EXPECT_EQ(frame.layers[2].phase, "validation");
    EXPECT_EQ(frame.activations[1].dead_ratio, 0.25);
  }
  EXPECT_EQ(reader_.frame(run_).header.step, 10'000u);

  const MadeFrame written = make_frame(schema, 3, 5000);
  const HistoryDistribution distribution = reader_.distribution(run_, TensorKind::gradient, "layer0.weight", 5500);
  EXPECT_EQ(distribution.step, 5000u);
  EXPECT_EQ(distribution.histogram.buckets, written.histograms[1].buckets);
  EXPECT_EQ(distribution.histogram.underflow, written.histograms[1].underflow);
  EXPECT_EQ(distribution.moments.zero_count, written.rows[3].moments.zero_count);
}

TEST_F(HistoryReaderTest, TensorSeriesFollowOneFigure) {
  const RingKey key = begin(1);
  const Schema schema = make_history_schema();
  std::vector<MadeFrame> frames;
  for (std::uint64_t step = 1000; step <= 50'000; step += 1000) add_frame(key, frames.emplace_back(make_frame(schema, 3, step)));
  const auto check = [&](TensorKind kind, const std::string& statistic, std::size_t row, auto expected) {
    const TensorSeriesReply reply = reader_.tensor_series(tensor_series_of(run_, kind, schema.rows[row].name, statistic));
    std::size_t i = 0;
    for (const MadeFrame& frame : frames) {
      const std::optional<double> value =
          frame.rows[row].state == TensorRow::present ? std::optional<double>(expected(frame.rows[row])) : std::nullopt;
      if (!value) continue;
      ASSERT_LT(i, reply.points.size()) << statistic;
      EXPECT_EQ(reply.points[i].step, frame.header.step);
      EXPECT_EQ(reply.points[i].time_ns, frame.header.wall_time_ns);
      EXPECT_NEAR(reply.points[i].value, *value, 1e-6 * std::fabs(*value)) << statistic;
      ++i;
    }
    EXPECT_EQ(i, reply.points.size()) << statistic;
  };
  for (const Statistic& statistic : kStatistics) {
    check(TensorKind::gradient, std::string(statistic.name), 4, [&](const TensorRow& row) { return statistic.value(row.moments); });
  }
  check(TensorKind::parameter, "update_ratio", 1, [&](const TensorRow& row) { return *update_ratio(schema.rows[1], row); });
  check(TensorKind::parameter, "exp_avg_sq_norm", 1, [](const TensorRow& row) { return row.state_norms[1]; });
  check(TensorKind::gradient, "cosine", 4, [](const TensorRow& row) { return row.cosine; });
  EXPECT_TRUE(reader_.tensor_series(tensor_series_of(run_, TensorKind::parameter, "layer1.weight", "distance")).points.empty())
      << "not measured";

  TensorSeriesRequest request = tensor_series_of(run_, TensorKind::parameter, "layer0.weight", "max");
  request.max_points = 10;
  const TensorSeriesReply few = reader_.tensor_series(request);
  EXPECT_TRUE(few.is_downsampled);
  EXPECT_LE(few.points.size(), 10u);
  double largest = 0;
  for (const MadeFrame& frame : frames) largest = std::max(largest, frame.rows[0].moments.max);
  EXPECT_EQ(std::max_element(few.points.begin(), few.points.end(), [](const auto& a, const auto& b) { return a.value < b.value; })->value,
            largest);
  request.max_points = 2000;
  request.since = HistoryCursor{0, 48'000};
  EXPECT_EQ(reader_.tensor_series(request).points.size(), 2u);
  request.since = reader_.tensor_series(request).next;
  EXPECT_TRUE(reader_.tensor_series(request).points.empty());
}

TEST_F(HistoryReaderTest, ACursorOfAnAttemptThatThereIsNotBeginsAnew) {
  write_steps(writer_, begin(1), 5, 1, 100);
  SeriesRequest request = series_of(run_, {"examples"});
  request.since = HistoryCursor{4, 50};
  EXPECT_EQ(reader_.series(request).series[0].points.size(), 100u) << "nothing of the attempt that there is was known";
}

TEST_F(HistoryReaderTest, EventsComeOnceAndInOrder) {
  const RingKey one = begin(1);
  const RingKey two = writer_.begin_ring(ring_id(2), make_history_schema("other"), kNow).key;
  writer_.begin(kNow);
  writer_.add_event(one, make_event(3));
  writer_.add_alert(two, make_alert(4));
  ASSERT_TRUE(writer_.commit().ok());
  EventsRequest request;
  request.since = 0;
  EventsReply reply = reader_.events(request);
  ASSERT_EQ(reply.events.size(), 2u);
  EXPECT_EQ(reply.events[0].run, "mnist");
  EXPECT_EQ(reply.events[0].rank, 1);
  EXPECT_EQ(reply.events[0].attempt, 1);
  EXPECT_EQ(reply.events[0].kind, "nonfinite");
  EXPECT_EQ(reply.events[0].time_ns, make_event(3).wall_time_ns);
  const auto event = nlohmann::json::parse(reply.events[0].json);
  EXPECT_EQ(event["operation"], "aten::log");
  EXPECT_EQ(event["found_by"], "replay");
  EXPECT_EQ(event["message"], make_event(3).message.view());
  EXPECT_EQ(event["operands"][0]["max"], "Infinity");
  EXPECT_EQ(event["operands"][0]["min"], -0.125);
  const auto alert = nlohmann::json::parse(reply.events[1].json);
  EXPECT_EQ(alert["alert"], "dead_units");
  EXPECT_EQ(alert["state"], "firing");
  EXPECT_EQ(reply.events[1].step, 4u);

  request.since = reply.next;
  EXPECT_TRUE(reader_.events(request).events.empty());
  writer_.begin(kNow);
  for (std::uint64_t step = 10; step < 20; ++step) writer_.add_event(step % 2 == 0 ? one : two, make_event(step));
  ASSERT_TRUE(writer_.commit().ok());
  request.max_events = 4;
  std::vector<std::uint64_t> steps;
  for (int i = 0; i < 4; ++i) {
    reply = reader_.events(request);
    for (const HistoryEvent& one_event : reply.events) steps.push_back(one_event.step);
    request.since = reply.next;
  }
  EXPECT_EQ(steps, (std::vector<std::uint64_t>{10, 11, 12, 13, 14, 15, 16, 17, 18, 19}));

  // The latest of one run; a kind of origin that there is not is no reason to fail.
  NonfiniteEvent strange = make_event(50);
  strange.found_by = static_cast<FoundBy>(99);
  writer_.begin(kNow);
  writer_.add_event(one, strange);
  ASSERT_TRUE(writer_.commit().ok());
  EventsRequest latest;
  latest.run = RunSelector{"mnist", 1};
  latest.max_events = 2;
  reply = reader_.events(latest);
  ASSERT_EQ(reply.events.size(), 2u);
  EXPECT_EQ(reply.events[0].step, 18u);
  EXPECT_EQ(reply.events[1].step, 50u);
}

TEST_F(HistoryReaderTest, WhatThereIsNotIsToldByName) {
  write_steps(writer_, begin(1), 5, 1, 20);
  const auto kind_of = [](auto ask) {
    try {
      ask();
    } catch (const HistoryError& error) {
      EXPECT_GT(std::string(error.what()).size(), 10u);
      return error.kind();
    }
    ADD_FAILURE() << "nothing was thrown";
    return HistoryError::Kind::damaged;
  };
  using Kind = HistoryError::Kind;
  EXPECT_EQ(kind_of([&] { reader_.series(series_of({"mnist", 0}, {"loss"})); }), Kind::not_found);
  EXPECT_EQ(kind_of([&] { reader_.series(series_of({"mnist", 1, 7}, {"loss"})); }), Kind::not_found);
  EXPECT_EQ(kind_of([&] { reader_.series(series_of(run_, {"los"})); }), Kind::invalid);
  EXPECT_EQ(kind_of([&] { reader_.series(series_of(run_, std::vector<std::string>(65, "loss"))); }), Kind::invalid);
  EXPECT_EQ(kind_of([&] { reader_.steps({"mnist", 1, 1}, HistoryCursor{2, 5}); }), Kind::invalid);
  EXPECT_EQ(kind_of([&] { reader_.frame(run_); }), Kind::not_found);
  EXPECT_EQ(kind_of([&] { reader_.distribution(run_, TensorKind::parameter, "layer1.weight"); }), Kind::not_found);
  EXPECT_EQ(kind_of([&] { reader_.distribution(run_, TensorKind::parameter, "layer9.weight"); }), Kind::not_found);
  EXPECT_EQ(kind_of([&] { reader_.tensor_series(tensor_series_of(run_, TensorKind::parameter, "layer1.weight", "mode")); }), Kind::invalid);
  EXPECT_EQ(kind_of([&] { HistoryReader({folder_.file("none.db")}).runs(); }), Kind::unavailable);
  EXPECT_EQ(kind_of([&] { HistoryReader({folder_.write("empty.db", "").string()}).runs(); }), Kind::unavailable);
  EXPECT_EQ(kind_of([&] { HistoryReader({folder_.write("text.db", std::string(5000, 'x')).string()}).runs(); }), Kind::damaged);
  EXPECT_TRUE(reader_.series(series_of(run_, {"user_scalar[not logged]", "learning_rate[7]"})).series[1].points.empty());
}

TEST_F(HistoryReaderTest, AnAnswerThatTakesTooLongIsGivenUp) {
  write_steps(writer_, begin(1), 5, 1, 20'000, 5000);
  HistoryReaderOptions options{path_};
  options.time_limit = std::chrono::milliseconds(0);
  try {
    HistoryReader(options).series(series_of(run_, kNames));
    FAIL() << "answered";
  } catch (const HistoryError& error) {
    EXPECT_EQ(error.kind(), HistoryError::Kind::too_long) << error.what();
  }
}

TEST_F(HistoryReaderTest, ManyThreadsReadWhileOneWrites) {
  const RingKey key = begin(1);
  write_steps(writer_, key, 5, 1, 10);
  HistoryReaders readers({path_}, 2);
  std::atomic<bool> is_over{false};
  std::atomic<std::uint64_t> answers{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      std::uint64_t last = 0;
      while (!is_over) {
        const auto reply = readers.with_reader([&](HistoryReader& reader) { return reader.series(series_of(run_, {"examples"})); });
        const std::vector<SeriesPoint>& points = reply.series[0].points;
        // One moment: no step is missing in between, and none goes away.
        EXPECT_GE(points.back().step, last);
        last = points.back().step;
        EXPECT_TRUE(reply.is_downsampled || points.size() == last);
        ++answers;
      }
    });
  }
  write_steps(writer_, key, 5, 11, 3000, 7);
  while (answers < 20) std::this_thread::yield();
  is_over = true;
  for (std::thread& thread : threads) thread.join();
}

TEST_F(HistoryReaderTest, WaitsForAConnectionOnlySoLong) {
  HistoryReaderOptions options{path_};
  options.time_limit = std::chrono::milliseconds(20);
  HistoryReaders readers(options, 1);
  try {
    readers.with_reader([&](HistoryReader&) { return readers.with_reader([](HistoryReader& reader) { return reader.runs().size(); }); });
    FAIL() << "there were two";
  } catch (const HistoryError& error) {
    EXPECT_EQ(error.kind(), HistoryError::Kind::unavailable);
  }
  EXPECT_EQ(readers.with_reader([](HistoryReader& reader) { return reader.runs().size(); }), 0u);
}

}  // namespace
}  // namespace vigil
