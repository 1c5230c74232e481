// When what is sent, how long is waited between tries, and what becomes of the samples: with a clock and a receiver of the test's own.
#include "vigil/daemon/write_sender.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <random>
#include <set>

#include "daemon/sent_samples.h"
#include "exporters/captured_log.h"

namespace vigil {
namespace {

using namespace test;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Time = WriteSender::Clock::time_point;
using Millis = std::vector<long>;

class Sender : public testing::Test {
 protected:
  // A run with `count` series.
  struct Run {
    std::shared_ptr<std::deque<std::string>> labels = std::make_shared<std::deque<std::string>>();
    std::shared_ptr<SampleProgress> progress = std::make_shared<SampleProgress>();
  };
  static Run make_run(const std::string& name, int count) {
    Run run;
    for (int i = 0; i < count; ++i) run.labels->push_back(encode_labels("m" + std::to_string(i), {{"run", name}}));
    return run;
  }
  static SampleBlock block(const Run& run, std::int64_t timestamp_ms) {
    SampleBlock made;
    made.timestamp_ms = timestamp_ms;
    for (const std::string& labels : *run.labels) made.values.push_back({&labels, wire_bits(static_cast<double>(timestamp_ms))});
    made.owner = run.labels;
    made.progress = run.progress;
    return made;
  }

  void make(WriteSenderOptions options) {
    sender = std::make_unique<WriteSender>(
        queue, options,
        [this](const std::string& body) {
          times.push_back(now);
          bodies.push_back(body);
          now += post_time;
          if (refuses && refuses(body)) return PostResult{400, "HTTP status 400", "out of order sample"};
          if (answers.empty()) return PostResult{204, {}};
          const PostResult answer = answers.front();
          answers.pop_front();
          return answer;
        },
        [this] { return now; });
  }
  static WriteSenderOptions options(std::size_t max_samples = 100) {
    WriteSenderOptions options;
    options.max_samples = max_samples;
    options.backoff = Backoff();  // 500 ms, 1 s, 2 s … without chance
    return options;
  }
  std::optional<Time> work(bool is_hasty = false) {
    return sender->work(is_hasty, [this] { return must_stop; });
  }
  // Works as a thread does, until there is nothing more to do, or `end`.
  void run_until(Time end, bool is_hasty = false) {
    while (const auto next = work(is_hasty)) {
      if (*next > end) break;
      now = std::max(now, *next);
    }
    now = std::max(now, end);
  }
  // Milliseconds between the requests.
  Millis pauses() const {
    Millis all;
    for (std::size_t i = 1; i < times.size(); ++i) all.push_back(std::chrono::duration_cast<milliseconds>(times[i] - times[i - 1]).count());
    return all;
  }
  std::vector<std::size_t> sizes() const {
    std::vector<std::size_t> all;
    for (const std::string& body : bodies) {
      std::size_t samples = 0;
      for (const DecodedSeries& series : decode_body(body)) samples += series.samples.size();
      all.push_back(samples);
    }
    return all;
  }

  CapturedLog captured;
  SampleQueue queue{std::size_t{1} << 20};
  Time now{seconds(1000)};
  milliseconds post_time{0};
  std::deque<PostResult> answers;  // then 204
  std::function<bool(const std::string& body)> refuses;
  bool must_stop = false;
  std::unique_ptr<WriteSender> sender;
  std::vector<Time> times;
  std::vector<std::string> bodies;
};

TEST_F(Sender, WaitsForTheIntervalUnlessABatchIsFull) {
  make(options(100));
  const Run run = make_run("a", 10);
  EXPECT_FALSE(work()) << "nothing to do";
  queue.push(block(run, 1));
  EXPECT_EQ(work(), now + seconds(1));
  now += milliseconds(400);
  EXPECT_EQ(work(), now + milliseconds(600));
  for (std::int64_t time = 2; time <= 10; ++time) queue.push(block(run, time));
  EXPECT_FALSE(work());
  EXPECT_EQ(sizes(), (std::vector<std::size_t>{100})) << "full: sent at once";
  queue.push(block(run, 11));
  EXPECT_EQ(work(), now + seconds(1)) << "the interval begins anew";
  now += seconds(1);
  EXPECT_FALSE(work());
  EXPECT_EQ(sizes(), (std::vector<std::size_t>{100, 10}));
  EXPECT_EQ(sender->counters().sent, 110u);
  EXPECT_EQ(sender->counters().highest_timestamp_ms, 11);
  EXPECT_TRUE(sender->is_idle());
}

TEST_F(Sender, SendsAtOnceWhereItIsHasty) {
  make(options(100));
  queue.push(block(make_run("a", 10), 1));
  EXPECT_FALSE(work(/*is_hasty=*/true));
  EXPECT_EQ(bodies.size(), 1u);
}

TEST_F(Sender, NoBatchIsLargerThanAllowedAndTheOrderOfEachSeriesIsKept) {
  make(options(25));
  const Run one = make_run("a", 10), other = make_run("b", 7);
  for (std::int64_t time = 1; time <= 40; ++time) {
    queue.push(block(one, time));
    if (time % 3 == 0) queue.push(block(other, time));
  }
  now += seconds(1);
  run_until(now + seconds(5));
  std::size_t total = 0;
  for (const std::size_t size : sizes()) {
    EXPECT_LE(size, 25u);
    total += size;
  }
  EXPECT_EQ(total, 40u * 10 + 13u * 7);
  std::vector<std::pair<std::int64_t, std::uint64_t>> of_one, of_other;
  for (std::int64_t time = 1; time <= 40; ++time) {
    of_one.emplace_back(time, bits_of(static_cast<double>(time)));
    if (time % 3 == 0) of_other.push_back(of_one.back());
  }
  const auto all = samples_of(bodies);
  EXPECT_EQ(all.size(), 17u);
  for (const auto& [series, samples] : all) EXPECT_EQ(samples, series.find("run=\"a\"") != std::string::npos ? of_one : of_other) << series;
}

TEST_F(Sender, ASeriesStandsOnceInARequest) {
  make(options(1000));
  const Run run = make_run("a", 5);
  for (std::int64_t time = 1; time <= 20; ++time) queue.push(block(run, time));
  work(true);
  EXPECT_EQ(decode_body(bodies.at(0)).size(), 5u);
}

TEST_F(Sender, TriesAgainAfterPausesThatDouble) {
  make(options());
  queue.push(block(make_run("a", 10), 1));
  for (const int status : {500, 503, 429, 408, 0, 502, 500, 500}) answers.push_back({status, "no"});
  run_until(now + std::chrono::minutes(10));
  EXPECT_EQ(pauses(), (Millis{500, 1000, 2000, 4000, 8000, 15000, 15000, 15000}));
  EXPECT_EQ(std::set<std::string>(bodies.begin(), bodies.end()).size(), 1u) << "always the same request";
  const WriteCounters counters = sender->counters();
  EXPECT_EQ(counters.sent, 10u);
  EXPECT_EQ(counters.retried, 8u);
  EXPECT_EQ(counters.requests, 9u);
  EXPECT_EQ(counters.failed, 0u);
}

TEST_F(Sender, APauseEndsWithTheNextSuccess) {
  make(options(10));
  const Run run = make_run("a", 10);
  queue.push(block(run, 1));
  for (int i = 0; i < 4; ++i) answers.push_back({500, "no"});
  run_until(now + seconds(20));
  queue.push(block(run, 2));
  answers = {{204, {}}, {500, "no"}};
  queue.push(block(run, 3));
  run_until(now + seconds(20));
  EXPECT_EQ(pauses().back(), 500);
  EXPECT_EQ(sender->counters().sent, 30u);
}

TEST_F(Sender, WaitsAsLongAsTheReceiverAsks) {
  make(options());
  queue.push(block(make_run("a", 10), 1));
  answers.push_back({429, "no", {}, seconds(7)});
  answers.push_back({503, "no", {}, std::chrono::hours(1000)});
  answers.push_back({503, "no", {}, seconds(1)});
  run_until(now + std::chrono::hours(1));
  EXPECT_EQ(pauses(), (Millis{7000, 600'000, 2000})) << "within ten minutes, and never less than its own";
}

TEST_F(Sender, ThePauseCountsFromTheEndOfATry) {
  make(options());
  post_time = seconds(3);  // until it times out
  queue.push(block(make_run("a", 10), 1));
  answers.push_back({0, "timed out"});
  run_until(now + seconds(20));
  EXPECT_EQ(pauses(), Millis{3500});
}

TEST_F(Sender, WhatIsRefusedIsNotSentAgainAndSaysWhyOnceAMinute) {
  make(options(10));
  const Run run = make_run("a", 10);
  refuses = [](const std::string&) { return true; };
  for (std::int64_t time = 1; time <= 5; ++time) queue.push(block(run, time));
  run_until(now + seconds(10));
  EXPECT_EQ(bodies.size(), 5u);
  EXPECT_EQ(sender->counters().failed, 50u);
  EXPECT_EQ(sender->counters().retried, 0u);
  EXPECT_TRUE(sender->is_idle());
  EXPECT_EQ(
      captured.count("error: remote write: the receiver refused 10 samples, which are lost (further refusals are logged once a minute): "
                     "HTTP status 400: out of order sample"),
      1u);
  EXPECT_EQ(run.progress->done_ms, 5) << "given up";
  now += seconds(60);
  queue.push(block(run, 6));
  run_until(now + seconds(10));
  EXPECT_EQ(captured.count("the receiver refused"), 2u);
}

TEST_F(Sender, TheFaultOfOneRunIsNotThatOfTheOthers) {
  make(options(100));
  const Run good = make_run("good", 10), bad = make_run("bad", 5), other = make_run("other", 3);
  for (std::int64_t time = 1; time <= 4; ++time) {
    for (const Run* run : {&good, &bad, &other}) queue.push(block(*run, time));
  }
  refuses = [](const std::string& body) {
    for (const DecodedSeries& series : decode_body(body)) {
      if (series.key().find("bad") != std::string::npos) return true;
    }
    return false;
  };
  run_until(now + seconds(10));
  EXPECT_EQ(sender->counters().sent, 4u * 13);
  EXPECT_EQ(sender->counters().failed, 4u * 5);
  EXPECT_EQ(sender->counters().in_flight, 0u);
  EXPECT_EQ(bodies.size(), 4u) << "all together, then each by itself";
  EXPECT_EQ(good.progress->done_ms, 4);
  const auto all = samples_of({bodies.begin() + 1, bodies.end()});
  EXPECT_EQ(all.at("m0{run=\"good\"}").size(), 4u);
}

TEST_F(Sender, ASampleIsDoneOnceItIsTaken) {
  make(options(20));
  const Run run = make_run("a", 10);
  for (std::int64_t time = 1; time <= 4; ++time) queue.push(block(run, time));
  answers = {{204, {}}, {500, "no"}};
  static_cast<void>(work());
  EXPECT_EQ(run.progress->done_ms, 2);
  run_until(now + seconds(10));
  EXPECT_EQ(run.progress->done_ms, 4);
}

TEST_F(Sender, BeginsNothingOnceItMustStopAndGivesUpWhatIsLeft) {
  make(options(10));
  const Run run = make_run("a", 10);
  for (std::int64_t time = 1; time <= 3; ++time) queue.push(block(run, time));
  answers = {{204, {}}, {500, "no"}};
  static_cast<void>(work(true));
  must_stop = true;
  now += seconds(10);
  EXPECT_FALSE(work(true));
  EXPECT_EQ(bodies.size(), 2u);
  EXPECT_EQ(sender->abandon(), 20u);
  EXPECT_EQ(sender->counters().abandoned, 10u);
  EXPECT_EQ(queue.dropped(), 10u);
  EXPECT_EQ(sender->counters().in_flight, 0u);
  EXPECT_EQ(run.progress->done_ms, 1) << "another process may send the rest";
  EXPECT_EQ(sender->abandon(), 0u);
}

TEST_F(Sender, AReceiverThatIsAwayAndComesBackIsALineEach) {
  make(options());
  queue.push(block(make_run("a", 10), 1));
  for (int i = 0; i < 4; ++i) answers.push_back({0, "Connection refused"});
  run_until(now + seconds(30));
  EXPECT_EQ(captured.lines(), (std::vector<std::string>{
                                  "warning: remote write: the receiver cannot be reached or is not ready, samples wait: Connection refused",
                                  "info: remote write: the receiver answers again after 7 s; 0 samples wait for it"}));
}

// Whatever a receiver answers: each sample is sent, refused or waits, and is never sent twice to a receiver that took it.
TEST_F(Sender, RandomAnswersLoseNothing) {
  std::mt19937 random(5);
  make(options(50));
  const std::vector<Run> runs{make_run("a", 10), make_run("b", 3), make_run("c", 120)};
  std::uint64_t pushed = 0;
  for (std::int64_t time = 1; time <= 300; ++time) {
    const Run& run = runs[random() % runs.size()];
    queue.push(block(run, time));
    pushed += run.labels->size();
    const int statuses[] = {204, 204, 204, 500, 0, 429};
    answers = {{statuses[random() % 6], "no"}};
    if (const auto next = work(random() % 4 == 0)) now = std::max(now, *next);
    const WriteCounters counters = sender->counters();
    ASSERT_EQ(counters.sent + counters.failed + counters.in_flight + queue.samples(), pushed);
  }
  answers.clear();
  run_until(now + seconds(60));
  EXPECT_EQ(sender->counters().sent, pushed);
}

}  // namespace
}  // namespace vigil
