// Results of runs for a Pushgateway: what they say, where they go, and what becomes of them. The real one is in tests/daemon.
#include "vigil/exporters/pushgateway.h"

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "e2e/wait_until.h"
#include "exporters/captured_log.h"
#include "exporters/test_run.h"
#include "exporters/text_parser.h"
#include "files.h"
#include "http/http_recorder.h"
#include "vigil/exporters/text_format.h"

namespace vigil {
namespace {

using namespace test;
using Told = std::vector<std::string>;

constexpr std::int64_t kEndNs = kStartNs + 90'500'000'000;

Snapshot snapshot_of(const std::string& run, int rank = 0) {
  Schema schema;
  schema.identity.run = run;
  schema.identity.rank = rank;
  Snapshot snapshot;
  snapshot.schema = std::make_shared<const Schema>(schema);
  return snapshot;
}

// "PUT /path" of each request.
Told told(const std::vector<RecordedRequest>& requests) {
  Told all;
  for (const RecordedRequest& request : requests) all.push_back(request.method + " " + request.path);
  return all;
}

class Result : public testing::Test {
 protected:
  static PushgatewayOptions options(const std::string& url) {
    PushgatewayOptions options;
    options.url = url;
    return options;
  }
  CapturedLog captured;
};

TEST_F(Result, SaysHowTheRunEnded) {
  const auto snapshot = make_running_snapshot();
  const auto parsed = parse_prometheus_text(render_text(make_result_families(*snapshot, RunEnd::crashed, kEndNs), TextFormat::prometheus));
  const auto value = [&parsed](const std::string& name, std::map<std::string, std::string> labels = {}) {
    labels["run"] = "mnist \"a\\b\"";
    const auto found = parsed.values.find(series_key(name, labels));
    if (found == parsed.values.end()) ADD_FAILURE() << "no " << series_key(name, labels);
    return found == parsed.values.end() ? kNan : found->second;
  };
  EXPECT_EQ(
      value("vigil_result_info", {{"model", "Net"}, {"libtorch", "1.13.1"}, {"host", "node\n1"}, {"world_size", "2"}, {"attempt", "1"}}),
      1);
  EXPECT_EQ(value("vigil_result_state", {{"state", "crashed"}}), 1);
  EXPECT_EQ(value("vigil_result_state", {{"state", "finished"}}), 0);
  EXPECT_EQ(value("vigil_result_state", {{"state", "failed"}}), 0);
  EXPECT_EQ(value("vigil_result_loss"), 0.1);
  EXPECT_EQ(value("vigil_result_gradient_norm"), kInf);
  EXPECT_EQ(value("vigil_result_user_scalar", {{"name", "validation/accuracy"}}), 0.875);
  EXPECT_EQ(value("vigil_result_steps"), 3);
  EXPECT_EQ(value("vigil_result_examples"), 96);
  EXPECT_EQ(value("vigil_result_duration_seconds"), 90.5);
  EXPECT_EQ(value("vigil_result_end_timestamp_seconds"), 1'700'000'090.75);
  EXPECT_EQ(value("vigil_result_nonfinite_values", {{"tensor", "gradient"}, {"value", "nan"}}), 12);
  EXPECT_EQ(value("vigil_result_nonfinite_values", {{"tensor", "gradient"}, {"value", "inf"}}), 3);
  EXPECT_EQ(value("vigil_result_nonfinite_values", {{"tensor", "loss"}, {"value", "nan"}}), 1);
  EXPECT_EQ(value("vigil_result_nonfinite_steps"), 1);
  EXPECT_EQ(value("vigil_result_skipped_steps", {{"reason", "nonfinite"}}), 1);
  EXPECT_EQ(value("vigil_result_rollbacks"), 1);
  EXPECT_EQ(parsed.families.size(), kResultMetrics.size());
  for (const auto& [series, unused] : parsed.values) EXPECT_EQ(series.find("rank="), std::string::npos) << series;
}

TEST_F(Result, OfARunWithoutAStepHasNoLossAndNoNorm) {
  const auto families = make_result_families(*make_first_snapshot(), RunEnd::failed, kEndNs);
  EXPECT_EQ(find_family(families, "vigil_result_loss"), nullptr);
  EXPECT_EQ(find_family(families, "vigil_result_gradient_norm"), nullptr);
  EXPECT_EQ(value_of(families, "vigil_result_steps", R"(run="mnist \"a\\b\"")"), 0);
}

TEST_F(Result, GoesToAPathThatHoldsTheNameOfTheRun) {
  EXPECT_EQ(result_path("mnist"), "/metrics/job/mnist");
  EXPECT_EQ(result_path("mnist-2024_01.v2~a"), "/metrics/job/mnist-2024_01.v2~a");
  EXPECT_EQ(result_path("cv/gan"), "/metrics/job@base64/Y3YvZ2Fu");
  EXPECT_EQ(result_path("a b"), "/metrics/job@base64/YSBi");
  EXPECT_EQ(result_path("?>"), "/metrics/job@base64/Pz4");
  EXPECT_EQ(result_path("é"), "/metrics/job@base64/w6k");
  EXPECT_EQ(result_path(".."), "/metrics/job@base64/Li4") << "a path would lose it";
  EXPECT_EQ(result_path("a\xff"), "/metrics/job@base64/Ye-_vQ") << "U+FFFD for what is not UTF-8";
}

TEST_F(Result, IsPutAsTextAndDeletedWhenTheRunStartsAgain) {
  const HttpRecorder receiver;
  Pushgateway gateway(options(receiver.url() + "//"));
  gateway.put(snapshot_of("mnist"), RunEnd::finished, kEndNs);
  ASSERT_TRUE(wait_until(10, [&] { return gateway.counters().sent == 1; }));
  gateway.remove(snapshot_of("mnist").schema->identity);
  gateway.stop(std::chrono::seconds(10));
  EXPECT_EQ(told(receiver.requests()), (Told{"PUT /metrics/job/mnist", "DELETE /metrics/job/mnist"}));
  const auto put = receiver.requests().front();
  EXPECT_EQ(put.headers.at("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(put.body, render_text(make_result_families(snapshot_of("mnist"), RunEnd::finished, kEndNs), TextFormat::prometheus));
  EXPECT_EQ(gateway.counters().sent, 2u);
}

TEST_F(Result, OfOtherRanksAndOfRunsWithoutANameIsNotSent) {
  const HttpRecorder receiver;
  Pushgateway gateway(options(receiver.url()));
  for (const auto& [run, rank] : {std::pair("mnist", 1), std::pair("", 0)}) {
    gateway.put(snapshot_of(run, rank), RunEnd::finished, kEndNs);
    gateway.remove(snapshot_of(run, rank).schema->identity);
  }
  gateway.put(snapshot_of("last"), RunEnd::finished, kEndNs);
  gateway.stop(std::chrono::seconds(10));
  EXPECT_EQ(told(receiver.requests()), Told{"PUT /metrics/job/last"});
}

TEST_F(Result, IsSentAgainUntilTheGatewayIsThere) {
  const int port = free_port();
  Pushgateway gateway(options("http://127.0.0.1:" + std::to_string(port)));
  gateway.put(snapshot_of("mnist"), RunEnd::finished, kEndNs);
  EXPECT_TRUE(wait_until(10, [&] { return gateway.counters().retried >= 1; }));
  HttpRecorder receiver(port);
  receiver.answer_next({429});
  ASSERT_TRUE(receiver.wait_for(30, 2));
  gateway.stop(std::chrono::seconds(10));
  EXPECT_EQ(gateway.counters().sent, 1u);
  EXPECT_EQ(captured.count("Pushgateway: cannot tell it of run 'mnist', trying again: "), 1u) << "once a minute";
}

TEST_F(Result, IsGivenUpAfterAsManyTriesAsAllowed) {
  HttpRecorder receiver;
  receiver.answer_by([](const RecordedRequest&) { return 500; });
  receiver.answer_with("disk full");
  PushgatewayOptions few = options(receiver.url());
  few.max_tries = 3;
  Pushgateway gateway(few);
  gateway.put(snapshot_of("mnist"), RunEnd::finished, kEndNs);
  EXPECT_TRUE(wait_until(20, [&] { return gateway.counters().failed == 1; }));
  EXPECT_EQ(receiver.requests().size(), 3u);
  EXPECT_EQ(gateway.counters().retried, 2u);
  EXPECT_EQ(gateway.counters().waiting, 0u);
  EXPECT_EQ(
      captured.count("error: Pushgateway: what there is to tell of run 'mnist' is given up after 3 tries (further ones are logged once "
                     "a minute): HTTP status 500: disk full"),
      1u);
}

TEST_F(Result, ThatIsRefusedIsNotSentAgainAndSaysWhy) {
  HttpRecorder receiver;
  receiver.answer_next({400});
  receiver.answer_with("pushed metrics are invalid or inconsistent");
  Pushgateway gateway(options(receiver.url()));
  gateway.put(snapshot_of("a"), RunEnd::finished, kEndNs);
  ASSERT_TRUE(receiver.wait_for(10, 1));
  gateway.put(snapshot_of("b"), RunEnd::finished, kEndNs);
  gateway.stop(std::chrono::seconds(10));
  EXPECT_EQ(told(receiver.requests()), (Told{"PUT /metrics/job/a", "PUT /metrics/job/b"}));
  EXPECT_EQ(gateway.counters().failed, 1u);
  EXPECT_EQ(gateway.counters().sent, 1u);
  EXPECT_EQ(captured.count("HTTP status 400: pushed metrics are invalid or inconsistent"), 1u);
}

TEST_F(Result, ThatStillWaitsGivesWayToALaterMessageAboutTheRun) {
  HttpRecorder receiver;
  receiver.hold_answers(true);
  Pushgateway gateway(options(receiver.url()));
  gateway.put(snapshot_of("first"), RunEnd::finished, kEndNs);
  ASSERT_TRUE(receiver.wait_for(10, 1));
  gateway.put(snapshot_of("mnist"), RunEnd::crashed, kEndNs);
  gateway.remove(snapshot_of("mnist").schema->identity);
  gateway.put(snapshot_of("other"), RunEnd::finished, kEndNs);
  gateway.put(snapshot_of("mnist"), RunEnd::finished, kEndNs);
  EXPECT_EQ(gateway.counters().waiting, 3u);
  receiver.hold_answers(false);
  gateway.stop(std::chrono::seconds(10));
  EXPECT_EQ(told(receiver.requests()), (Told{"PUT /metrics/job/first", "PUT /metrics/job/other", "PUT /metrics/job/mnist"}));
  EXPECT_EQ(gateway.counters().replaced, 2u);
  EXPECT_EQ(gateway.counters().sent, 3u);
}

TEST_F(Result, ForWhichThereIsNoRoomPushesTheOldestOut) {
  HttpRecorder receiver;
  receiver.hold_answers(true);
  PushgatewayOptions small = options(receiver.url());
  small.max_waiting = 2;
  Pushgateway gateway(small);
  gateway.put(snapshot_of("a"), RunEnd::finished, kEndNs);
  ASSERT_TRUE(receiver.wait_for(10, 1));
  for (const char* run : {"b", "c", "d"}) gateway.put(snapshot_of(run), RunEnd::finished, kEndNs);
  EXPECT_EQ(gateway.counters().waiting, 2u);
  EXPECT_EQ(gateway.counters().dropped, 2u) << "a, which is under way, and b";
  receiver.hold_answers(false);
  gateway.stop(std::chrono::seconds(10));
  EXPECT_EQ(told(receiver.requests()), (Told{"PUT /metrics/job/a", "PUT /metrics/job/c", "PUT /metrics/job/d"}));
}

TEST_F(Result, StopDoesNotWaitForAGatewayThatNeverAnswers) {
  const SilentListener silent;
  Pushgateway gateway(options(silent.url()));
  gateway.put(snapshot_of("mnist"), RunEnd::finished, kEndNs);
  const auto begin = std::chrono::steady_clock::now();
  gateway.stop(std::chrono::milliseconds(200));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(8)) << "below the timeout of 10 s";
  EXPECT_EQ(gateway.counters().dropped, 1u);
  EXPECT_EQ(captured.count("error: Pushgateway: 1 messages could not be sent before the end"), 1u);
}

TEST_F(Result, GoesWithHeadersOutOfFilesThatAreReadAnew) {
  const TemporaryFolder folder;
  const HttpRecorder receiver;
  PushgatewayOptions guarded = options(receiver.url());
  guarded.files.headers = folder.write("headers", "X-Token: one\n").string();
  guarded.files.basic_auth = folder.write("auth", "Aladdin:open sesame\n").string();
  Pushgateway gateway(guarded);
  gateway.put(snapshot_of("a"), RunEnd::finished, kEndNs);
  ASSERT_TRUE(receiver.wait_for(10, 1));
  folder.write("headers", "X-Token: two\n");
  gateway.put(snapshot_of("b"), RunEnd::finished, kEndNs);
  gateway.stop(std::chrono::seconds(10));
  const auto requests = receiver.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].headers.at("x-token"), "one");
  EXPECT_EQ(requests[1].headers.at("x-token"), "two");
  EXPECT_EQ(requests[1].headers.at("authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}

TEST_F(Result, OptionsOutOfRangeAreRefused) {
  const auto refused = [](auto change) {
    PushgatewayOptions wrong = options("http://127.0.0.1:9091");
    change(wrong);
    EXPECT_THROW(Pushgateway{wrong}, std::invalid_argument);
  };
  for (const char* url : {"", "127.0.0.1:9091", "http://", "ftp://a", "http://a b", "http://a/?b"})
    refused([url](PushgatewayOptions& options) { options.url = url; });
  refused([](PushgatewayOptions& options) { options.timeout = std::chrono::milliseconds(99); });
  refused([](PushgatewayOptions& options) { options.max_tries = 0; });
  refused([](PushgatewayOptions& options) { options.max_waiting = 0; });
  PushgatewayOptions unreadable = options("http://127.0.0.1:9091");
  unreadable.files.headers = "/nonexistent/headers";
  EXPECT_THROW(Pushgateway{unreadable}, std::invalid_argument);
}

}  // namespace
}  // namespace vigil
