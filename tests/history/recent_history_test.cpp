// What a trainer keeps of its own run, against what vigild's database keeps of the same records, and against the records.
#include "vigil/history/recent_history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/history_run.h"
#include "effort.h"
#include "files.h"
#include "vigil/daemon/history_reader.h"
#include "vigil/daemon/history_writer.h"
#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

using namespace test;

const RunSelector kRun{"mnist", 1};
const std::vector<std::string> kSeries{"loss", "gradient_norm", "step_seconds", "examples", "learning_rate[0]", "user_scalar[accuracy]"};

std::vector<std::string> series_there(RunHistory& history) {
  std::vector<std::string> names;
  for (const SeriesName& name : history.series_names(kRun)) names.push_back(name.name);
  return names;
}

void expect_same(const SeriesReply& a, const SeriesReply& b) {
  EXPECT_EQ(a.is_downsampled, b.is_downsampled);
  EXPECT_EQ(a.next.step, b.next.step);
  ASSERT_EQ(a.series.size(), b.series.size());
  for (std::size_t i = 0; i < a.series.size(); ++i) {
    SCOPED_TRACE(a.series[i].name);
    ASSERT_EQ(a.series[i].points.size(), b.series[i].points.size());
    for (std::size_t k = 0; k < a.series[i].points.size(); ++k) {
      const SeriesPoint &one = a.series[i].points[k], &other = b.series[i].points[k];
      EXPECT_EQ(one.step, other.step);
      EXPECT_EQ(one.time_ns, other.time_ns);
      EXPECT_TRUE(is_same(one.value, other.value));
      EXPECT_EQ(one.nonfinite, other.nonfinite);
    }
  }
  ASSERT_EQ(a.nonfinite.size(), b.nonfinite.size());
  for (std::size_t i = 0; i < a.nonfinite.size(); ++i) EXPECT_EQ(a.nonfinite[i].steps, b.nonfinite[i].steps);
}

class RecentHistoryTest : public testing::Test {
 protected:
  void add_steps(RecentHistory& history, std::uint64_t last, std::uint64_t first = 1,
                 MadeStep (*make)(std::uint64_t, std::uint64_t) = make_step) {
    for (std::uint64_t step = first; step <= last; ++step) {
      const MadeStep made = make(5, step);
      history.add_step(made.record, made.scalars.data(), made_scalar_names());
    }
  }

  const std::shared_ptr<const Schema> schema_ = std::make_shared<const Schema>(make_history_schema());
};

TEST_F(RecentHistoryTest, AnswersAsTheDatabaseDoes) {
  const TemporaryFolder folder;
  HistoryOptions options;
  options.path = folder.file("history.db");
  options.frame_interval_ms = 0;
  HistoryWriter writer(options);
  const RingKey key = writer.begin_ring(ring_id(1), *schema_, kNow).key;
  constexpr std::uint64_t kSteps = 1500;
  write_steps(writer, key, 5, 1, kSteps);
  RecentHistory recent(schema_, std::size_t{64} << 20);
  add_steps(recent, kSteps);
  writer.begin(kNow);
  for (std::uint64_t step = 100; step <= kSteps; step += 100) {
    const MadeFrame frame = make_frame(*schema_, 7, step, step != 300);
    writer.add_frame(key, frame.view());
    recent.add_frame(frame.view());
  }
  ASSERT_TRUE(writer.commit().ok());
  HistoryReader stored({options.path});

  EXPECT_EQ(series_there(recent), series_there(stored));
  for (const std::size_t max_points : {20'000u, 200u, 5u}) {
    for (const std::uint64_t since : {0u, 1u, 255u, 257u, 1400u, 1500u}) {
      for (const std::uint64_t until : {1500u, 1499u, 700u}) {
        SCOPED_TRACE(std::to_string(max_points) + " " + std::to_string(since) + " " + std::to_string(until));
        SeriesRequest request = series_of(kRun, kSeries);
        request.since = HistoryCursor{0, since};
        request.until = until;
        request.max_points = max_points;
        if (since < until) expect_same(recent.series(request), stored.series(request));
      }
    }
  }
  for (const TensorKind kind : {TensorKind::parameter, TensorKind::gradient}) {
    HeatmapRequest request;
    request.run = kRun;
    request.kind = kind;
    request.statistic = "l2_norm";
    const HeatmapReply a = recent.heatmap(request), b = stored.heatmap(request);
    ASSERT_EQ(a.columns.size(), 15u);
    ASSERT_EQ(b.columns.size(), 15u);
    for (std::size_t i = 0; i < a.columns.size(); ++i) {
      EXPECT_EQ(a.columns[i].step, b.columns[i].step);
      EXPECT_EQ(a.columns[i].values, b.columns[i].values);
    }
  }
  const HistoryFrame a = recent.frame(kRun, 450), b = stored.frame(kRun, 450);
  EXPECT_EQ(a.header.step, 400u);
  EXPECT_EQ(b.header.step, 400u);
  ASSERT_EQ(a.rows.size(), b.rows.size());
  for (std::size_t i = 0; i < a.rows.size(); ++i) {
    EXPECT_EQ(a.rows[i].state, b.rows[i].state);
    EXPECT_TRUE(is_same(a.rows[i].moments.max, b.rows[i].moments.max));
  }
  EXPECT_EQ(a.layers.size(), b.layers.size());
  EXPECT_EQ(a.histograms.size(), schema_->histograms);
  const std::string tensor = schema_->rows[0].name;
  EXPECT_EQ(recent.distribution(kRun, schema_->rows[0].kind, tensor).histogram.buckets,
            stored.distribution(kRun, schema_->rows[0].kind, tensor).histogram.buckets);
  const TensorSeriesRequest of = tensor_series_of(kRun, schema_->rows[0].kind, tensor, "mean");
  EXPECT_EQ(recent.tensor_series(of).points.size(), stored.tensor_series(of).points.size());
}

TEST_F(RecentHistoryTest, AHeatmapHasTheFiguresOfEachTensorAsItsSeriesHas) {
  RecentHistory history(schema_, std::size_t{64} << 20);
  for (std::uint64_t step = 10; step <= 200; step += 10) history.add_frame(make_frame(*schema_, 3, step).view());
  for (const std::string statistic : {"l2_norm", "zero_ratio", "update_ratio", "nan_values"}) {
    HeatmapRequest request;
    request.run = kRun;
    request.statistic = statistic;
    const HeatmapReply map = history.heatmap(request);
    for (std::size_t i = 0; i < map.rows.size(); ++i) {
      const RowSchema& row = schema_->rows[map.rows[i]];
      EXPECT_EQ(row.kind, TensorKind::parameter);
      std::map<std::uint64_t, double> expected;
      for (const SeriesPoint& point : history.tensor_series(tensor_series_of(kRun, row.kind, row.name, statistic)).points)
        expected[point.step] = point.value;
      for (const HeatmapReply::Column& column : map.columns) {
        const auto found = expected.find(column.step);
        ASSERT_EQ(column.values[i].has_value(), found != expected.end()) << row.name << " " << statistic << " " << column.step;
        if (column.values[i]) {
          EXPECT_TRUE(is_same(*column.values[i], found->second)) << row.name << " " << statistic;
        }
      }
    }
  }
  HeatmapRequest request;
  request.run = kRun;
  request.statistic = "mode";
  EXPECT_THROW(history.heatmap(request), HistoryError);
}

TEST_F(RecentHistoryTest, ThinsAHeatmapOutAndKeepsWhatIsNotFinite) {
  RecentHistory history(schema_, std::size_t{64} << 20);
  for (std::uint64_t step = 1; step <= 400; ++step) history.add_frame(make_frame(*schema_, 3, step, step % 100 != 0).view());
  HeatmapRequest request;
  request.run = kRun;
  request.kind = TensorKind::gradient;
  request.statistic = "nan_values";
  request.max_columns = 50;
  const HeatmapReply map = history.heatmap(request);
  EXPECT_LE(map.columns.size(), 50u);
  EXPECT_GE(map.columns.size(), 25u);
  EXPECT_EQ(map.columns.size() + map.passed_over, 400u);
  for (const std::uint64_t step : {100u, 200u, 300u, 400u})
    EXPECT_TRUE(std::any_of(map.columns.begin(), map.columns.end(), [&](const auto& column) { return column.step == step; })) << step;
}

// One in 5000 plausible steps has a NaN, and one loss is far above all others.
MadeStep make_long_run(std::uint64_t seed, std::uint64_t step) {
  MadeStep made = make_plausible_step(seed, step, 5000);
  if (step == 777) made.record.loss = 1e9;
  return made;
}

TEST_F(RecentHistoryTest, KeepsTheWholeOfALongRunInBoundedMemory) {
  RecentHistory history(schema_, RecentHistory::kMinBytes);
  const std::uint64_t steps = rounds(300'000);
  std::size_t most = 0, nonfinite = 0;
  for (std::uint64_t step = 1; step <= steps; ++step) {
    const MadeStep made = make_long_run(5, step);
    nonfinite += made.record.has(StepRecord::nonfinite);
    history.add_step(made.record, made.scalars.data(), made_scalar_names());
    if (step % 1000 == 0) most = std::max(most, history.bytes());
  }
  // A block more may be there before the oldest goes.
  EXPECT_LE(most, RecentHistory::kMinBytes / 2 + (std::size_t{64} << 10));
  SeriesRequest request = series_of(kRun, {"loss"});
  const SeriesReply reply = history.series(request);
  EXPECT_TRUE(reply.is_downsampled);
  EXPECT_LE(reply.series[0].points.size(), 2000u);
  EXPECT_EQ(reply.series[0].points.front().step, 1u);
  EXPECT_EQ(reply.series[0].points.back().step, steps);
  const auto largest = std::max_element(reply.series[0].points.begin(), reply.series[0].points.end(),
                                        [](const SeriesPoint& a, const SeriesPoint& b) { return a.value < b.value; });
  EXPECT_EQ(largest->step, 777u);
  EXPECT_EQ(largest->value, 1e9);
  std::uint64_t told = 0;
  for (const NonfiniteSteps& stretch : reply.nonfinite) told += stretch.steps;
  EXPECT_EQ(told, nonfinite);
  EXPECT_GT(nonfinite, 0u);
  // What is recent is there step by step.
  request.since = HistoryCursor{0, steps - 1000};
  EXPECT_EQ(history.series(request).series[0].points.size(), 1000u);
  // And of what is old, at its own steps, what its summary holds.
  request.since = HistoryCursor{0, 700};
  request.until = 800;
  const SeriesReply old = history.series(request);
  EXPECT_TRUE(old.is_downsampled);
  EXPECT_TRUE(
      std::any_of(old.series[0].points.begin(), old.series[0].points.end(), [](const SeriesPoint& point) { return point.step == 777; }));
  for (const SeriesPoint& point : old.series[0].points) EXPECT_TRUE(point.step > 700 && point.step <= 800);
}

TEST_F(RecentHistoryTest, OfManyFramesEverySecondOfTheOlderGoes) {
  RecentHistory history(schema_, RecentHistory::kMinBytes);
  const std::uint64_t frames = rounds(4000);
  for (std::uint64_t step = 1; step <= frames; ++step) history.add_frame(make_frame(*schema_, 3, step, step % 1000 != 0).view());
  EXPECT_LE(history.bytes(), RecentHistory::kMinBytes / 2);
  HeatmapRequest request;
  request.run = kRun;
  request.statistic = "mean";
  request.max_columns = 2000;
  const HeatmapReply map = history.heatmap(request);
  EXPECT_EQ(map.columns.front().step, 1u);
  EXPECT_EQ(map.columns.back().step, frames);
  EXPECT_GT(map.columns.size(), 50u);
  for (std::uint64_t step = 1000; step <= frames; step += 1000)
    EXPECT_TRUE(std::any_of(map.columns.begin(), map.columns.end(), [&](const auto& column) { return column.step == step; })) << step;
}

TEST_F(RecentHistoryTest, FramesThatAreLargerThanTheirRoomGoOneByOne) {
  const auto wide = std::make_shared<const Schema>(make_history_schema("mnist", 3000));
  for (const std::string order : {"FFFNN", "FNFNFN", "NNNFF", "FNNNN", "NFFFF"}) {
    RecentHistory history(wide, RecentHistory::kMinBytes);
    std::uint64_t step = 0;
    for (const char kind : order) {
      ++step;
      history.add_frame(make_frame(*wide, 3, step, kind == 'F').view());
      EXPECT_EQ(history.frame(kRun).header.step, step);
    }
    EXPECT_GT(history.bytes(), RecentHistory::kMinBytes / 2 / 3) << "else nothing had to go";
  }
}

TEST_F(RecentHistoryTest, ManyPhasesPushNoAlertOut) {
  RecentHistory history(schema_, RecentHistory::kMinBytes);
  history.add_event("alert", 1, kNow, "{}");
  for (std::uint64_t i = 1; i <= RecentHistory::kMaxKeptEvents + 5; ++i) history.add_event("phase", i, kNow, R"({"phase":"validation"})");
  EventsRequest request;
  request.kinds = {"alert", "nonfinite"};
  EventsReply reply = history.events(request);
  ASSERT_EQ(reply.events.size(), 1u);
  EXPECT_EQ(reply.events[0].kind, "alert");
  EXPECT_EQ(reply.lost, 5u);
  for (int i = 0; i < 3; ++i) history.add_event("nonfinite", 7, kNow, std::string(RecentHistory::kMaxEventBytes / 2, ' '));
  reply = history.events(request);
  EXPECT_EQ(reply.events.size(), 2u) << "their texts have a bound, too";
}

TEST_F(RecentHistoryTest, WhoFollowsSeesEachStepOnce) {
  RecentHistory history(schema_, std::size_t{8} << 20);
  SeriesRequest request = series_of(kRun, {"examples"});
  std::vector<std::uint64_t> seen;
  std::uint64_t next = 1;
  for (const std::uint64_t until : {3u, 3u, 255u, 256u, 257u, 600u}) {
    for (; next <= until; ++next) add_steps(history, next, next);
    const SeriesReply reply = history.series(request);
    for (const SeriesPoint& point : reply.series[0].points) seen.push_back(point.step);
    request.since = HistoryCursor::parse(reply.next.text());
    ASSERT_TRUE(request.since);
  }
  ASSERT_EQ(seen.size(), 600u);
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], i + 1);
}

TEST_F(RecentHistoryTest, UserScalarsThatComeAfterTheirStepAreToldOnce) {
  RecentHistory history(schema_, std::size_t{8} << 20);
  add_steps(history, 20);
  const std::string name = "user_scalar[" + std::string(made_scalar_names().at(0)) + "]";
  SeriesRequest request = series_of(kRun, {name, "loss"});
  request.since = history.series(request).next;
  MadeStep again = make_step(5, 20);
  again.record.flags |= StepRecord::again;
  again.scalars[schema_->learning_rates] = 42;
  history.add_step(again.record, again.scalars.data(), made_scalar_names());
  const SeriesReply reply = history.series(request);
  ASSERT_EQ(reply.series[0].points.size(), 1u);
  EXPECT_EQ(reply.series[0].points[0].step, 20u);
  EXPECT_EQ(reply.series[0].points[0].value, 42);
  EXPECT_TRUE(reply.series[1].points.empty());
  request.since = reply.next;
  EXPECT_TRUE(history.series(request).series[0].points.empty());
}

TEST_F(RecentHistoryTest, EventsAreBoundedAndComeOnce) {
  RecentHistory history(schema_, RecentHistory::kMinBytes);
  for (std::uint64_t i = 1; i <= RecentHistory::kMaxKeptEvents + 10; ++i) history.add_event("alert", i, kNow, "{}");
  history.set_state("running", "", 0, "{}");
  history.set_state("running", "", 0, "{}");
  EventsRequest request;
  request.run = kRun;
  request.max_events = 5;
  EventsReply reply = history.events(request);
  ASSERT_EQ(reply.events.size(), 5u);
  EXPECT_EQ(reply.events.back().kind, "state");
  request.since = reply.next;
  EXPECT_TRUE(history.events(request).events.empty());
  request.since = 0;
  reply = history.events(request);
  EXPECT_EQ(reply.events.front().step, 12u) << "the oldest are gone";
  request.since = reply.next;
  EXPECT_EQ(history.events(request).events.front().step, 17u);
}

TEST_F(RecentHistoryTest, KnowsItsOwnRunOnly) {
  RecentHistory history(schema_, RecentHistory::kMinBytes);
  const auto kind_of = [&](const RunSelector& run) {
    try {
      history.series_names(run);
    } catch (const HistoryError& error) {
      return error.kind();
    }
    return HistoryError::Kind::damaged;
  };
  EXPECT_EQ(kind_of({"other", 1}), HistoryError::Kind::not_found);
  EXPECT_EQ(kind_of({"mnist", 0}), HistoryError::Kind::not_found);
  EXPECT_EQ(kind_of({"mnist", 1, 2}), HistoryError::Kind::not_found);
  EXPECT_THROW(history.frame(kRun), HistoryError);
  EXPECT_EQ(history.runs().front().attempts.front().attempt, 1);
  EXPECT_TRUE(history.series(series_of(kRun, {"loss"})).series[0].points.empty());
}

}  // namespace
}  // namespace vigil
