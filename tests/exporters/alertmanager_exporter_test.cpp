// What Alertmanager is told, and when: grouped, again while it fires, and its end. The real one is in tests/e2e.
#include <gtest/gtest.h>

#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "e2e/wait_until.h"
#include "exporters/alert_message.h"
#include "exporters/captured_log.h"
#include "exporters/test_run.h"
#include "http/http_recorder.h"
#include "vigil/exporters/alert_exporters.h"

namespace vigil {
namespace {

using namespace test;
using nlohmann::json;

std::int64_t nanoseconds_of(const std::string& text) {
  std::tm parts{};
  int milliseconds = 0;
  std::sscanf(text.c_str(), "%d-%d-%dT%d:%d:%d.%dZ", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &parts.tm_hour, &parts.tm_min,
              &parts.tm_sec, &milliseconds);
  parts.tm_year -= 1900;
  --parts.tm_mon;
  return timegm(&parts) * std::int64_t{1'000'000'000} + milliseconds * std::int64_t{1'000'000};
}

bool is_over(const json& alert, const RecordedRequest& request) {
  return nanoseconds_of(alert["endsAt"].get<std::string>()) <= request.arrival_ns;
}

// "layer" of what fires and "layer over" of what does not, in one request.
std::set<std::string> told_in(const RecordedRequest& request) {
  std::set<std::string> told;
  for (const json& alert : json::parse(request.body))
    told.insert(alert["labels"]["layer"].get<std::string>() + (is_over(alert, request) ? " over" : ""));
  return told;
}

using Told = std::set<std::string>;

class AlertmanagerTold : public testing::Test {
 protected:
  static AlertmanagerConfig config(const std::string& url, std::int64_t resend_ms = 60'000) {
    AlertmanagerConfig config;
    config.url = url;
    config.resend_ms = resend_ms;
    return config;
  }
  static bool wait_for(const HttpRecorder& receiver, const Told& wanted, double seconds = 15) {
    return receiver.wait_for(
        seconds, [&](const std::vector<RecordedRequest>& requests) { return !requests.empty() && told_in(requests.back()) == wanted; });
  }

  CapturedLog captured;
  const RunIdentity identity = make_schema().identity;
};

TEST_F(AlertmanagerTold, PostsAllThatFiresInOneRequestToApiV2) {
  const int port = free_port();
  AlertmanagerExporter exporter(config("http://127.0.0.1:" + std::to_string(port) + "/prefix/"), identity);
  for (const char* layer : {"a", "b", "c"}) exporter.on_alert(make_alert(1, AlertState::firing, layer));
  // The receiver is down when they begin. The post that fails first may have been under way before the last of them; the next was not.
  int failures = 0;
  ASSERT_TRUE(wait_until(15, [&] {
    try {
      exporter.on_poll();
    } catch (const std::runtime_error&) {
      ++failures;
    }
    return failures == 2;
  }));
  const HttpRecorder receiver(port);
  ASSERT_TRUE(wait_for(receiver, {"a", "b", "c"}));
  const RecordedRequest request = receiver.requests().front();
  EXPECT_EQ(told_in(request).size(), 3u) << "the first request that it got";
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/prefix/api/v2/alerts");
  EXPECT_EQ(request.headers.at("content-type"), "application/json");
  EXPECT_EQ(json::parse(request.body)[0]["labels"]["alertname"], "VigilDeadUnits");
}

TEST_F(AlertmanagerTold, SendsAgainWhatFiresAndLetsItEndWithoutThat) {
  const HttpRecorder receiver;
  AlertmanagerExporter exporter(config(receiver.url(), 200), identity);
  exporter.on_alert(make_alert(1));
  ASSERT_TRUE(receiver.wait_for(10, 4));
  const auto requests = receiver.requests();
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(told_in(requests[i]), Told{"fc"});
    const std::int64_t left = nanoseconds_of(json::parse(requests[i].body)[0]["endsAt"].get<std::string>()) - requests[i].arrival_ns;
    EXPECT_LE(left, 800'000'000) << "four times resend_ms";
    EXPECT_GE(left, 400'000'000);
    if (i == 0) continue;
    EXPECT_GE(requests[i].arrival_ns - requests[i - 1].arrival_ns, 150'000'000);
  }
}

TEST_F(AlertmanagerTold, TellsTheEndOnceAndThenNoMore) {
  const HttpRecorder receiver;
  AlertmanagerExporter exporter(config(receiver.url(), 200), identity);
  exporter.on_alert(make_alert(1));
  ASSERT_TRUE(receiver.wait_for(10, 3));
  exporter.on_alert(make_alert(9, AlertState::resolved));
  ASSERT_TRUE(wait_for(receiver, {"fc over"}));
  EXPECT_EQ(json::parse(receiver.requests().back().body)[0]["endsAt"], "2023-11-14T22:13:20.000Z");
  exporter.on_alert(make_alert(10, AlertState::firing, "other"));
  ASSERT_TRUE(wait_for(receiver, {"other"}));
}

// Alertmanager waits before it groups: what is over by then would never be told.
TEST_F(AlertmanagerTold, WhatIsOverAtOnceIsStillToldAsFiringForATime) {
  const HttpRecorder receiver;
  AlertmanagerExporter exporter(config(receiver.url(), 500), identity);
  exporter.on_alert(make_alert(1));
  exporter.on_alert(make_alert(2, AlertState::resolved));
  ASSERT_TRUE(wait_for(receiver, {"fc"}));
  ASSERT_TRUE(wait_for(receiver, {"fc over"}));
  const auto requests = receiver.requests();
  EXPECT_GE(requests.back().arrival_ns - requests.front().arrival_ns, 490'000'000);
}

TEST_F(AlertmanagerTold, WhatFiresAnewBeforeItsEndWasToldFires) {
  const HttpRecorder receiver;
  AlertmanagerExporter exporter(config(receiver.url(), 500), identity);
  exporter.on_alert(make_alert(1));
  exporter.on_alert(make_alert(2, AlertState::resolved));
  exporter.on_alert(make_alert(3));
  ASSERT_TRUE(receiver.wait_for(15, [](const std::vector<RecordedRequest>& requests) {
    return !requests.empty() && requests.back().arrival_ns - requests.front().arrival_ns > 1'000'000'000;
  }));
  for (const RecordedRequest& request : receiver.requests()) EXPECT_EQ(told_in(request), Told{"fc"});
}

TEST_F(AlertmanagerTold, IsTriedAgainWhereLaterMayHelp) {
  HttpRecorder receiver;
  receiver.answer_next({500, 429});
  AlertmanagerExporter exporter(config(receiver.url()), identity);
  exporter.on_alert(make_alert(1));
  ASSERT_TRUE(receiver.wait_for(10, 3));
  exporter.stop();
  for (const RecordedRequest& request : receiver.requests()) EXPECT_EQ(told_in(request), Told{"fc"});
  EXPECT_THROW(exporter.on_poll(), std::runtime_error);
  EXPECT_EQ(exporter.dropped(), 0u);
  EXPECT_TRUE(captured.lines().empty());
}

TEST_F(AlertmanagerTold, OneThatIsRefusedForGoodKeepsTheOthersFromNothing) {
  HttpRecorder receiver;
  receiver.answer_by([](const RecordedRequest& request) { return told_in(request).count("bad") != 0 ? 400 : 200; });
  receiver.hold_answers(true);
  AlertmanagerExporter exporter(config(receiver.url(), 400), identity);
  exporter.on_alert(make_alert(1, AlertState::firing, "first"));
  ASSERT_TRUE(receiver.wait_for(10, 1));
  for (const char* layer : {"a", "bad", "c"}) exporter.on_alert(make_alert(2, AlertState::firing, layer));
  receiver.hold_answers(false);
  ASSERT_TRUE(wait_for(receiver, {"a", "c", "first"})) << "sent again without it";
  std::vector<Told> told;
  for (const RecordedRequest& request : receiver.requests()) told.push_back(told_in(request));
  EXPECT_EQ(told, (std::vector<Told>{{"first"}, {"a", "bad", "c", "first"}, {"a"}, {"bad"}, {"c"}, {"first"}, {"a", "c", "first"}}));
  EXPECT_EQ(exporter.dropped(), 1u);
  EXPECT_THROW(exporter.on_poll(), std::runtime_error) << "which the export thread logs";
  exporter.on_alert(make_alert(3, AlertState::resolved, "bad"));
  const std::size_t before = receiver.requests().size();
  ASSERT_TRUE(receiver.wait_for(10, before + 2));
  for (std::size_t i = before; i < before + 2; ++i)
    EXPECT_EQ(told_in(receiver.requests()[i]).count("bad"), 0u) << "its end is nobody's news";
}

TEST_F(AlertmanagerTold, OfOnesThatAreSentAloneTheRestWaitsForAReceiverThatIsBack) {
  HttpRecorder receiver;
  int singles = 0;
  receiver.answer_by([&singles](const RecordedRequest& request) {
    if (told_in(request).size() > 1) return told_in(request).count("a") != 0 ? 422 : 200;
    if (told_in(request).count("a") != 0) return 422;
    return ++singles == 2 ? 503 : 200;  // after the first request, which is of one, too
  });
  receiver.hold_answers(true);
  AlertmanagerExporter exporter(config(receiver.url()), identity);
  exporter.on_alert(make_alert(1, AlertState::firing, "z"));
  ASSERT_TRUE(receiver.wait_for(10, 1));
  for (const char* layer : {"a", "b"}) exporter.on_alert(make_alert(2, AlertState::firing, layer));
  receiver.hold_answers(false);
  ASSERT_TRUE(wait_for(receiver, {"b", "z"}));
  EXPECT_EQ(exporter.dropped(), 1u);
}

// Two groups of an optimizer, a layer in two phases: of the same rule and layer, and not the same alert.
TEST_F(AlertmanagerTold, TheEndOfOneSubjectIsNotThatOfAnother) {
  const HttpRecorder receiver;
  AlertmanagerExporter exporter(config(receiver.url(), 300), identity);
  for (const char* subject : {"group 0", "group 1"}) exporter.on_alert(make_alert(1, AlertState::firing, "", subject));
  exporter.on_alert(make_alert(2, AlertState::resolved, "", "group 1"));
  const auto ended_in = [](const RecordedRequest& request) {
    Told told;
    for (const json& alert : json::parse(request.body))
      told.insert(alert["labels"]["subject"].get<std::string>() + (is_over(alert, request) ? " over" : ""));
    return told;
  };
  const auto last_is = [&](const Told& wanted) {
    return receiver.wait_for(15, [&](const auto& requests) { return !requests.empty() && ended_in(requests.back()) == wanted; });
  };
  EXPECT_TRUE(last_is({"group 0", "group 1 over"}));
  EXPECT_TRUE(last_is({"group 0"})) << "which goes on";
}

// What comes while a request is under way is in none yet.
TEST_F(AlertmanagerTold, WhatBeginsDuringARequestIsToldRightAfterIt) {
  HttpRecorder receiver;
  receiver.hold_answers(true);
  AlertmanagerExporter exporter(config(receiver.url()), identity);  // sent again in a minute
  exporter.on_alert(make_alert(1, AlertState::firing, "a"));
  ASSERT_TRUE(receiver.wait_for(10, 1));
  exporter.on_alert(make_alert(2, AlertState::firing, "b"));
  receiver.hold_answers(false);
  EXPECT_TRUE(wait_for(receiver, {"a", "b"}));
}

TEST_F(AlertmanagerTold, WhatBeginsDuringTheLastRequestIsToldBeforeTheEnd) {
  HttpRecorder receiver;
  receiver.hold_answers(true);
  AlertmanagerExporter exporter(config(receiver.url()), identity);
  exporter.on_alert(make_alert(1, AlertState::firing, "a"));
  ASSERT_TRUE(receiver.wait_for(10, 1));
  exporter.on_alert(make_alert(2, AlertState::firing, "b"));
  exporter.begin_stop();
  receiver.hold_answers(false);
  exporter.stop();
  EXPECT_EQ(told_in(receiver.requests().back()), (Told{"a", "b"}));
  EXPECT_TRUE(captured.lines().empty());
}

TEST_F(AlertmanagerTold, AnEndIsNotBeforeItsBeginningWhereTheClockWasSetBack) {
  AlertMessage message = make_alert(1, AlertState::resolved);
  message.alert.time_ns = message.alert.fired_time_ns - 3'600'000'000'000;
  const json over = json::parse(alertmanager_body(identity, {message}, 0))[0];
  EXPECT_EQ(over["endsAt"], over["startsAt"]);
  message.alert.state = AlertState::firing;
  const json firing = json::parse(alertmanager_body(identity, {message}, message.alert.fired_time_ns - 1'000'000'000))[0];
  EXPECT_EQ(firing["endsAt"], firing["startsAt"]);
}

TEST_F(AlertmanagerTold, KeepsAtMostKMaxAlertsAndCountsTheOthers) {
  AlertmanagerExporter exporter(config("http://127.0.0.1:" + std::to_string(free_port())), identity);
  for (std::size_t i = 0; i < AlertmanagerExporter::kMaxAlerts + 3; ++i)
    exporter.on_alert(make_alert(i, AlertState::firing, "layer" + std::to_string(i)));
  exporter.on_alert(make_alert(5000, AlertState::resolved, "layer0"));
  EXPECT_EQ(exporter.dropped(), 3u);
}

TEST_F(AlertmanagerTold, StopTellsTheEndOfWhatItCanAndSaysWhatItCannot) {
  {
    const HttpRecorder receiver;
    AlertmanagerExporter exporter(config(receiver.url()), identity);
    exporter.on_alert(make_alert(1));
    exporter.stop();
    EXPECT_EQ(receiver.requests().size(), 1u);
  }
  EXPECT_TRUE(captured.lines().empty());
  AlertmanagerExporter dead(config("http://127.0.0.1:" + std::to_string(free_port())), identity);
  dead.on_alert(make_alert(1));
  const auto begin = std::chrono::steady_clock::now();
  dead.stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
  EXPECT_EQ(captured.count("error: 1 or more alerts could not be told to exporters.alertmanager.url before the run ended"), 1u);
}

}  // namespace
}  // namespace vigil
