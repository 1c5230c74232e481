// What the webhook posts to a receiver that is there, slow, dead, full of errors, or comes back.
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "e2e/wait_until.h"
#include "exporters/alert_message.h"
#include "exporters/captured_log.h"
#include "exporters/test_run.h"
#include "files.h"
#include "http/http_recorder.h"
#include "vigil/exporters/alert_exporters.h"
#include "vigil/exporters/export_thread.h"

namespace vigil {
namespace {

using namespace test;
using Steps = std::vector<std::uint64_t>;

std::string sha256(const std::string& text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(), nullptr);
  return {reinterpret_cast<const char*>(digest), size};
}

// RFC 2104, step by step.
std::string expected_signature(std::string key, const std::string& text) {
  constexpr std::size_t kBlock = 64;
  if (key.size() > kBlock) key = sha256(key);
  key.resize(kBlock, '\0');
  std::string inner, outer;
  for (const char c : key) {
    inner += static_cast<char>(c ^ 0x36);
    outer += static_cast<char>(c ^ 0x5c);
  }
  std::string hex;
  inner += text;
  outer += sha256(inner);
  for (const char c : sha256(outer)) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    hex += digits;
  }
  return hex;
}

Steps steps_of(const std::vector<RecordedRequest>& requests) {
  Steps steps;
  for (const RecordedRequest& request : requests) steps.push_back(nlohmann::json::parse(request.body)["alert"]["step"]);
  return steps;
}

Steps from_to(std::uint64_t first, std::uint64_t last) {
  Steps steps;
  for (std::uint64_t step = first; step <= last; ++step) steps.push_back(step);
  return steps;
}

class Webhook : public testing::Test {
 protected:
  static WebhookConfig config(const std::string& url) {
    WebhookConfig config;
    config.url = url;
    return config;
  }
  // The next failure that the export thread would log.
  static std::string failure_of(WebhookExporter& webhook, double within_s = 10) {
    std::string failure;
    wait_until(within_s, [&] {
      try {
        webhook.on_poll();
      } catch (const std::runtime_error& error) {
        failure = error.what();
      }
      return !failure.empty();
    });
    return failure;
  }
  static double seconds_of(const std::function<void()>& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  CapturedLog captured;
  const RunIdentity identity = make_schema().identity;
};

TEST(Hmac, AgreesWithTheRfc) {  // 4231, test cases 1, 2 and 6
  EXPECT_EQ(hmac_sha256(std::string(20, '\x0b'), "Hi There"), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hmac_sha256("Jefe", "what do ya want for nothing?"), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hmac_sha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST_F(Webhook, PostsEachAlertInOrderAndSigned) {
  const HttpRecorder receiver;
  const TemporaryFolder folder;
  WebhookConfig signed_config = config(receiver.url() + "/hooks/vigil");
  signed_config.secret_file = folder.write("key", "a key of some length\nand a line that is none of it\n").string();
  WebhookExporter webhook(signed_config, identity);
  for (std::uint64_t step = 1; step <= 50; ++step) webhook.on_alert(make_alert(step));
  ASSERT_TRUE(receiver.wait_for(10, 50));
  webhook.stop();
  const auto requests = receiver.requests();
  EXPECT_EQ(steps_of(requests), from_to(1, 50));
  for (const RecordedRequest& request : requests) {
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/hooks/vigil");
    EXPECT_EQ(request.headers.at("content-type"), "application/json");
    EXPECT_EQ(request.headers.at("x-vigil-signature"), "sha256=" + expected_signature("a key of some length", request.body));
  }
  EXPECT_EQ(webhook.dropped(), 0u);
  EXPECT_NO_THROW(webhook.on_poll());
}

TEST_F(Webhook, WithoutAKeyNothingIsSignedAndOtherActionsAreNotItsOwn) {
  const HttpRecorder receiver;
  WebhookExporter webhook(config(receiver.url()), identity);
  AlertMessage other = make_alert(1);
  other.actions = 1U << static_cast<unsigned>(AlertAction::log);
  webhook.on_alert(other);
  webhook.on_alert(make_alert(2));
  webhook.stop();
  const auto requests = receiver.requests();
  EXPECT_EQ(steps_of(requests), Steps{2});
  EXPECT_EQ(requests.front().headers.count("x-vigil-signature"), 0u);
}

TEST_F(Webhook, AKeyThatCannotBeReadIsRefused) {
  const TemporaryFolder folder;
  for (const std::string& path : {folder.file("missing"), folder.write("empty", "").string(), folder.write("blank", "\nkey\n").string()}) {
    WebhookConfig wrong = config("http://127.0.0.1:1");
    wrong.secret_file = path;
    try {
      WebhookExporter webhook(wrong, identity);
      ADD_FAILURE() << path << " was accepted";
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(error.what(),
                "cannot read a key from the first line of '" + path + "'; set exporters.webhook.secret_file to a file that has one");
    }
  }
}

TEST_F(Webhook, WaitsForAReceiverThatIsDownAndLosesNothing) {
  const int port = free_port();
  WebhookExporter webhook(config("http://127.0.0.1:" + std::to_string(port)), identity);
  for (std::uint64_t step = 1; step <= 20; ++step) webhook.on_alert(make_alert(step));
  EXPECT_EQ(failure_of(webhook).rfind("cannot post an alert to exporters.webhook.url: ", 0), 0u);
  for (std::uint64_t step = 21; step <= 30; ++step) webhook.on_alert(make_alert(step));
  const HttpRecorder receiver(port);
  ASSERT_TRUE(receiver.wait_for(20, 30));
  EXPECT_EQ(steps_of(receiver.requests()), from_to(1, 30));
  EXPECT_EQ(webhook.dropped(), 0u);
}

TEST_F(Webhook, TriesAgainWhatAServerMayTakeLater) {
  HttpRecorder receiver;
  receiver.answer_next({500, 429});
  WebhookExporter webhook(config(receiver.url()), identity);
  webhook.on_alert(make_alert(1));
  ASSERT_TRUE(receiver.wait_for(10, 3));
  webhook.on_alert(make_alert(2));
  ASSERT_TRUE(receiver.wait_for(10, 4));
  EXPECT_EQ(steps_of(receiver.requests()), (Steps{1, 1, 1, 2}));
  EXPECT_EQ(webhook.dropped(), 0u);
  const auto requests = receiver.requests();
  EXPECT_GE(requests[1].arrival_ns - requests[0].arrival_ns, 490'000'000) << "half a second between the tries";
  EXPECT_GE(requests[2].arrival_ns - requests[1].arrival_ns, 990'000'000) << "and then twice as long";
}

TEST_F(Webhook, EveryStatusIsEitherForLaterOrForNever) {
  for (const int status : {500, 502, 503, 504, 408, 425, 429}) EXPECT_TRUE((PostResult{status, {}}.may_be_tried_again())) << status;
  for (const int status : {301, 302, 400, 401, 403, 404, 405, 410, 413, 422}) {
    EXPECT_FALSE((PostResult{status, {}}.may_be_tried_again())) << status;
    EXPECT_FALSE((PostResult{status, {}}.is_success())) << status;
  }
  for (const int status : {200, 201, 202, 204}) EXPECT_TRUE((PostResult{status, {}}.is_success())) << status;
}

TEST_F(Webhook, DropsWhatTheReceiverWillNeverTakeAndCountsIt) {
  HttpRecorder receiver;
  receiver.answer_next({400, 302, 404});
  WebhookExporter webhook(config(receiver.url()), identity);
  for (std::uint64_t step = 1; step <= 5; ++step) webhook.on_alert(make_alert(step));
  ASSERT_TRUE(receiver.wait_for(10, 5));
  EXPECT_EQ(failure_of(webhook), "cannot post an alert to exporters.webhook.url: HTTP status 404");
  webhook.stop();
  EXPECT_EQ(steps_of(receiver.requests()), from_to(1, 5));
  EXPECT_EQ(webhook.dropped(), 3u);
}

TEST_F(Webhook, APostThatTakesTooLongHasFailed) {
  auto silent = std::make_unique<SilentListener>();
  const int port = silent->port();
  WebhookConfig short_config = config(silent->url());
  short_config.timeout_ms = 100;
  WebhookExporter webhook(short_config, identity);
  for (std::uint64_t step = 1; step <= 3; ++step) webhook.on_alert(make_alert(step));
  const std::string failure = failure_of(webhook);
  EXPECT_NE(failure.find("timed out"), std::string::npos) << failure;
  silent.reset();
  const HttpRecorder receiver(port);
  ASSERT_TRUE(receiver.wait_for(20, 3));
  EXPECT_EQ(steps_of(receiver.requests()), from_to(1, 3));
}

TEST_F(Webhook, OfMoreThanTheQueueHoldsTheOldestAreDroppedAndCounted) {
  const int port = free_port();
  WebhookConfig small = config("http://127.0.0.1:" + std::to_string(port));
  small.queue_size = 16;
  WebhookExporter webhook(small, identity);
  for (std::uint64_t step = 1; step <= 20; ++step) webhook.on_alert(make_alert(step));
  EXPECT_EQ(webhook.dropped(), 4u);
  const HttpRecorder receiver(port);
  ASSERT_TRUE(receiver.wait_for(
      20, [](const std::vector<RecordedRequest>& requests) { return !requests.empty() && steps_of(requests).back() == 20; }));
  Steps steps = steps_of(receiver.requests());
  if (steps.front() < 5) steps.erase(steps.begin());  // the one that was being posted when it lost its place
  EXPECT_EQ(steps, from_to(5, 20));
}

TEST_F(Webhook, WhatWasPushedOutWhileItWasPostedIsCountedOnce) {
  AlertQueue queue(1);
  queue.push(make_alert(1));
  const auto posted = queue.front();
  queue.push(make_alert(2));
  queue.drop(posted);
  EXPECT_EQ(queue.dropped(), 1u);
  ASSERT_NE(queue.front(), nullptr);
  EXPECT_EQ(queue.front()->alert.step, 2u);
  queue.drop(queue.front());
  EXPECT_EQ(queue.dropped(), 2u);
  EXPECT_EQ(queue.size(), 0u);
}

TEST_F(Webhook, StopDeliversWhatIsPendingAndIsQuick) {
  for (int i = 0; i < 20; ++i) {
    const HttpRecorder receiver;
    WebhookExporter webhook(config(receiver.url()), identity);
    for (std::uint64_t step = 1; step <= 5; ++step) webhook.on_alert(make_alert(step));
    EXPECT_LT(seconds_of([&] { webhook.stop(); }), 1.5);
    EXPECT_EQ(receiver.requests().size(), 5u);
  }
  EXPECT_TRUE(captured.lines().empty());
}

TEST_F(Webhook, StopGivesUpOnADeadReceiverAndSaysWhatIsLost) {
  WebhookExporter dead(config("http://127.0.0.1:" + std::to_string(free_port())), identity);
  for (std::uint64_t step = 1; step <= 3; ++step) dead.on_alert(make_alert(step));
  EXPECT_LT(seconds_of([&] { dead.stop(); }), 3);
  EXPECT_EQ(captured.count("error: 3 alerts could not be posted to exporters.webhook.url before the run ended"), 1u);
}

TEST_F(Webhook, StopGivesUpOnAReceiverThatNeverAnswers) {
  const SilentListener silent;
  WebhookConfig patient = config(silent.url());
  patient.timeout_ms = 60'000;
  WebhookExporter webhook(patient, identity);
  webhook.on_alert(make_alert(1));
  EXPECT_LT(seconds_of([&] { webhook.stop(); }), 3.3);
}

// Through the whole export thread: a rule fires, and the figures are as quick as ever.
TEST_F(Webhook, AReceiverThatNeverAnswersHoldsUpNoFigures) {
  const SilentListener silent;
  TestRun run;
  Config watched;
  watched.exporters.interval_ms = 60'000;
  watched.exporters.prometheus.enabled = false;
  watched.exporters.webhook = config(silent.url());
  watched.exporters.webhook.timeout_ms = 60'000;
  watched.rules.actions = {"webhook"};
  watched.rules.threshold = {"vigil_loss > 1 keep 0 steps"};
  ExportThread exporting(run.channel(), watched);
  double slowest = 0;
  for (std::uint64_t step = 1; step <= 200; ++step) {
    run.publish_step(step, step % 2 == 0 ? 0.5 : 2);
    slowest = std::max(slowest, seconds_of([&] { EXPECT_EQ(exporting.refresh()->step.step, step); }));
  }
  EXPECT_LT(slowest, 0.5);
  const auto& counts = exporting.snapshot()->alert_counts;
  EXPECT_EQ(counts.back().alert, "threshold_loss");
  EXPECT_EQ(counts.back().fired, 100u);
  exporting.stop();
}

}  // namespace
}  // namespace vigil
