// From a run's records to a receiver, on a thread: what it is posted, with which headers, and how it ends. The real receiver is in
// remote_write_server_test.cpp.
#include "vigil/daemon/remote_write.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "daemon/sent_samples.h"
#include "e2e/wait_until.h"
#include "exporters/captured_log.h"
#include "exporters/test_run.h"
#include "exporters/text_parser.h"
#include "files.h"
#include "http/http_recorder.h"

namespace vigil {
namespace {

using namespace test;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::int64_t kStartMs = kStartNs / 1'000'000;

class Write : public testing::Test {
 protected:
  static RemoteWriteOptions options(const std::string& url) {
    RemoteWriteOptions options;
    options.url = url;
    options.interval = milliseconds(10);
    return options;
  }
  // Steps `first` to `last`, ten milliseconds apart, of which each has its number as loss.
  static void write_steps(RunSamples& samples, std::uint64_t first, std::uint64_t last) {
    StepRecord record;
    const double rate = 0.5;
    for (std::uint64_t step = first; step <= last; ++step) {
      record.step = step;
      record.flags = StepRecord::has_loss;
      record.loss = static_cast<double>(step);
      record.wall_time_ns = kStartNs + static_cast<std::int64_t>(step) * 10'000'000;
      samples.on_step(record, &rate, {});
    }
    samples.release_before(record.wall_time_ns + 1'000'000);
  }
  static std::shared_ptr<const Schema> schema(const std::string& run = "mnist", int rank = 0) {
    Schema made;
    made.identity.run = run;
    made.identity.rank = rank;
    made.learning_rates = 1;
    return std::make_shared<const Schema>(made);
  }
  static std::string loss_of(const std::string& run, const std::string& rank = "0") {
    return series_key("vigil_loss", {{"run", run}, {"rank", rank}});
  }
  static std::vector<std::string> bodies_of(const HttpRecorder& receiver) {
    std::vector<std::string> bodies;
    for (const RecordedRequest& request : receiver.requests()) bodies.push_back(request.body);
    return bodies;
  }
  // Times after kStartMs, in steps.
  static std::vector<std::int64_t> steps_of(const HttpRecorder& receiver, const std::string& series) {
    std::vector<std::int64_t> steps;
    const auto samples = samples_of(bodies_of(receiver))[series];
    for (const auto& [time, bits] : samples) {
      if (bits != kStaleBits) steps.push_back((time - kStartMs) / 10);
    }
    return steps;
  }
  static std::vector<std::int64_t> from_to(std::int64_t first, std::int64_t last) {
    std::vector<std::int64_t> steps;
    for (; first <= last; ++first) steps.push_back(first);
    return steps;
  }

  CapturedLog captured;
};

TEST_F(Write, PostsWhatTheSpecificationWants) {
  const HttpRecorder receiver;
  RemoteWrite write(options(receiver.url() + "/api/v1/write"));
  const auto samples = write.begin_run(schema());
  write_steps(*samples, 1, 3);
  ASSERT_TRUE(receiver.wait_for(10, 1));
  const RecordedRequest request = receiver.requests().front();
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/api/v1/write");
  EXPECT_EQ(request.headers.at("content-encoding"), "snappy");
  EXPECT_EQ(request.headers.at("content-type"), "application/x-protobuf");
  EXPECT_EQ(request.headers.at("x-prometheus-remote-write-version"), "0.1.0");
  EXPECT_EQ(request.headers.at("user-agent").rfind("vigil/", 0), 0u);
  EXPECT_TRUE(wait_until(10, [&] { return write.counters().queued == 0; }));
  EXPECT_EQ(samples_of(bodies_of(receiver))[loss_of("mnist")],
            (std::vector<std::pair<std::int64_t, std::uint64_t>>{
                {kStartMs + 10, bits_of(1)}, {kStartMs + 20, bits_of(2)}, {kStartMs + 30, bits_of(3)}}));
}

TEST_F(Write, CountersAddUpAndTheCursorFollows) {
  const HttpRecorder receiver;
  RemoteWrite write(options(receiver.url()));
  const auto samples = write.begin_run(schema());
  EXPECT_EQ(samples->cursor().steps_ms, SampleProgress::kNone);
  write_steps(*samples, 1, 100);
  samples->end();
  EXPECT_TRUE(wait_until(10, [&] { return write.counters().queued == 0; }));
  std::uint64_t received = 0;
  for (const auto& [series, values] : samples_of(bodies_of(receiver))) received += values.size();
  const RemoteWriteCounters counters = write.counters();
  EXPECT_EQ(counters.sent, received);
  EXPECT_EQ(counters.failed + counters.dropped + counters.out_of_order + counters.replaced + counters.queued_bytes, 0u);
  EXPECT_EQ(counters.requests, receiver.requests().size());
  EXPECT_EQ(counters.highest_timestamp_ms, kStartMs + 1001) << "the end of all series";
  EXPECT_EQ(samples->cursor().steps_ms, kStartMs + 1001);
}

TEST_F(Write, AReceiverThatIsDownCostsNothingAsLongAsTheQueueHasRoom) {
  const int port = free_port();
  RemoteWrite write(options("http://127.0.0.1:" + std::to_string(port)));
  const auto one = write.begin_run(schema("one")), other = write.begin_run(schema("other", 3));
  write_steps(*one, 1, 200);
  EXPECT_TRUE(wait_until(10, [&] { return write.counters().requests >= 2; }));
  write_steps(*other, 1, 200);
  write_steps(*one, 201, 400);
  HttpRecorder receiver(port);
  EXPECT_TRUE(wait_until(30, [&] { return write.counters().queued == 0; }));
  EXPECT_EQ(steps_of(receiver, loss_of("one")), from_to(1, 400));
  EXPECT_EQ(steps_of(receiver, loss_of("other", "3")), from_to(1, 200));
  EXPECT_EQ(write.counters().dropped, 0u);
  EXPECT_GT(write.counters().retried, 0u);
}

TEST_F(Write, OfMoreThanTheQueueHoldsTheOldestAreDroppedCountedAndTold) {
  const int port = free_port();
  RemoteWriteOptions small = options("http://127.0.0.1:" + std::to_string(port));
  small.queue_bytes = 64 << 10;
  RemoteWrite write(small);
  const auto samples = write.begin_run(schema());
  write_steps(*samples, 1, 1000);
  EXPECT_LE(write.counters().queued_bytes, std::size_t{64} << 10);
  EXPECT_GT(write.counters().dropped, 20'000u);
  EXPECT_EQ(
      captured.count("error: remote write: the queue of 64 KiB is full, the oldest samples are dropped until the receiver takes some"), 1u);
  const HttpRecorder receiver(port);
  EXPECT_TRUE(wait_until(30, [&] { return write.counters().queued == 0; }));
  const auto steps = steps_of(receiver, loss_of("mnist"));
  ASSERT_FALSE(steps.empty());
  EXPECT_EQ(steps.back(), 1000) << "the newest are there";
  EXPECT_TRUE(std::is_sorted(steps.begin(), steps.end()));
  EXPECT_LT(steps.size(), 200u);
}

TEST_F(Write, StopSendsWhatWaits) {
  const HttpRecorder receiver;
  RemoteWriteOptions slow = options(receiver.url());
  slow.interval = std::chrono::minutes(10);
  RemoteWrite write(slow);
  const auto samples = write.begin_run(schema());
  write_steps(*samples, 1, 5);
  samples->end();
  EXPECT_TRUE(receiver.requests().empty());
  const auto begin = std::chrono::steady_clock::now();
  write.stop(seconds(30));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(10));
  EXPECT_EQ(steps_of(receiver, loss_of("mnist")), from_to(1, 5));
  EXPECT_EQ(samples_of(bodies_of(receiver))[loss_of("mnist")].back().second, kStaleBits);
  EXPECT_TRUE(captured.lines().empty());
}

TEST_F(Write, StopGivesUpOnAReceiverThatIsDownAndOnOneThatNeverAnswers) {
  const SilentListener silent;
  for (const std::string& url : {silent.url(), "http://127.0.0.1:" + std::to_string(free_port())}) {
    RemoteWrite write(options(url));
    const auto samples = write.begin_run(schema());
    write_steps(*samples, 1, 5);
    const std::uint64_t waiting = write.counters().queued;
    const auto begin = std::chrono::steady_clock::now();
    write.stop(milliseconds(300));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(10)) << url << ": far below the timeout of 30 s";
    EXPECT_EQ(write.counters().dropped, waiting);
    EXPECT_EQ(write.counters().queued, 0u);
    EXPECT_EQ(captured.count("error: remote write: " + std::to_string(waiting) + " samples could not be sent before the end"),
              1u + (url != silent.url()));
    EXPECT_EQ(samples->cursor().steps_ms, SampleProgress::kNone) << "another process may send them";
    write.stop(milliseconds(300));
  }
}

TEST_F(Write, AnotherProcessGoesOnWhereThisOneEnded) {
  HttpRecorder receiver;
  RunCursor cursor;
  {
    RemoteWrite write(options(receiver.url()));
    const auto samples = write.begin_run(schema());
    write_steps(*samples, 1, 10);
    EXPECT_TRUE(wait_until(10, [&] { return write.counters().queued == 0; }));
    receiver.answer_by([](const RecordedRequest&) { return 503; });
    write_steps(*samples, 11, 20);
    EXPECT_TRUE(wait_until(10, [&] { return write.counters().requests >= 2; }));
    cursor = samples->cursor();
  }
  EXPECT_EQ(cursor.steps_ms, kStartMs + 100);
  const HttpRecorder next;
  RemoteWrite write(options(next.url()));
  const auto samples = write.begin_run(schema(), cursor);
  write_steps(*samples, 1, 30);  // it reads the ring from its beginning
  EXPECT_TRUE(wait_until(10, [&] { return write.counters().queued == 0; }));
  EXPECT_EQ(steps_of(next, loss_of("mnist")), from_to(11, 30));
  EXPECT_EQ(write.counters().out_of_order, 0u);
}

TEST_F(Write, ANextAttemptContinuesTheSeriesInTime) {
  const HttpRecorder receiver;
  RemoteWrite write(options(receiver.url()));
  auto samples = write.begin_run(schema());
  write_steps(*samples, 1, 3);
  samples->end();
  samples = write.begin_run(schema());
  write_steps(*samples, 2, 5);  // two of them have been there before
  EXPECT_TRUE(wait_until(10, [&] { return write.counters().queued == 0; }));
  EXPECT_EQ(steps_of(receiver, loss_of("mnist")), from_to(1, 5));
  EXPECT_GT(write.counters().out_of_order, 0u);
}

TEST_F(Write, GoesWithHeadersOutOfFilesThatAreReadAnew) {
  const TemporaryFolder folder;
  const HttpRecorder receiver;
  RemoteWriteOptions guarded = options(receiver.url());
  guarded.files.headers = folder.write("headers", "Authorization: Bearer one\nX-Scope-OrgID: team\n").string();
  RemoteWrite write(guarded);
  const auto samples = write.begin_run(schema());
  write_steps(*samples, 1, 1);
  ASSERT_TRUE(receiver.wait_for(10, 1));
  std::filesystem::remove(guarded.files.headers);
  write_steps(*samples, 2, 2);
  EXPECT_TRUE(wait_until(10, [&] { return captured.count("samples wait: cannot read '" + guarded.files.headers + "'") == 1; }));
  folder.write("headers", "Authorization: Bearer two\n");
  ASSERT_TRUE(receiver.wait_for(20, 2)) << "it waited for the file";
  const auto requests = receiver.requests();
  EXPECT_EQ(requests[0].headers.at("authorization"), "Bearer one");
  EXPECT_EQ(requests[0].headers.at("x-scope-orgid"), "team");
  EXPECT_EQ(requests[1].headers.at("authorization"), "Bearer two");
  EXPECT_EQ(requests[1].headers.count("x-scope-orgid"), 0u);
}

TEST_F(Write, ARefusalIsToldWithTheWordsOfTheReceiver) {
  HttpRecorder receiver;
  receiver.answer_next({400});
  receiver.answer_with("out of order sample\n");
  RemoteWrite write(options(receiver.url()));
  const auto samples = write.begin_run(schema());
  write_steps(*samples, 1, 1);
  EXPECT_TRUE(wait_until(10, [&] { return write.counters().failed > 0; }));
  EXPECT_EQ(captured.count("HTTP status 400: out of order sample"), 1u);
  EXPECT_EQ(receiver.requests().size(), 1u);
}

TEST_F(Write, MoreRunsThanAreKeptInMindForgetThoseThatEnded) {
  const HttpRecorder receiver;
  RemoteWrite write(options(receiver.url()));
  const auto kept = write.begin_run(schema("0 kept"));
  write_steps(*kept, 1, 3);
  for (std::size_t i = 0; i < RemoteWrite::kMaxRuns + 100; ++i) write.begin_run(schema("run" + std::to_string(i)));
  write_steps(*kept, 4, 6);
  EXPECT_TRUE(wait_until(10, [&] { return write.counters().queued == 0; }));
  EXPECT_EQ(steps_of(receiver, loss_of("0 kept")), from_to(1, 6));
}

TEST_F(Write, OptionsOutOfRangeAreRefused) {
  const auto refused = [](auto change, const std::string& message) {
    RemoteWriteOptions wrong = options("http://127.0.0.1:9090/api/v1/write");
    change(wrong);
    try {
      const RemoteWrite write(wrong);
      ADD_FAILURE() << "accepted: " << message;
    } catch (const std::invalid_argument& error) {
      EXPECT_EQ(error.what(), "remote write: " + message);
    }
  };
  for (const char* url : {"", "127.0.0.1:9090", "http://", "ftp://a", "http://a b", "http://a\nb"})
    refused([url](RemoteWriteOptions& wrong) { wrong.url = url; },
            "expected a URL that begins with http:// or https://, such as http://127.0.0.1:9090/api/v1/write");
  refused([](RemoteWriteOptions& wrong) { wrong.timeout = milliseconds(99); }, "expected a timeout of 100 ms to 10 min");
  refused([](RemoteWriteOptions& wrong) { wrong.interval = milliseconds(9); }, "expected an interval of 10 ms to 10 min");
  refused([](RemoteWriteOptions& wrong) { wrong.resolution = milliseconds(0); }, "expected a resolution of 1 ms to 1 h");
  refused([](RemoteWriteOptions& wrong) { wrong.max_samples = 0; }, "expected 1 to 100,000 samples in a request");
  refused([](RemoteWriteOptions& wrong) { wrong.queue_bytes = 1000; }, "expected a queue of 64 KiB to 16 GiB");
  refused(
      [](RemoteWriteOptions& wrong) {
        wrong.labels = {{"a-b", "x"}};
      },
      "expected a label's name of letters, digits and underscores, got 'a-b'");
  refused(
      [](RemoteWriteOptions& wrong) {
        wrong.labels = {{"__name__", "x"}};
      },
      "expected a label's name of letters, digits and underscores, got '__name__'");
  for (const char* name : {"run", "rank", "phase", "parameter", "layer", "moment", "le", "host", "state"})
    refused(
        [name](RemoteWriteOptions& wrong) {
          wrong.labels = {{name, "x"}};
        },
        "the label '" + std::string(name) + "' is one that vigil sets itself; take another name");
  refused([](RemoteWriteOptions& wrong) { wrong.labels = {{"zone", "x"}, {"zone", "y"}}; }, "the label 'zone' is given twice");
  RemoteWriteOptions unreadable = options("http://127.0.0.1:9090");
  unreadable.files.basic_auth = "/nonexistent/password";
  EXPECT_THROW(RemoteWrite{unreadable}, std::invalid_argument);
}

}  // namespace
}  // namespace vigil
