// A user's own rule: what its line means, and what is said about a line that is none.
#include "vigil/config/threshold.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace vigil {
namespace {

TEST(ParseThreshold, ReadsTheShortestRule) {
  const Threshold threshold = parse_threshold("vigil_loss>10");
  EXPECT_EQ(threshold.problem, "");
  EXPECT_EQ(threshold.metric, "vigil_loss");
  EXPECT_EQ(threshold.comparison, ">");
  EXPECT_EQ(threshold.limit, 10);
  EXPECT_TRUE(threshold.labels.empty());
  EXPECT_EQ(threshold.for_steps, 0);
  EXPECT_EQ(threshold.for_ms, 0);
  EXPECT_EQ(threshold.keep_firing_steps, 20);
  EXPECT_EQ(threshold.severity, Severity::warning);
  EXPECT_EQ(threshold.name, "threshold_loss");
  EXPECT_TRUE(threshold.actions.empty());
}

TEST(ParseThreshold, ReadsEveryPart) {
  const Threshold threshold = parse_threshold(
      R"(  vigil_gradient_l2_norm{parameter="fc.weight", layer = "a\"b,}"}  <= -1.5e-3 for 100 steps keep 30 steps critical as low do log, stop )");
  EXPECT_EQ(threshold.problem, "");
  EXPECT_EQ(threshold.metric, "vigil_gradient_l2_norm");
  EXPECT_EQ(threshold.labels, (std::vector<std::pair<std::string, std::string>>{{"parameter", "fc.weight"}, {"layer", "a\"b,}"}}));
  EXPECT_EQ(threshold.comparison, "<=");
  EXPECT_EQ(threshold.limit, -1.5e-3);
  EXPECT_EQ(threshold.for_steps, 100);
  EXPECT_EQ(threshold.keep_firing_steps, 30);
  EXPECT_EQ(threshold.severity, Severity::critical);
  EXPECT_EQ(threshold.name, "low");
  EXPECT_EQ(threshold.actions, (std::vector<std::string>{"log", "stop"}));
}

TEST(ParseThreshold, TakesWhatFollowsTheNumberInAnyOrder) {
  const Threshold threshold = parse_threshold("vigil_loss == 0 do webhook as zero info for 2m");
  EXPECT_EQ(threshold.problem, "");
  EXPECT_EQ(threshold.actions, std::vector<std::string>{"webhook"});
  EXPECT_EQ(threshold.name, "zero");
  EXPECT_EQ(threshold.severity, Severity::info);
  EXPECT_EQ(threshold.for_ms, 120'000);
}

TEST(ParseThreshold, KnowsEveryComparison) {
  for (const std::string comparison : {">", ">=", "<", "<=", "==", "!="}) {
    const Threshold threshold = parse_threshold("vigil_loss " + comparison + " 1");
    EXPECT_EQ(threshold.problem, "");
    EXPECT_EQ(threshold.comparison, comparison);
  }
}

TEST(ParseThreshold, ReadsTimesInEachUnit) {
  EXPECT_EQ(parse_threshold("vigil_loss > 1 for 1500ms").for_ms, 1500);
  EXPECT_EQ(parse_threshold("vigil_loss > 1 for 10s").for_ms, 10'000);
  EXPECT_EQ(parse_threshold("vigil_loss > 1 for 1440m").for_ms, 86'400'000);
  EXPECT_EQ(parse_threshold("vigil_loss > 1 for 1 step").for_steps, 1);
  EXPECT_EQ(parse_threshold("vigil_loss > 1 keep 0 steps").keep_firing_steps, 0);
}

struct BadThreshold {
  std::string name, text, problem;
};
void PrintTo(const BadThreshold& row, std::ostream* out) { *out << row.text; }

class BadThresholds : public testing::TestWithParam<BadThreshold> {};

TEST_P(BadThresholds, AreToldApart) { EXPECT_EQ(parse_threshold(GetParam().text).problem, GetParam().problem); }

INSTANTIATE_TEST_SUITE_P(
    Row, BadThresholds,
    testing::ValuesIn(std::vector<BadThreshold>{
        {"Empty", "", "expected a metric, as in `vigil_loss > 10`, got the end"},
        {"NoMetric", "> 10", "expected a metric, as in `vigil_loss > 10`, got '> 10'"},
        {"NoComparison", "vigil_loss", "expected one of > >= < <= == !=, got the end"},
        {"ForeignComparison", "vigil_loss =~ 3", "expected one of > >= < <= == !=, got '=~ 3'"},
        {"NoNumber", "vigil_loss >", "expected a number, got the end"},
        {"NotANumber", "vigil_loss > nan", "expected a number, got 'nan'"},
        {"NumberWithAUnit", "vigil_loss > 10s", "expected a number, got '10s'"},
        {"LabelWithoutQuotes", "vigil_loss{run=a} > 1", "expected a label's value in double quotes, got 'a} > 1'"},
        {"OpenQuote", "vigil_loss{run=\"a} > 1", "expected a double quote at the end of a label's value, got the end"},
        {"OpenBrace", "vigil_loss{run=\"a\" > 1", "expected `}` after the labels, got '> 1'"},
        {"NoTime", "vigil_loss > 1 for", "expected `N steps`, or a time in ms, s or m after `for`, got the end"},
        {"TimeWithoutUnit", "vigil_loss > 1 for 10", "expected `N steps`, or a time in ms, s or m after `for`, got '10'"},
        {"UnknownUnit", "vigil_loss > 1 for 10h", "expected `N steps`, or a time in ms, s or m after `for`, got '10h'"},
        {"NegativeTime", "vigil_loss > 1 for -1s", "expected `N steps`, or a time in ms, s or m after `for`, got '-1s'"},
        {"TimeOverADay", "vigil_loss > 1 for 86401s", "expected a time of at most 86400s after `for`, got '86401s'"},
        {"TimeThatOverflows", "vigil_loss > 1 for 1000000000m", "expected a time of at most 86400s after `for`, got '1000000000m'"},
        {"KeepForATime", "vigil_loss > 1 keep 10s", "expected `N steps` after `keep`, at most 1000000000, got '10s'"},
        {"KeepWithoutSteps", "vigil_loss > 1 keep 10 critical", "expected `N steps` after `keep`, at most 1000000000, got '10'"},
        {"TwoKeeps", "vigil_loss > 1 keep 1 step keep 2 steps",
         "expected `for N steps`, `keep N steps`, a severity (info, warning or critical), `as NAME` or `do ACTION …`, each once, got "
         "'keep'"},
        {"NoName", "vigil_loss > 1 as", "expected a name of letters, digits and _ after `as`, got the end"},
        {"UnknownAction", "vigil_loss > 1 do mail",
         "expected log, webhook, alertmanager, dump, checkpoint, stop, callback or metric, got 'mail'"},
        {"TwoSeverities", "vigil_loss > 1 info critical",
         "expected `for N steps`, `keep N steps`, a severity (info, warning or critical), `as NAME` or `do ACTION …`, each once, got "
         "'critical'"},
        {"UnknownWord", "vigil_loss > 1 unless 3",
         "expected `for N steps`, `keep N steps`, a severity (info, warning or critical), `as NAME` or `do ACTION …`, each once, got "
         "'unless'"},
    }),
    [](const testing::TestParamInfo<BadThreshold>& row) { return row.param.name; });

}  // namespace
}  // namespace vigil
