// Both text formats, read back by an independent parser.
#include "vigil/exporters/text_format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>

#include "exporters/test_run.h"
#include "exporters/text_parser.h"
#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

using namespace test;

std::vector<Family> one_gauge(double value, std::vector<Label> labels = {}) {
  return {{"metric", MetricType::gauge, "", "Help.", {{make_labels(std::move(labels)), value}}, {}}};
}

std::string written(double value) {
  const std::string text = render_text(one_gauge(value), TextFormat::prometheus);
  const auto space = text.rfind(' ');
  return text.substr(space + 1, text.size() - space - 2);
}

TEST(TextFormat, AGaugeLooksAsTheFormatsWantIt) {
  const auto families = one_gauge(1.5, {{"run", "a"}});
  EXPECT_EQ(render_text(families, TextFormat::prometheus), "# HELP metric Help.\n# TYPE metric gauge\nmetric{run=\"a\"} 1.5\n");
  EXPECT_EQ(render_text(families, TextFormat::openmetrics), "# HELP metric Help.\n# TYPE metric gauge\nmetric{run=\"a\"} 1.5\n# EOF\n");
}

TEST(TextFormat, ACounterIsNamedWithTotalInOneFormatAndWithoutInTheOther) {
  const std::vector<Family> families{{"time_seconds_total", MetricType::counter, "seconds", "Time.", {{make_labels({}), 2}}, {}}};
  EXPECT_EQ(render_text(families, TextFormat::prometheus),
            "# HELP time_seconds_total Time.\n# TYPE time_seconds_total counter\ntime_seconds_total 2\n");
  EXPECT_EQ(render_text(families, TextFormat::openmetrics),
            "# HELP time_seconds Time.\n# TYPE time_seconds counter\n# UNIT time_seconds seconds\ntime_seconds_total 2\n# EOF\n");
}

TEST(TextFormat, AHistogramHasBucketsSumAndCount) {
  HistogramValue value{{0.0005, 1, 2.5}, {1, 1, 4}, 5, 12.5};
  const std::vector<Family> families{{"h", MetricType::histogram, "", "H.", {}, {{make_labels({{"phase", "total"}}), value}}}};
  EXPECT_EQ(render_text(families, TextFormat::prometheus),
            "# HELP h H.\n# TYPE h histogram\nh_bucket{phase=\"total\",le=\"0.0005\"} 1\nh_bucket{phase=\"total\",le=\"1\"} 1\n"
            "h_bucket{phase=\"total\",le=\"2.5\"} 4\nh_bucket{phase=\"total\",le=\"+Inf\"} 5\nh_sum{phase=\"total\"} 12.5\n"
            "h_count{phase=\"total\"} 5\n");
  EXPECT_NE(render_text(families, TextFormat::openmetrics).find("le=\"1.0\"} 1\n"), std::string::npos);
}

TEST(TextFormat, FamiliesWithoutSeriesAreLeftOut) {
  EXPECT_EQ(render_text({{"m", MetricType::gauge, "", "M.", {}, {}}}, TextFormat::prometheus), "");
  EXPECT_EQ(render_text({{"m", MetricType::gauge, "", "M.", {}, {}}}, TextFormat::openmetrics), "# EOF\n");
}

TEST(TextFormat, NumbersAreShortestAndNonFiniteOnesAreNamed) {
  EXPECT_EQ(written(0.1), "0.1");
  EXPECT_EQ(written(-0.0), "-0");
  EXPECT_EQ(written(1e300), "1e+300");
  EXPECT_EQ(written(kNan), "NaN");
  EXPECT_EQ(written(-kNan), "NaN");
  EXPECT_EQ(written(kInf), "+Inf");
  EXPECT_EQ(written(-kInf), "-Inf");
}

TEST(TextFormat, EveryDoubleReadsBackAsItself) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t bits = random();
    double value;
    std::memcpy(&value, &bits, sizeof value);
    if (!is_finite_bits(value)) continue;
    ASSERT_EQ(std::strtod(written(value).c_str(), nullptr), value);
  }
}

TEST(TextFormat, HelpIsEscapedAsEachFormatWants) {
  const std::vector<Family> families{{"m", MetricType::gauge, "", "a\\b\nc\"d", {{make_labels({}), 1}}, {}}};
  EXPECT_NE(render_text(families, TextFormat::prometheus).find("# HELP m a\\\\b\\nc\"d\n"), std::string::npos);
  EXPECT_NE(render_text(families, TextFormat::openmetrics).find("# HELP m a\\\\b\\nc\\\"d\n"), std::string::npos);
  EXPECT_EQ(parse_prometheus_text(render_text(families, TextFormat::prometheus)).families["m"].help, "a\\b\nc\"d");
  EXPECT_EQ(parse_openmetrics_text(render_text(families, TextFormat::openmetrics)).families["m"].help, "a\\b\nc\"d");
}

TEST(TextFormat, LabelsThatAreNoUtf8DoNotBreakTheScrape) {
  const ParsedText parsed = parse_prometheus_text(render_text(one_gauge(1, {{"run", "a\xff\"\n\\"}}), TextFormat::prometheus));
  EXPECT_EQ(parsed.values.count(series_key("metric", {{"run", "a\xef\xbf\xbd\"\n\\"}})), 1u);
}

TEST(TextFormat, BothFormatsOfARunAreWellFormedAndSayTheSame) {
  for (const auto& snapshot : {make_first_snapshot(), make_running_snapshot()}) {
    const std::vector<Family> families = families_of(*snapshot);
    const ParsedText text = parse_prometheus_text(render_text(families, TextFormat::prometheus));
    const ParsedText openmetrics = parse_openmetrics_text(render_text(families, TextFormat::openmetrics));
    ASSERT_EQ(text.values.size(), openmetrics.values.size());
    for (const auto& [series, value] : text.values) {
      ASSERT_EQ(openmetrics.values.count(series), 1u) << series;
      const double other = openmetrics.values.at(series);
      EXPECT_TRUE(value == other || (std::isnan(value) && std::isnan(other))) << series;
    }
  }
}

TEST(TextFormat, UnitsStandInOpenMetricsOnly) {
  const std::vector<Family> families = families_of(*make_running_snapshot());
  EXPECT_EQ(parse_openmetrics_text(render_text(families, TextFormat::openmetrics)).families.at("vigil_overhead_seconds").unit, "seconds");
  EXPECT_EQ(render_text(families, TextFormat::prometheus).find("# UNIT"), std::string::npos);
}

TEST(TextParser, TurnsDownWhatOpenMetricsForbids) {
  const char* const bad[] = {
      "# TYPE a gauge\na 1\n",                                                                             // no EOF
      "# TYPE a gauge\na 1\n# EOF\n# TYPE b gauge\n",                                                      // after EOF
      "# TYPE a counter\na 1\n# EOF\n",                                                                    // no _total
      "# TYPE a counter\na_total -1\n# EOF\n",                                                             // negative
      "# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n",                                                    // unit not in the name
      "# TYPE a gauge\na 1\n# HELP a A.\n# EOF\n",                                                         // metadata after samples
      "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\na{x=\"1\"} 1\n# EOF\n",                   // interleaved
      "# TYPE a gauge\na{x=\"1\",x=\"2\"} 1\n# EOF\n",                                                     // a label twice
      "# TYPE a gauge\na 1\na 1\n# EOF\n",                                                                 // a series twice
      "# TYPE a gauge\na nan\n# EOF\n",                                                                    // spelling of NaN
      "# TYPE a histogram\na_bucket{le=\"1.0\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n# EOF\n",  // falling
      "# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n# EOF\n",    // bound without a point
      "a 1\n# EOF\n",                                                                                      // no metadata
      "# TYPE a gauge\n\na 1\n# EOF\n",                                                                    // empty line
  };
  for (const char* text : bad) EXPECT_THROW(parse_openmetrics_text(text), std::runtime_error) << text;
}

}  // namespace
}  // namespace vigil
