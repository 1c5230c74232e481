// Samples that wait: how many, in which order, and what goes when there is no room.
#include "vigil/daemon/sample_queue.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <deque>
#include <numeric>
#include <utility>

namespace vigil {
namespace {

using Sent = std::vector<std::pair<std::int64_t, std::size_t>>;  // times and numbers of values

class Queue : public testing::Test {
 protected:
  SampleBlock block(std::int64_t timestamp_ms, std::size_t values) {
    SampleBlock made;
    made.timestamp_ms = timestamp_ms;
    for (std::size_t i = 0; i < values; ++i) made.values.push_back({&label_, 100 * static_cast<std::uint64_t>(timestamp_ms) + i});
    made.values.shrink_to_fit();
    made.progress = progress_;
    return made;
  }
  static Sent take(SampleQueue& queue, std::size_t max_samples) {
    std::vector<SampleBlock> batch;
    queue.take(max_samples, batch);
    Sent sent;
    for (const SampleBlock& one : batch) sent.emplace_back(one.timestamp_ms, one.values.size());
    return sent;
  }

  const std::string label_ = "label";
  const std::shared_ptr<SampleProgress> progress_ = std::make_shared<SampleProgress>();
};

TEST_F(Queue, HandsOutWholeBlocksInOrder) {
  SampleQueue queue(1 << 20);
  for (const std::int64_t time : {1, 2, 3, 4}) queue.push(block(time, 10));
  EXPECT_EQ(queue.samples(), 40u);
  EXPECT_EQ(take(queue, 25), (Sent{{1, 10}, {2, 10}}));
  EXPECT_EQ(take(queue, 1000), (Sent{{3, 10}, {4, 10}}));
  EXPECT_EQ(queue.samples(), 0u);
  EXPECT_EQ(queue.bytes(), 0u);
  EXPECT_TRUE(take(queue, 1000).empty());
}

TEST_F(Queue, CutsABlockOnlyWhereNoBatchCouldHoldIt) {
  SampleQueue queue(1 << 20);
  queue.push(block(1, 3));
  queue.push(block(2, 25));
  queue.push(block(3, 2));
  std::vector<std::uint64_t> values;
  std::vector<std::int64_t> done;
  while (queue.samples() > 0) {
    std::vector<SampleBlock> batch;
    queue.take(10, batch);
    std::size_t samples = 0;
    for (const SampleBlock& one : batch) {
      samples += one.values.size();
      if (one.progress != nullptr) done.push_back(one.timestamp_ms);
      for (const SampleBlock::Value& value : one.values) values.push_back(value.bits);
    }
    EXPECT_LE(samples, 10u);
    EXPECT_GT(samples, 0u);
  }
  std::vector<std::uint64_t> expected{100, 101, 102};
  for (std::uint64_t i = 0; i < 25; ++i) expected.push_back(200 + i);
  expected.insert(expected.end(), {300, 301});
  EXPECT_EQ(values, expected) << "all of them, each once, in order";
  EXPECT_EQ(done, (std::vector<std::int64_t>{1, 2, 3})) << "a block is done with its last part";
  EXPECT_EQ(queue.bytes(), 0u);
}

TEST_F(Queue, DropsTheOldestBlocksWhenItIsFullAndCountsTheirSamples) {
  const std::size_t bytes = block(1, 10).bytes();
  SampleQueue queue(3 * bytes);
  for (const std::int64_t time : {1, 2, 3}) EXPECT_EQ(queue.push(block(time, 10)).dropped, 0u);
  EXPECT_EQ(progress_->done_ms, SampleProgress::kNone);
  const auto [waiting, dropped] = queue.push(block(4, 10));
  EXPECT_EQ(waiting, 30u);
  EXPECT_EQ(dropped, 10u);
  EXPECT_EQ(queue.bytes(), 3 * bytes);
  EXPECT_EQ(progress_->done_ms, 1) << "given up";
  queue.push(block(5, 20));
  EXPECT_EQ(take(queue, 1000), (Sent{{4, 10}, {5, 20}}));
  EXPECT_EQ(queue.dropped(), 30u);
}

TEST_F(Queue, DropsABlockThatIsLargerThanItself) {
  SampleQueue queue(1000);
  queue.push(block(1, 2));
  EXPECT_EQ(queue.push(block(2, 1000)).dropped, 1002u);
  EXPECT_EQ(queue.samples(), 0u);
  queue.push(block(3, 2));
  EXPECT_EQ(take(queue, 10), (Sent{{3, 2}}));
}

TEST_F(Queue, WhatIsAbandonedIsCountedAndStaysToBeSent) {
  SampleQueue queue(1 << 20);
  for (const std::int64_t time : {1, 2}) queue.push(block(time, 10));
  take(queue, 10);
  queue.abandon();
  EXPECT_EQ(queue.samples(), 0u);
  EXPECT_EQ(queue.bytes(), 0u);
  EXPECT_EQ(queue.dropped(), 10u);
  EXPECT_EQ(progress_->done_ms, SampleProgress::kNone);
}

TEST_F(Queue, ProgressNeverGoesBack) {
  progress_->finish(5);
  progress_->finish(3);
  EXPECT_EQ(progress_->done_ms, 5);
}

}  // namespace
}  // namespace vigil
