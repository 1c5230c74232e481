#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/history_run.h"
#include "files.h"
#include "vigil/daemon/history_reader.h"
#include "vigil/daemon/history_writer.h"

namespace vigil {
namespace {

using namespace test;
using std::chrono::milliseconds;

constexpr std::int64_t kHour = 3600 * kSecond;

class HistoryRetentionTest : public testing::Test {
 protected:
  void open(std::int64_t retention_ms, std::int64_t retention_bytes) {
    HistoryOptions options;
    options.path = path_;
    options.retention_ms = retention_ms;
    options.retention_bytes = retention_bytes;
    writer_ = std::make_unique<HistoryWriter>(options);
  }
  RingKey begin(std::uint64_t id, const std::string& run = "mnist", std::int64_t start_time_ns = kNow) {
    return writer_->begin_ring(ring_id(id), make_history_schema(run, 3, start_time_ns), kNow).key;
  }
  // Steps `first` to `last`, a frame and an event, all of them stored at `now_ns`.
  void add(RingKey key, std::uint64_t first, std::uint64_t last, std::int64_t now_ns) {
    writer_->begin(now_ns);
    for (std::uint64_t step = first; step <= last; ++step) {
      const MadeStep made = make_step(5, step);
      writer_->add_step(key, made.record, made.scalars.data(), made_scalar_names());
    }
    MadeFrame frame = make_frame(make_history_schema(), 1, last);
    frame.header.wall_time_ns = now_ns;
    writer_->add_frame(key, frame.view());
    writer_->add_event(key, make_event(last));
    ASSERT_TRUE(writer_->commit().ok());
  }
  void retain_all(std::int64_t now_ns) {
    for (std::uint64_t removed = ~std::uint64_t{0}; removed != writer_->counters().rows_removed;) {
      removed = writer_->counters().rows_removed;
      ASSERT_TRUE(writer_->retain(now_ns, milliseconds(10'000)).ok());
    }
  }
  std::int64_t count(const std::string& what) const { return count_of(path_, "SELECT count(*) FROM " + what); }

  TemporaryFolder folder_;
  const std::string path_ = folder_.file("history.db");
  std::unique_ptr<HistoryWriter> writer_;
};

TEST_F(HistoryRetentionTest, WhatIsOlderThanItMayBeGoesAndNothingElse) {
  open(10 * 3600 * 1000, std::int64_t{1} << 30);
  const RingKey key = begin(1);
  for (std::uint64_t hour = 0; hour < 20; ++hour)
    add(key, hour * 256 + 1, (hour + 1) * 256, kNow + static_cast<std::int64_t>(hour) * kHour);
  retain_all(kNow + 5 * kHour);
  EXPECT_EQ(count("frames"), 20);
  EXPECT_EQ(writer_->counters().rows_removed, 0u);
  // A block is as old as its last step. Of 20 times 256 steps the last 256 are in the tail.
  retain_all(kNow + 15 * kHour);
  EXPECT_EQ(count("frames"), 15);
  EXPECT_EQ(count("events"), 15);
  HistoryReader reader({path_});
  const StepsReply reply = reader.steps({"mnist", 1}, {}, 20'000);
  ASSERT_FALSE(reply.rows.size() == 0);
  EXPECT_EQ(reply.rows.step(0), 4 * 256 + 1u);
  EXPECT_EQ(reply.rows.step(reply.rows.size() - 1), 20 * 256u);
  for (std::size_t i = 0; i < reply.rows.size(); ++i) EXPECT_TRUE(is_same(reply.rows.record(i), make_step(5, reply.rows.step(i)).record));
  EXPECT_EQ(reader.events({}).events.front().step, 6 * 256u);
  EXPECT_EQ(reader.runs()[0].attempts[0].steps, 20 * 256u) << "ever stored";
  // A retention of 0 keeps all.
  writer_.reset();
  open(0, std::int64_t{1} << 30);
  begin(1);
  retain_all(kNow + 1'000'000 * kHour);
  EXPECT_EQ(count("frames"), 15);
}

TEST_F(HistoryRetentionTest, ARunGoesWhenAllOfItIsTooOldButNotWhileItIsFollowed) {
  open(10 * 3600 * 1000, std::int64_t{1} << 30);
  const RingKey one = begin(1, "one"), two = begin(2, "two", kNow + 1), first = begin(3, "three", kNow + 2),
                second = begin(4, "three", kNow + 3);
  add(one, 1, 300, kNow);
  add(two, 1, 300, kNow);
  add(first, 1, 300, kNow);
  add(second, 1, 300, kNow + 6 * kHour);
  for (const RingKey key : {one, first, second}) writer_->end_ring(key);
  retain_all(kNow + 11 * kHour);
  const auto attempts = [this] {
    std::map<std::string, std::vector<std::int64_t>> found;
    for (const HistoryRun& run : HistoryReader({path_}).runs()) {
      for (const HistoryAttempt& attempt : run.attempts) found[run.run].push_back(attempt.attempt);
    }
    return found;
  };
  EXPECT_EQ(attempts(), (std::map<std::string, std::vector<std::int64_t>>{{"two", {1}}, {"three", {2}}}));
  EXPECT_EQ(count("step_tail"), 2);
  // A ring file that comes back is a new attempt, and none gets the number of another.
  begin(5, "three", kNow + 4);
  EXPECT_EQ(attempts()["three"], (std::vector<std::int64_t>{3, 2}));
  writer_->end_ring(two);
  retain_all(kNow + 100 * kHour);
  EXPECT_EQ(attempts(), (std::map<std::string, std::vector<std::int64_t>>{{"three", {3}}}));
  for (const char* table : {"step_blocks", "frames", "events", "step_tail", "scalar_names"}) EXPECT_EQ(count(table), 0) << table;
  EXPECT_EQ(count("runs"), 1);
  EXPECT_EQ(count("tensors"), 1);
  EXPECT_EQ(count("progress"), 1);
}

TEST_F(HistoryRetentionTest, TheFileStaysWithinItsBytesAndTheNewestDataInIt) {
  constexpr std::int64_t kBytes = 4 << 20;
  open(0, kBytes);
  const RingKey key = begin(1);
  const RingKey quiet = begin(2, "quiet");
  add(quiet, 1, 20, kNow);
  writer_->end_ring(quiet);
  std::uint64_t last = 0;
  std::int64_t now = kNow;
  for (int i = 0; i < 100; ++i, last += 500) {
    add(key, last + 1, last + 500, now += kSecond * 60);
    ASSERT_TRUE(writer_->retain(now, milliseconds(2000)).ok());
    EXPECT_LE(writer_->counters().database_bytes, static_cast<std::uint64_t>(kBytes));
  }
  EXPECT_GT(writer_->counters().rows_removed, 50u);
  EXPECT_GT(writer_->counters().database_bytes, static_cast<std::uint64_t>(kBytes) / 2) << "no more goes than has to";
  HistoryReader reader({path_});
  const StepsReply reply = reader.steps({"mnist", 1}, HistoryCursor{0, last - 2000}, 20'000);
  EXPECT_EQ(reply.rows.size(), 2000u);
  const auto runs = reader.runs();
  ASSERT_EQ(runs.size(), 2u) << "the newest attempt of a run stays";
  EXPECT_EQ(runs[1].attempts[0].last_step, 20u);
  // A lower bound cuts the file, by pieces.
  writer_.reset();
  open(0, 1 << 20);
  const RingKey again = writer_->begin_ring(ring_id(1), make_history_schema(), now).key;
  retain_all(now);
  while (writer_->counters().database_bytes > (1u << 20)) ASSERT_TRUE(writer_->retain(now).ok());
  add(again, last + 1, last + 10, now);
  EXPECT_EQ(count("pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
}

TEST_F(HistoryRetentionTest, CurvesGoBackFurtherThanTensors) {
  open(0, 4 << 20);
  const Schema schema = make_history_schema("mnist", 100);
  const RingKey key = writer_->begin_ring(ring_id(1), schema, kNow).key;
  std::int64_t now = kNow;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    now += 10 * kSecond;
    writer_->begin(now);
    for (std::uint64_t step = 10 * i + 1; step <= 10 * i + 10; ++step) {
      const MadeStep made = make_plausible_step(5, step);
      writer_->add_step(key, made.record, made.scalars.data(), made_scalar_names());
    }
    MadeFrame frame = make_frame(schema, 1, 10 * i + 10);
    frame.header.wall_time_ns = now;
    writer_->add_frame(key, frame.view());
    ASSERT_TRUE(writer_->commit().ok());
    ASSERT_TRUE(writer_->retain(now, milliseconds(2000)).ok());
  }
  const std::int64_t frames = count("frames");
  EXPECT_LT(frames, 700) << "the test is of nothing else";
  EXPECT_GT(frames, 200);
  EXPECT_EQ(HistoryReader({path_}).steps({"mnist", 1}, {}, 20'000).rows.size(), 10'000u);
}

TEST_F(HistoryRetentionTest, DataOfTheFutureIsNotKeptForEver) {
  open(0, 1 << 20);
  const RingKey key = begin(1);
  const std::int64_t future = kNow + 1'000'000 * kHour;
  for (std::uint64_t i = 0; i < 30; ++i)
    add(key, 256 * i + 1, 256 * (i + 1), i < 10 ? future : kNow + static_cast<std::int64_t>(i) * kSecond);
  retain_all(kNow + kHour);
  EXPECT_EQ(count("step_blocks WHERE stored_ns >= " + std::to_string(future)), 0);
  EXPECT_GT(count("step_blocks"), 0);
}

TEST_F(HistoryRetentionTest, ManyShortRunsStayWithinTheBytesToo) {
  open(0, 1 << 20);
  for (std::uint64_t id = 1; id <= 300; ++id) {
    const RingKey key = begin(id, "run" + std::to_string(id), kNow + static_cast<std::int64_t>(id));
    add(key, 1, 12, kNow + static_cast<std::int64_t>(id) * kSecond);
    writer_->end_ring(key);
    ASSERT_TRUE(writer_->retain(kNow, milliseconds(2000)).ok());
  }
  EXPECT_LE(writer_->counters().database_bytes, 1u << 20);
  const auto runs = HistoryReader({path_}).runs();
  EXPECT_GT(runs.size(), 20u);
  EXPECT_EQ(runs[0].run, "run300");
}

TEST_F(HistoryRetentionTest, WorksByPieces) {
  open(3600 * 1000, std::int64_t{1} << 30);
  const RingKey key = begin(1);
  for (std::uint64_t i = 0; i < 20; ++i) add(key, i * 2560 + 1, (i + 1) * 2560, kNow + static_cast<std::int64_t>(i) * 20 * kSecond);
  const std::int64_t blocks = count("step_blocks");
  ASSERT_GT(blocks, 180);
  // Without any time a call still does one piece, so that there is an end.
  std::uint64_t removed = 0;
  int calls = 0;
  double longest = 0;
  do {
    const auto before = std::chrono::steady_clock::now();
    removed = writer_->counters().rows_removed;
    ASSERT_TRUE(writer_->retain(kNow + 1000 * kHour, milliseconds(0)).ok());
    longest = std::max(longest, std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count());
    ++calls;
  } while (removed != writer_->counters().rows_removed);
  RecordProperty("longest_ms", static_cast<int>(longest * 1000));
  EXPECT_EQ(count("step_blocks"), 0);
  EXPECT_GT(calls, blocks / 20);
}

}  // namespace
}  // namespace vigil
