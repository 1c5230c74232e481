// What the thread that keeps the history stores and counts when files come and go, when a turn is broken off, and when it is too slow.
#include "vigil/daemon/history_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "daemon/history_run.h"
#include "daemon/known_run.h"
#include "e2e/wait_until.h"
#include "exporters/alert_message.h"
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
