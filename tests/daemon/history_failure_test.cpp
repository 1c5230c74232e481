// What becomes of a batch that cannot be stored.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "daemon/history_run.h"
#include "exporters/captured_log.h"
#include "files.h"
#include "fork.h"
#include "vigil/daemon/history_reader.h"
#include "vigil/daemon/history_writer.h"

namespace vigil {
namespace {

using namespace test;

HistoryOptions options_at(const std::string& path) {
  HistoryOptions options;
  options.path = path;
  return options;
}

// Stores steps from the cursor on, `count` at a time; what was not stored is tried again by the next call.
HistoryOutcome write_on(HistoryWriter& writer, RingKey key, std::uint64_t count) {
  const std::uint64_t first = writer.cursors(key).steps + 1;
  writer.begin(kNow);
  for (std::uint64_t step = first; step < first + count; ++step) {
    const MadeStep made = make_step(5, step);
    writer.add_step(key, made.record, made.scalars.data(), made_scalar_names());
  }
  writer.set_cursors(key, {first + count - 1, 0, 0});
  return writer.commit();
}

void expect_all_steps(const std::string& path, std::uint64_t last) {
  HistoryReader reader({path});
  const StepsReply reply = reader.steps({"mnist", 1}, {}, 20'000);
  ASSERT_EQ(reply.rows.size(), last);
  for (std::size_t i = 0; i < reply.rows.size(); ++i) ASSERT_TRUE(is_same(reply.rows.record(i), make_step(5, i + 1).record)) << i;
}

TEST(HistoryFailure, AnotherProgramsLockFailsTheBatchAndTheNextStoresIt) {
  const TemporaryFolder folder;
  const std::string path = folder.file("history.db");
  CapturedLog log;
  HistoryWriter writer(options_at(path));
  const RingKey key = writer.begin_ring(ring_id(1), make_history_schema(), kNow).key;
  ASSERT_TRUE(write_on(writer, key, 300).ok());

  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  for (int i = 0; i < 2; ++i) {
    const HistoryOutcome outcome = write_on(writer, key, 300);
    EXPECT_EQ(outcome.kind, HistoryOutcome::Kind::failed);
    EXPECT_NE(outcome.reason.find("database is locked; another program has locked it: end that one"), std::string::npos) << outcome.reason;
  }
  EXPECT_EQ(writer.cursors(key).steps, 300u);
  EXPECT_EQ(writer.counters().failures, 2u);
  EXPECT_EQ(log.count("cannot write the history"), 1u) << "at most once a minute";
  sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr);
  sqlite3_close(other);

  ASSERT_TRUE(write_on(writer, key, 300).ok());
  EXPECT_EQ(writer.counters().steps, 600u);
  expect_all_steps(path, 600);
}

TEST(HistoryFailure, AFullFileFailsTheBatchUntilRetentionMakesRoom) {
  const TemporaryFolder folder;
  const std::string path = folder.file("history.db");
  HistoryOptions options = options_at(path);
  options.retention_bytes = 1 << 20;
  CapturedLog log;
  HistoryWriter writer(options);
  const RingKey key = writer.begin_ring(ring_id(1), make_history_schema(), kNow).key;
  // Without retain() in between, beyond the bound and what may be above it.
  HistoryOutcome outcome;
  std::uint64_t stored = 0;
  for (int i = 0; i < 400 && outcome.ok(); ++i) {
    outcome = write_on(writer, key, 1000);
    stored += outcome.ok() ? 1000 : 0;
  }
  ASSERT_EQ(outcome.kind, HistoryOutcome::Kind::failed);
  EXPECT_NE(outcome.reason.find("database or disk is full; make room on its disk, or set --storage.retention.size lower"),
            std::string::npos)
      << outcome.reason;
  EXPECT_EQ(writer.cursors(key).steps, stored);
  while (writer.counters().rows_removed == 0 || writer.counters().database_bytes > (1u << 20)) {
    const HistoryOutcome retained = writer.retain(kNow, std::chrono::milliseconds(5000));
    ASSERT_TRUE(retained.ok()) << retained.reason;
  }
  EXPECT_TRUE(write_on(writer, key, 1000).ok());
  EXPECT_EQ(writer.cursors(key).steps, stored + 1000);
  EXPECT_EQ(count_of(path, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
}

// A disk that takes no more bytes, as the process sees it: files that may not grow. In a child, as the limit holds for all of its files.
TEST(HistoryFailure, ADiskThatTakesNoMoreFailsBatchesAndLosesNothing) {
  const TemporaryFolder folder;
  const std::string path = folder.file("history.db");
  const pid_t child = fork_quietly();
  ASSERT_GE(child, 0);
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    int failures = 0, status = 0;
    {
      CapturedLog log;
      HistoryWriter writer(options_at(path));
      const RingKey key = writer.begin_ring(ring_id(1), make_history_schema(), kNow).key;
      for (int i = 0; i < 10; ++i) status |= write_on(writer, key, 100).ok() ? 0 : 1;
      // Each time for a while, at another place of the file and the log.
      for (rlim_t limit = 600'000; limit < 1'200'000; limit += 50'000) {
        rlimit old{};
        getrlimit(RLIMIT_FSIZE, &old);
        const rlimit low{limit, old.rlim_max};
        setrlimit(RLIMIT_FSIZE, &low);
        while (write_on(writer, key, 100).ok()) {
        }
        for (int i = 0; i < 3; ++i) failures += write_on(writer, key, 100).ok() ? 0 : 1;
        writer.retain(kNow);
        setrlimit(RLIMIT_FSIZE, &old);
        status |= write_on(writer, key, 100).ok() ? 0 : 2;
      }
      status |= failures >= 12 ? 0 : 4;
      status |= writer.cursors(key).steps < 20'000 ? 0 : 8;
    }
    _exit(status);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  ASSERT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(count_of(path, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
  const auto last = static_cast<std::uint64_t>(count_of(path, "SELECT step_cursor FROM progress"));
  EXPECT_GT(last, 1000u);
  expect_all_steps(path, last);
}

}  // namespace
}  // namespace vigil
