// A writer that is killed at any moment, again and again, goes on where the file says: nothing is lost, nothing is there twice.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "daemon/history_run.h"
#include "files.h"
#include "fork.h"
#include "vigil/daemon/history_reader.h"
#include "vigil/daemon/history_writer.h"

namespace vigil {
namespace {

using namespace test;

constexpr int kTrials = 250;
constexpr std::uint64_t kRings = 3, kFrameSteps = 40, kEventSteps = 70;

std::string run_of(std::uint64_t ring) { return "run" + std::to_string(ring); }

HistoryOptions options_at(const std::string& path) {
  HistoryOptions options;
  options.path = path;
  options.frame_interval_ms = 0;  // every frame
  return options;
}

// Follows three rings whose records are there for whoever asks, as vigild does: record i of a ring is step i, every 40th step has a frame,
// every 70th an event. Says a byte after each batch, and ends only by a signal or an error.
[[noreturn]] void write_until_killed(const std::string& path, unsigned seed, int to) {
  std::mt19937 random(seed);
  HistoryWriter writer(options_at(path));
  std::map<std::uint64_t, RingKey> keys;
  for (std::uint64_t ring = 0; ring < kRings; ++ring)
    keys[ring] = writer.begin_ring(ring_id(ring), make_history_schema(run_of(ring)), kNow).key;
  const Schema schema = make_history_schema();
  for (;;) {
    writer.begin(kNow);
    for (const auto& [ring, key] : keys) {
      HistoryCursors cursors = writer.cursors(key);
      for (std::uint64_t count = random() % 60; count > 0; --count) {
        const std::uint64_t step = ++cursors.steps;
        if (step % kFrameSteps == 0) {
          writer.add_frame(key, make_frame(schema, ring, step).view());
          ++cursors.frames;
        }
        if (step % kEventSteps == 0) {
          writer.add_event(key, make_event(step));
          ++cursors.events;
        }
        const MadeStep made = make_plausible_step(ring, step);
        writer.add_step(key, made.record, made.scalars.data(), made_scalar_names());
      }
      writer.set_cursors(key, cursors);
      writer.set_state(key, "running", "", 0);
    }
    if (!writer.commit().ok()) _exit(1);
    if (write(to, "x", 1) != 1) _exit(2);
    if (!writer.retain(kNow).ok()) _exit(3);
  }
}

TEST(HistoryKill, NothingIsLostOrDoubledByTwoHundredAndFiftyKills) {
  const TemporaryFolder folder;
  const std::string path = folder.file("history.db");
  std::mt19937 random(11);
  std::map<std::uint64_t, std::vector<std::uint64_t>> polled;
  std::map<std::uint64_t, HistoryCursor> since;
  int killed_while_opening = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork_quietly();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      try {
        write_until_killed(path, static_cast<unsigned>(trial), ends[1]);
      } catch (...) {
        _exit(4);
      }
    }
    close(ends[1]);
    // Every fifth at some moment of its first milliseconds, the others some time after one of their batches.
    std::uint64_t batches = 0;
    if (trial % 5 == 0) {
      poll(nullptr, 0, static_cast<int>(random() % 12));
    } else {
      char said = 0;
      for (std::uint64_t wanted = 1 + random() % 12; batches < wanted && read(ends[0], &said, 1) == 1;) ++batches;
      EXPECT_GT(batches, 0u);
      const timespec moment{0, static_cast<long>(random() % 2'000'000)};
      ppoll(nullptr, 0, &moment, nullptr);
    }
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "trial " << trial << " ended by itself with " << WEXITSTATUS(status);
    pollfd rest{ends[0], POLLIN, 0};
    char said = 0;
    if (batches == 0 && (poll(&rest, 1, 0) == 0 || read(ends[0], &said, 1) == 0)) ++killed_while_opening;
    close(ends[0]);

    // Whoever polls across all of this sees each step once.
    if (!std::filesystem::exists(path) || count_of(path, "SELECT count(*) FROM sqlite_schema") == 0) continue;
    HistoryReader reader({path});
    for (const HistoryRun& run : reader.runs()) {
      const auto ring = static_cast<std::uint64_t>(run.run.back() - '0');
      SeriesRequest request = series_of({run.run, 1}, {"loss"});
      request.max_points = HistoryReader::kMaxPoints;
      if (since.count(ring) > 0) request.since = since[ring];
      const SeriesReply reply = reader.series(request);
      ASSERT_FALSE(reply.is_downsampled);
      for (const SeriesPoint& point : reply.series[0].points) polled[ring].push_back(point.step);
      since[ring] = reply.next;
    }
  }
  RecordProperty("killed_while_opening", killed_while_opening);
  EXPECT_GT(killed_while_opening, 5);

  EXPECT_EQ(count_of(path, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
  HistoryWriter writer(options_at(path));
  EXPECT_EQ(writer.counters().put_aside, 0u);
  HistoryReader reader({path});
  std::uint64_t steps_in_all = 0;
  for (std::uint64_t ring = 0; ring < kRings; ++ring) {
    const BegunRing begun = writer.begin_ring(ring_id(ring), make_history_schema(run_of(ring)), kNow);
    EXPECT_EQ(begun.attempt, 1);
    const std::uint64_t last = begun.cursors.steps;
    steps_in_all += last;
    EXPECT_EQ(begun.last_step, last);
    EXPECT_EQ(begun.cursors.frames, last / kFrameSteps);
    EXPECT_EQ(begun.cursors.events, last / kEventSteps);
    const RunSelector run{run_of(ring), 1};
    EXPECT_EQ(reader.runs().size(), kRings);
    std::uint64_t expected = 1;
    std::optional<HistoryCursor> cursor;
    for (;;) {
      const StepsReply reply = reader.steps(run, cursor, 20'000);
      if (reply.rows.size() == 0) break;
      for (std::size_t i = 0; i < reply.rows.size(); ++i, ++expected)
        ASSERT_TRUE(is_same(reply.rows.record(i), make_plausible_step(ring, expected).record)) << "step " << expected;
      cursor = reply.next;
    }
    EXPECT_EQ(expected, last + 1);
    ASSERT_EQ(polled[ring].size(), last);
    for (std::uint64_t step = 1; step <= last; ++step) ASSERT_EQ(polled[ring][step - 1], step);

    TensorSeriesRequest request = tensor_series_of(run, TensorKind::parameter, "layer0.weight", "max");
    request.max_points = HistoryReader::kMaxPoints;
    const TensorSeriesReply frames = reader.tensor_series(request);
    ASSERT_EQ(frames.points.size(), last / kFrameSteps);
    const Schema schema = make_history_schema();
    for (std::size_t i = 0; i < frames.points.size(); ++i) {
      EXPECT_EQ(frames.points[i].step, (i + 1) * kFrameSteps);
      EXPECT_EQ(frames.points[i].value, make_frame(schema, ring, frames.points[i].step).rows[0].moments.max);
    }
    EventsRequest events;
    events.run = run;
    events.since = 0;
    std::uint64_t nonfinite = 0, states = 0;
    for (EventsReply reply = reader.events(events); !reply.events.empty(); reply = reader.events(events)) {
      for (const HistoryEvent& event : reply.events) {
        if (event.kind == "state") {
          ++states;
        } else {
          EXPECT_EQ(event.step, ++nonfinite * kEventSteps);
        }
      }
      events.since = reply.next;
    }
    EXPECT_EQ(nonfinite, last / kEventSteps);
    EXPECT_EQ(states, 1u);
  }
  RecordProperty("steps", static_cast<int>(steps_in_all));
  EXPECT_GT(steps_in_all, kTrials * 10u);
}

}  // namespace
}  // namespace vigil
