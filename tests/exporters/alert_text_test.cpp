// Alerts as they are posted, told to Alertmanager, given to a function and logged.
#include "vigil/exporters/alert_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "exporters/test_run.h"

namespace vigil {
namespace {

using nlohmann::json;
using test::kNan;

RunIdentity identity() { return test::make_schema().identity; }

AlertMessage make_message(AlertState state = AlertState::firing) {
  Alert alert;
  alert.rule = static_cast<std::size_t>(Rule::dead_units);
  alert.state = state;
  alert.since_step = 10;
  alert.since_time_ns = 1'700'000'000'010'000'000;
  alert.fired_step = 12;
  alert.fired_time_ns = 1'700'000'000'012'000'000;
  alert.step = 15;
  alert.time_ns = 1'700'000'000'500'000'000;
  alert.value = 0.75;
  alert.limit = 0.5;
  alert.parameter.assign("conv \"1\"\n.weight");
  alert.layer.assign("conv\\1");
  alert.sentence.assign("75 % of the units are 0");
  return message_of(alert, {"dead_units", true, Severity::warning, 1U << static_cast<unsigned>(AlertAction::stop), "Lower the \"rate\"."});
}

TEST(WebhookBody, HasTheRunAndAllOfTheAlert) {
  const json body = json::parse(webhook_body(identity(), make_message()));
  EXPECT_EQ(body["version"], 1);
  EXPECT_EQ(body["run"]["run"], "mnist \"a\\b\"");
  EXPECT_EQ(body["run"]["rank"], 0);
  EXPECT_EQ(body["run"]["host"], "node\n1");
  EXPECT_EQ(body["alert"], (json{{"alert", "dead_units"},
                                 {"severity", "warning"},
                                 {"state", "firing"},
                                 {"parameter", "conv \"1\"\n.weight"},
                                 {"layer", "conv\\1"},
                                 {"subject", ""},
                                 {"sentence", "75 % of the units are 0"},
                                 {"advice", "Lower the \"rate\"."},
                                 {"value", 0.75},
                                 {"limit", 0.5},
                                 {"since_step", 10},
                                 {"since_time", 1'700'000'000.010},
                                 {"fired_step", 12},
                                 {"fired_time", 1'700'000'000.012},
                                 {"step", 15},
                                 {"time", 1'700'000'000.5}}));
  EXPECT_EQ(body.size(), 3u);
}

TEST(WebhookBody, IsJsonWhateverTheNumbersAndTexts) {
  AlertMessage message = make_message(AlertState::resolved);
  message.alert.value = kNan;
  message.alert.limit = -test::kInf;
  message.alert.sentence.assign("not UTF-8: \xff\xfe");
  const json body = json::parse(webhook_body(identity(), message));
  EXPECT_EQ(body["alert"]["state"], "resolved");
  EXPECT_EQ(body["alert"]["value"], "NaN");
  EXPECT_EQ(body["alert"]["limit"], "-Infinity");
  EXPECT_EQ(body["alert"]["sentence"], "not UTF-8: \xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(AlertmanagerBody, HasLabelsAnnotationsAndTimes) {
  const json body = json::parse(alertmanager_body(identity(), {make_message()}, 1'700'000'120'000'000'000));
  ASSERT_EQ(body.size(), 1u);
  EXPECT_EQ(body[0]["labels"], (json{{"alertname", "VigilDeadUnits"},
                                     {"severity", "warning"},
                                     {"run", "mnist \"a\\b\""},
                                     {"rank", "0"},
                                     {"parameter", "conv \"1\"\n.weight"},
                                     {"layer", "conv\\1"}}));
  EXPECT_EQ(body[0]["annotations"]["summary"], "75 % of the units are 0");
  EXPECT_EQ(body[0]["annotations"]["description"], "Run mnist \"a\\b\", rank 0, since step 10: 75 % of the units are 0.");
  EXPECT_EQ(body[0]["annotations"]["advice"], "Lower the \"rate\".");
  EXPECT_EQ(body[0]["startsAt"], "2023-11-14T22:13:20.012Z");
  EXPECT_EQ(body[0]["endsAt"], "2023-11-14T22:15:20.000Z");
}

TEST(AlertmanagerBody, OfWhatIsOverEndsWhenItWasOverAndEmptyLabelsAreLeftOut) {
  AlertMessage message = make_message(AlertState::resolved);
  message.alert.parameter.assign("");
  message.alert.layer.assign("");
  message.advice.clear();
  const json body = json::parse(alertmanager_body(identity(), {make_message(), message}, 1'700'000'120'000'000'000));
  ASSERT_EQ(body.size(), 2u);
  EXPECT_EQ(body[1]["endsAt"], "2023-11-14T22:13:20.500Z");
  EXPECT_FALSE(body[1]["labels"].contains("parameter"));
  EXPECT_FALSE(body[1]["labels"].contains("layer"));
  EXPECT_FALSE(body[1]["annotations"].contains("advice"));
  EXPECT_EQ(alertmanager_body(identity(), {}, 0), "[]");
}

TEST(AlertmanagerName, IsTheRulesInCamelCase) {
  EXPECT_EQ(alertmanager_name("nonfinite_gradient"), "VigilNonfiniteGradient");
  EXPECT_EQ(alertmanager_name("stalled"), "VigilStalled");
  EXPECT_EQ(alertmanager_name("my_2nd_rule"), "VigilMy2ndRule");
}

TEST(AlertNotice, HasTheSameInAProgramsWords) {
  const AlertNotice notice = notice_of(make_message());
  EXPECT_EQ(notice.alert, "dead_units");
  EXPECT_EQ(notice.severity, "warning");
  EXPECT_FALSE(notice.is_over);
  EXPECT_EQ(notice.layer, "conv\\1");
  EXPECT_EQ(notice.sentence, "75 % of the units are 0");
  EXPECT_EQ(notice.advice, "Lower the \"rate\".");
  EXPECT_EQ(notice.value, 0.75);
  EXPECT_EQ(notice.limit, 0.5);
  EXPECT_EQ(notice.since_step, 10u);
  EXPECT_EQ(notice.step, 15u);
  EXPECT_TRUE(notice_of(make_message(AlertState::resolved)).is_over);
}

TEST(LogLine, SaysWhatSinceWhenAndWhatToTry) {
  EXPECT_EQ(log_line(make_message()), "alert dead_units (warning) at step 15: 75 % of the units are 0, since step 10. Lower the \"rate\".");
  EXPECT_EQ(log_line(make_message(AlertState::resolved)), "alert dead_units is over at step 15; it was: 75 % of the units are 0");
}

}  // namespace
}  // namespace vigil
