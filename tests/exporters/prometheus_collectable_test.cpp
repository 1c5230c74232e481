// vigil's text writer against prometheus-cpp's, on the same data, through the adapter.
#include "vigil/exporters/prometheus_collectable.h"

#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include <cmath>

#include "exporters/test_run.h"
#include "exporters/text_parser.h"
#include "vigil/exporters/text_format.h"

namespace vigil {
namespace {

using namespace test;

std::string serialize(const PrometheusCollectable& collectable) {
  return prometheus::TextSerializer().prometheus::Serializer::Serialize(collectable.Collect());
}

// prometheus-cpp prints 16 digits; one unit of the sixteenth is 1e-15 of the value at most. It also writes a histogram's count
// and sum before the buckets, and NaN as "Nan": neither changes what a parser reads.
bool equal_to_16_digits(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b || std::abs(a - b) <= 1e-15 * std::max(std::abs(a), std::abs(b));
}

TEST(PrometheusCollectable, SaysTheSameAsOurOwnWriter) {
  for (const auto& snapshot : {make_first_snapshot(), make_running_snapshot()}) {
    const PrometheusCollectable collectable([&snapshot] { return snapshot; });
    const ParsedText theirs = parse_prometheus_text(serialize(collectable));
    const ParsedText ours = parse_prometheus_text(render_text(families_of(*snapshot), TextFormat::prometheus));
    EXPECT_EQ(theirs.family_order, ours.family_order);
    for (const auto& [name, family] : ours.families) {
      EXPECT_EQ(theirs.families.at(name).type, family.type) << name;
      EXPECT_EQ(theirs.families.at(name).help, family.help) << name;
      if (family.type != "histogram") {
        EXPECT_EQ(theirs.families.at(name).series, family.series) << name;
      }
    }
    ASSERT_EQ(theirs.values.size(), ours.values.size());
    for (const auto& [series, value] : ours.values) {
      ASSERT_EQ(theirs.values.count(series), 1u) << series;
      EXPECT_TRUE(equal_to_16_digits(theirs.values.at(series), value)) << series << " " << theirs.values.at(series) << " " << value;
    }
  }
}

TEST(PrometheusCollectable, CollectsNothingBeforeThereIsASnapshot) {
  EXPECT_TRUE(PrometheusCollectable([] { return std::shared_ptr<const Snapshot>(); }).Collect().empty());
}

TEST(PrometheusCollectable, FollowsTheBoundOfSeries) {
  const auto snapshot = make_running_snapshot();
  PrometheusConfig config;
  config.max_series = 0;
  for (const prometheus::MetricFamily& family : PrometheusCollectable([&snapshot] { return snapshot; }, config).Collect()) {
    EXPECT_NE(family.name, "vigil_parameter_mean");
  }
}

}  // namespace
}  // namespace vigil
