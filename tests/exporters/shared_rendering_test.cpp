// One rendering for many: who waits, who shares, what is kept, and what a failure does to the others.
#include "vigil/exporters/shared_rendering.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <new>
#include <string>
#include <thread>
#include <vector>

namespace vigil {
namespace {

using Body = SharedRenderings::Body;

class Shared : public testing::Test {
 protected:
  Body get(const std::string& text, TextFormat format = TextFormat::prometheus, bool is_gzip = false) {
    return renderings.get(snapshot, format, is_gzip, [&] { return text; });
  }

  SharedRenderings renderings;
  std::shared_ptr<const Snapshot> snapshot = std::make_shared<const Snapshot>();
};

TEST_F(Shared, WhileABodyIsHeldItIsNotMadeAgain) {
  const Body first = get("one"), second = get("two");
  EXPECT_EQ(*first, "one");
  EXPECT_EQ(second, first);
  EXPECT_EQ(renderings.renderings(), 1u);
}

TEST_F(Shared, ABodyThatNobodyHoldsIsNotKept) {
  const std::weak_ptr<const std::string> first = get("one");
  EXPECT_TRUE(first.expired());
  EXPECT_EQ(*get("two"), "two");
  EXPECT_EQ(renderings.renderings(), 2u);
}

TEST_F(Shared, ANewSnapshotIsRenderedEvenWhereTheOldOneLay) {
  const Body old = get("old");
  for (int i = 0; i < 10; ++i) {
    snapshot = std::make_shared<const Snapshot>();
    const std::string text = "new " + std::to_string(i);
    EXPECT_EQ(*get(text), text);
  }
  EXPECT_EQ(*old, "old");
}

TEST_F(Shared, NoSnapshotIsKept) {
  const Body body = get("one");
  const std::weak_ptr<const Snapshot> watched = snapshot;
  snapshot.reset();
  EXPECT_TRUE(watched.expired());
}

TEST_F(Shared, EachFormIsItsOwn) {
  const Body bodies[] = {get("text"), get("openmetrics", TextFormat::openmetrics), get("text.gz", TextFormat::prometheus, true),
                         get("openmetrics.gz", TextFormat::openmetrics, true)};
  EXPECT_EQ(*bodies[0], "text");
  EXPECT_EQ(*bodies[1], "openmetrics");
  EXPECT_EQ(*bodies[2], "text.gz");
  EXPECT_EQ(*bodies[3], "openmetrics.gz");
  EXPECT_EQ(renderings.renderings(), 4u);
}

TEST_F(Shared, WhoComesWhileItIsMadeWaitsForIt) {
  constexpr int kWaiters = 8;
  std::promise<void> begun, may_end;
  auto first = std::async(std::launch::async, [&] {
    return renderings.get(snapshot, TextFormat::prometheus, false, [&] {
      begun.set_value();
      may_end.get_future().wait();
      return std::string("one");
    });
  });
  begun.get_future().wait();
  std::vector<std::future<Body>> waiters;
  for (int i = 0; i < kWaiters; ++i) {
    waiters.push_back(std::async(std::launch::async, [&] { return get("another"); }));
  }
  for (std::future<Body>& waiter : waiters) EXPECT_EQ(waiter.wait_for(std::chrono::milliseconds(1)), std::future_status::timeout);
  may_end.set_value();
  const Body body = first.get();
  for (std::future<Body>& waiter : waiters) EXPECT_EQ(waiter.get(), body);
  EXPECT_EQ(renderings.renderings(), 1u);
}

TEST_F(Shared, AFailureIsThatOfItsCallerOnlyAndOneOfTheWaitersTriesNext) {
  constexpr int kWaiters = 8;
  std::promise<void> begun, may_end;
  auto first = std::async(std::launch::async, [&] {
    return renderings.get(snapshot, TextFormat::prometheus, false, [&]() -> std::string {
      begun.set_value();
      may_end.get_future().wait();
      throw std::bad_alloc();
    });
  });
  begun.get_future().wait();
  std::vector<std::future<Body>> waiters;
  for (int i = 0; i < kWaiters; ++i) {
    waiters.push_back(std::async(std::launch::async, [&] { return get("another"); }));
  }
  may_end.set_value();
  EXPECT_THROW(first.get(), std::bad_alloc);
  for (std::future<Body>& waiter : waiters) EXPECT_EQ(*waiter.get(), "another");
  EXPECT_GE(renderings.renderings(), 2u);
}

TEST_F(Shared, WhenEveryRenderingFailsEveryCallerIsToldSo) {
  std::atomic<int> failures{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      try {
        renderings.get(snapshot, TextFormat::prometheus, false, []() -> std::string { throw std::bad_alloc(); });
      } catch (const std::bad_alloc&) {
        ++failures;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(failures, 8);
  EXPECT_EQ(renderings.renderings(), 8u);
  EXPECT_EQ(*get("at last"), "at last");
}

}  // namespace
}  // namespace vigil
