// The thread of a receiver, and the pauses between its tries.
#include "vigil/exporters/delivery_thread.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "e2e/wait_until.h"
#include "fork.h"

namespace vigil {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Next = std::optional<DeliveryThread::Clock::time_point>;

TEST(Pauses, DoubleFromHalfASecondToFifteen) {
  Backoff backoff;
  std::vector<long> pauses(7);
  for (long& pause : pauses) pause = static_cast<long>(backoff.next().count());
  EXPECT_EQ(pauses, (std::vector<long>{500, 1000, 2000, 4000, 8000, 15000, 15000}));
  backoff.reset();
  EXPECT_EQ(backoff.next(), milliseconds(500));
}

TEST(Pauses, ByChanceLieBetweenHalfAndAllOfTheirLength) {
  Backoff backoff(milliseconds(1000), milliseconds(8000), 7), same(milliseconds(1000), milliseconds(8000), 7),
      other(milliseconds(1000), milliseconds(8000), 8);
  bool differs = false, is_low = false, is_high = false;
  for (int i = 0; i < 200; ++i) {
    const long whole = std::min(1000L << std::min(i, 10), 8000L), pause = static_cast<long>(backoff.next().count());
    EXPECT_GE(pause, whole / 2);
    EXPECT_LE(pause, whole);
    EXPECT_EQ(same.next().count(), pause);
    differs = differs || other.next().count() != pause;
    is_low = is_low || pause < whole * 6 / 10;
    is_high = is_high || pause > whole * 9 / 10;
  }
  EXPECT_TRUE(differs && is_low && is_high);
}

TEST(Pauses, AreAsLongAsTheReceiverAsksWithinTenMinutes) {
  Backoff backoff;
  EXPECT_EQ(backoff.next(seconds(7)), seconds(7));
  EXPECT_EQ(backoff.next(milliseconds(10)), milliseconds(1000)) << "its own are longer";
  EXPECT_EQ(backoff.next(std::chrono::hours(48)), std::chrono::minutes(10));
}

TEST(DeliveryThreads, WorkWhenTheyAreWokenAndWhenTheyAskedFor) {
  std::atomic<int> calls{0};
  DeliveryThread thread("test", [&](DeliveryStatus&) -> Next {
    if (++calls % 3 == 0) return std::nullopt;
    return DeliveryThread::Clock::now() + milliseconds(1);
  });
  thread.wake();
  EXPECT_TRUE(wait_until(10, [&] { return calls == 3; }));
  thread.wake();
  EXPECT_TRUE(wait_until(10, [&] { return calls == 6; }));
}

TEST(DeliveryThreads, WhatThrowsIsCountedAndCalledAgain) {
  std::atomic<int> calls{0};
  DeliveryThread thread("test", [&](DeliveryStatus&) -> Next {
    if (++calls == 1) throw std::runtime_error("no");
    return std::nullopt;
  });
  thread.wake();
  EXPECT_TRUE(wait_until(10, [&] { return calls == 2; })) << "a second later";
  EXPECT_EQ(thread.status().take_failures(), (std::pair<std::uint64_t, std::string>{1, "no"}));
  EXPECT_EQ(thread.status().take_failures().first, 0u);
}

// The work ends while stop() asks whether it is done: that has to wake it all the same.
TEST(DeliveryThreads, StopDoesNotMissTheEndOfTheWork) {
  std::mutex mutex;
  std::condition_variable changed;
  bool has_begun = false, may_end = false, is_done = false;
  DeliveryThread thread("test", [&](DeliveryStatus&) -> Next {
    std::unique_lock<std::mutex> lock(mutex);
    has_begun = true;
    changed.notify_all();
    changed.wait(lock, [&] { return may_end; });
    is_done = true;
    return std::nullopt;
  });
  thread.wake();
  {
    std::unique_lock<std::mutex> lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, seconds(10), [&] { return has_begun; }));
  }
  bool is_first = true;
  const auto begin = DeliveryThread::Clock::now();
  thread.stop(seconds(30), [&] {
    std::unique_lock<std::mutex> lock(mutex);
    if (!is_first) return is_done;
    is_first = false;
    may_end = true;
    changed.notify_all();
    lock.unlock();
    EXPECT_TRUE(wait_until(10, [&] {
      const std::lock_guard<std::mutex> again(mutex);
      return is_done && test::other_threads_sleep();
    }));
    return false;
  });
  EXPECT_LT(DeliveryThread::Clock::now() - begin, seconds(20));
}

TEST(DeliveryThreads, StopLosesItsPatienceAndMayBeCalledAgain) {
  std::atomic<int> calls{0};
  DeliveryThread thread("test", [&](DeliveryStatus&) -> Next {
    ++calls;
    return std::nullopt;
  });
  EXPECT_FALSE(thread.status().must_stop());
  thread.stop(milliseconds(1), [] { return false; });
  EXPECT_TRUE(thread.status().must_stop());
  const int before = calls;
  thread.stop(seconds(30), [] { return false; });
  EXPECT_EQ(calls, before);
}

}  // namespace
}  // namespace vigil
