// What the thread that keeps the history stores and counts when files come and go, when a turn is broken off, and when it is too slow.
#include "vigil/daemon/history_thread.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "daemon/history_run.h"
#include "daemon/known_run.h"
#include "e2e/wait_until.h"
#include "exporters/alert_message.h"
#include "exporters/captured_log.h"
#include "files.h"
#include "vigil/daemon/history_reader.h"
#include "vigil/monitor/ring_file.h"

namespace vigil {
namespace {

using namespace test;

class ThreadOfHistory : public testing::Test {
 protected:
  ThreadOfHistory() { view_->runs.push_back(run_view()); }

  RunView run_view() const {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->schema = file_->shared_schema();
    snapshot->state = RunState::finished;
    RunView run;
    run.path = file_->path();
    run.ring_id = id();
    run.snapshot = snapshot;
    run.ended_ns = kNow;
    return run;
  }
  HistoryOptions options() const {
    HistoryOptions options;
    options.path = path_;
    return options;
  }
  using FilesOfHost = std::vector<std::shared_ptr<const RingFile>>;
  const test::RingId& id() const { return file_->header().ring_id; }
  std::int64_t count(const std::string& of) const { return count_of(path_, "SELECT count(*) FROM events WHERE kind = '" + of + "'"); }
  std::uint64_t stored_steps() const { return HistoryReader({path_}).runs().at(0).attempts.at(0).steps; }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.file("history.db");
  const SharedChannel shared_ = make_shared_channel(known_schema("mnist", 0, 2), {64, 0}, folder_.path().string());
  KnownRun run_{*shared_.channel};
  const std::shared_ptr<const RingFile> file_ = std::make_shared<const RingFile>(shared_.path);
  const std::shared_ptr<HostView> view_ = std::make_shared<HostView>();
};

TEST_F(ThreadOfHistory, ATurnThatIsBrokenOffLosesNothingAndLetsNoFileBeRemoved) {
  for (int i = 0; i < 20; ++i) run_.step(false);
  std::atomic<bool> breaks{false}, is_in_batch{false};
  std::atomic<int> broken{0};
  HistoryThread history(
      options(),
      [&]() -> FilesOfHost {
        // Asked for once more within a turn: there is an alert of a file that is not known yet.
        if (is_in_batch.exchange(false) && breaks) {
          ++broken;
          throw std::runtime_error("no memory");
        }
        return {file_};
      },
      [&] {
        is_in_batch = true;
        return view_;
      });
  ASSERT_TRUE(wait_until(10, [&] { return history.has_all_of(id()); }));
  breaks = true;
  for (int i = 0; i < 5; ++i) run_.step(false);
  history.add({ring_id(99), make_alert(3)});
  // The first may have been before anything was read.
  ASSERT_TRUE(wait_until(20, [&] { return broken >= 2; }));
  EXPECT_TRUE(wait_until(10, [&] { return !history.has_all_of(id()); })) << "its file would be removed before all of it is stored";
  breaks = false;
  history.stop();
  EXPECT_EQ(stored_steps(), 25u);
  EXPECT_TRUE(history.has_all_of(id()));
  const HistoryThread::Counters counters = history.counters();
  EXPECT_EQ(counters.steps_lost, 0u);
  EXPECT_EQ(counters.alerts_lost, 1u) << "its file is not there";
  EXPECT_EQ(count("alert"), 0);
}

TEST_F(ThreadOfHistory, ARunEndsBehindItsLastStep) {
  for (int i = 0; i < 20; ++i) run_.step(false);
  HistoryThread history(
      options(), [&] { return FilesOfHost{file_}; }, [&] { return view_; });
  ASSERT_TRUE(wait_until(10, [&] { return history.has_all_of(id()); }));
  history.stop();
  EXPECT_EQ(count_of(path_, "SELECT max(step) FROM events WHERE kind = 'state'"), 20);
}

TEST_F(ThreadOfHistory, CountsWhatWasOverwrittenAlsoWhenTheFileIsGone) {
  run_.step(false);
  std::atomic<bool> is_there{true};
  HistoryThread history(
      options(), [&] { return is_there ? FilesOfHost{file_} : FilesOfHost{}; }, [&] { return view_; });
  ASSERT_TRUE(wait_until(10, [&] { return history.has_all_of(id()); }));
  for (std::uint64_t step = 2; step <= 5000; ++step) run_.step(false);
  for (std::uint64_t step = 1; step <= 40; ++step) shared_.channel->publish(make_event(step));
  ASSERT_TRUE(wait_until(10, [&] {
    const HistoryThread::Counters counters = history.counters();
    return counters.stored.steps + counters.steps_lost == 5000;
  }));
  const std::uint64_t lost = history.counters().steps_lost;
  EXPECT_GT(lost, 0u);
  is_there = false;
  history.stop();
  EXPECT_EQ(history.counters().steps_lost, lost);
  EXPECT_GT(history.counters().events_lost, 0u);
  EXPECT_EQ(history.counters().events_lost + static_cast<std::uint64_t>(count("nonfinite")), 40u);
}

TEST_F(ThreadOfHistory, KeepsAnAlertUntilItsFileHasBeenSeen) {
  std::atomic<int> asked{0};
  HistoryThread history(
      options(), [&] { return asked++ == 0 ? FilesOfHost{} : FilesOfHost{file_}; }, [&] { return view_; });
  history.add({id(), make_alert(1)});
  ASSERT_TRUE(wait_until(10, [&] { return asked > 0; }));
  history.stop();
  EXPECT_EQ(count("alert"), 1);
  EXPECT_EQ(history.counters().alerts_lost, 0u);
}

TEST_F(ThreadOfHistory, AFileThatIsTakenAwayIsBegunAnewWithWhatTheRingsHold) {
  for (int i = 0; i < 20; ++i) run_.step(false);
  CapturedLog log;
  HistoryThread history(
      options(), [&] { return FilesOfHost{file_}; }, [&] { return view_; });
  const auto has_all = [&] { return history.has_all_of(id()); };
  ASSERT_TRUE(wait_until(10, has_all));
  HistoryReader reader({path_});
  const auto steps_read = [&] { return reader.runs().at(0).attempts.at(0).steps; };
  EXPECT_EQ(steps_read(), 20u);
  const std::string moved = folder_.file("moved.db");
  std::filesystem::rename(path_, moved);
  EXPECT_FALSE(has_all()) << "its ring file would be removed, and what is stored be nowhere";
  ASSERT_TRUE(wait_until(10, has_all));
  EXPECT_EQ(steps_read(), 20u) << "of the new one, by who has read the old one";
  EXPECT_EQ(HistoryReader({moved}).runs().at(0).attempts.at(0).steps, 20u) << "whole, without the log that stayed behind";
  EXPECT_EQ(count_of(moved, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);

  std::filesystem::remove(path_);
  EXPECT_FALSE(has_all());
  ASSERT_TRUE(wait_until(10, has_all));
  EXPECT_EQ(steps_read(), 20u);
  EXPECT_EQ(log.count("error: the history in '" + path_ + "' was deleted or moved"), 1u) << "once a minute";
  const HistoryThread::Counters counters = history.counters();
  EXPECT_EQ(counters.stored.failures, 2u);
  EXPECT_EQ(counters.stored.steps, 60u) << "counters go on";
}

TEST_F(ThreadOfHistory, AFileThatIsFollowedNoMoreIsStoredUntilTheHistoryIsTakenAway) {
  run_.step(false);
  std::atomic<bool> is_there{true};
  std::atomic<int> asked{0};
  HistoryThread history(
      options(),
      [&] {
        if (!is_there) ++asked;
        return is_there ? FilesOfHost{file_} : FilesOfHost{};
      },
      [&] { return view_; });
  const auto has_all = [&] { return history.has_all_of(id()); };
  ASSERT_TRUE(wait_until(10, has_all));
  is_there = false;
  ASSERT_TRUE(wait_until(10, [&] { return asked >= 2; }));
  EXPECT_TRUE(has_all());
  std::filesystem::remove(path_);
  ASSERT_TRUE(wait_until(10, [&] { return asked >= 4; }));
  EXPECT_TRUE(std::filesystem::exists(path_));
  EXPECT_FALSE(has_all()) << "the new one does not have it";
}

TEST_F(ThreadOfHistory, SaysOnceThatItIsWrittenAgainAndWhatWasLost) {
  run_.step(false);
  CapturedLog log;
  HistoryThread history(
      options(), [&] { return FilesOfHost{file_}; }, [&] { return view_; });
  ASSERT_TRUE(wait_until(10, [&] { return history.has_all_of(id()); }));
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &other), SQLITE_OK);
  sqlite3_busy_timeout(other, 10'000);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  while (run_.steps() < 5001) run_.step(false);
  ASSERT_TRUE(wait_until(20, [&] { return history.counters().stored.failures >= 2; }));
  EXPECT_EQ(log.count("is written again"), 0u);
  ASSERT_EQ(sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  ASSERT_TRUE(wait_until(10, [&] { return log.count("is written again") > 0; }));
  history.stop();
  const std::uint64_t lost = history.counters().steps_lost;
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(log.count("info: the history in '" + path_ + "' is written again; " + std::to_string(lost) + " steps were overwritten"), 1u);
  EXPECT_EQ(log.count("is written again"), 1u);
}

TEST_F(ThreadOfHistory, TheBytesThatItTellsOfAreThoseOfItsFiles) {
  for (int i = 0; i < 200; ++i) run_.step(true);
  HistoryThread history(
      options(), [&] { return FilesOfHost{file_}; }, [&] { return view_; });
  ASSERT_TRUE(wait_until(10, [&] { return history.has_all_of(id()); }));
  EXPECT_TRUE(wait_until(10, [&] {  // between two turns
    return history.counters().stored.disk_bytes == std::filesystem::file_size(path_) + std::filesystem::file_size(path_ + "-wal");
  }));
}

TEST_F(ThreadOfHistory, CountsAlertsThatTheHostCouldNotKeepOnce) {
  view_->runs[0].alerts_lost = 3;
  HistoryThread history(
      options(), [&] { return FilesOfHost{file_}; }, [&] { return view_; });
  ASSERT_TRUE(wait_until(10, [&] { return history.has_all_of(id()); }));
  history.stop();
  EXPECT_EQ(history.counters().alerts_lost, 3u);
}

}  // namespace
}  // namespace vigil
