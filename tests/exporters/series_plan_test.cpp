// Cardinality: what stays, what is folded, what is left out.
#include "vigil/exporters/series_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "exporters/test_run.h"
#include "vigil/monitor/statistics.h"

namespace vigil {
namespace {

using test::make_large_schema;

constexpr std::int64_t kPerTensor = static_cast<std::int64_t>(kStatistics.size());

PrometheusConfig bounded(std::int64_t entries) {
  PrometheusConfig config;
  config.max_series = entries * kPerTensor;
  return config;
}

std::string label(const SeriesPlan::Entry& entry, const std::string& name) {
  for (const Label& one : entry.labels->labels()) {
    if (one.name == name) return one.value;
  }
  return "";
}

std::multiset<std::string> names(const SeriesPlan& plan, TensorKind kind) {
  std::multiset<std::string> out;
  for (const SeriesPlan::Entry& entry : plan.entries()) {
    if (entry.kind == kind) out.insert(label(entry, "parameter"));
  }
  return out;
}

TEST(SeriesPlan, BelowTheBoundEveryTensorHasItsSeries) {
  const Schema schema = make_large_schema(3);
  const SeriesPlan plan(schema, bounded(12));
  EXPECT_EQ(plan.entries().size(), 12u);
  EXPECT_EQ(plan.dropped_series(), 0u);
  for (std::size_t i = 0; i < plan.entries().size(); ++i) {
    EXPECT_EQ(plan.entries()[i].rows, std::vector<std::size_t>{i});
    EXPECT_EQ(label(plan.entries()[i], "parameter"), schema.rows[i].name);
    EXPECT_EQ(label(plan.entries()[i], "layer"), schema.rows[i].layer);
  }
}

TEST(SeriesPlan, OverTheBoundTheLargestStayAndTheRestIsFoldedIntoItsLayer) {
  // 3 layers × (weight, bias) × 2 kinds: 12 tensors. 11 entries hold the 8 largest tensors and 3 folded ones, and so on.
  const SeriesPlan plan(make_large_schema(3), bounded(9));
  EXPECT_EQ(names(plan, TensorKind::parameter),
            (std::multiset<std::string>{"layer0.weight", "layer1.weight", "layer0.*", "layer1.*", "layer2.*"}));
  EXPECT_EQ(names(plan, TensorKind::gradient), (std::multiset<std::string>{"layer0.weight", "layer0.*", "layer1.*", "layer2.*"}));
  EXPECT_EQ(plan.dropped_series(), static_cast<std::uint64_t>((12 - 3) * kPerTensor));
}

TEST(SeriesPlan, LayersThatDoNotFitAreLeftOutSmallestFirst) {
  const SeriesPlan plan(make_large_schema(3), bounded(4));
  EXPECT_EQ(names(plan, TensorKind::parameter), (std::multiset<std::string>{"layer0.*", "layer1.*"}));
  EXPECT_EQ(names(plan, TensorKind::gradient), (std::multiset<std::string>{"layer0.*", "layer1.*"}));
  EXPECT_EQ(plan.dropped_series(), static_cast<std::uint64_t>(12 * kPerTensor));
}

TEST(SeriesPlan, NoBoundIsEverExceededAndNoTensorIsTwiceInAPlan) {
  const Schema schema = make_large_schema(7);
  for (std::int64_t series = 0; series <= 28 * kPerTensor + 5; ++series) {
    PrometheusConfig config;
    config.max_series = series;
    const SeriesPlan plan(schema, config);
    EXPECT_LE(static_cast<std::int64_t>(plan.entries().size()) * kPerTensor, series);
    std::set<std::size_t> rows;
    std::size_t by_itself = 0;
    for (const SeriesPlan::Entry& entry : plan.entries()) {
      for (const std::size_t row : entry.rows) {
        EXPECT_TRUE(rows.insert(row).second);
        EXPECT_EQ(schema.rows[row].kind, entry.kind);
        EXPECT_EQ(schema.rows[row].layer, label(entry, "layer"));
      }
      by_itself += label(entry, "parameter").back() != '*';
    }
    EXPECT_EQ(plan.dropped_series(), (schema.rows.size() - by_itself) * kStatistics.size());
  }
}

TEST(SeriesPlan, TensorsOfOneSizeStayOrGoTogetherWithTheirGradients) {
  Schema schema;
  for (const TensorKind kind : {TensorKind::parameter, TensorKind::gradient}) {
    for (const char* name : {"a.weight", "a.other", "b.weight", "b.other"}) {
      schema.rows.push_back({kind, name, layer_of(name), "", 100, DType::float32});
    }
  }
  const SeriesPlan plan(schema, bounded(6));
  EXPECT_EQ(names(plan, TensorKind::parameter), names(plan, TensorKind::gradient));
}

TEST(SeriesPlan, TheSameSchemaGivesTheSamePlan) {
  const SeriesPlan one(make_large_schema(20), bounded(33)), two(make_large_schema(20), bounded(33));
  ASSERT_EQ(one.entries().size(), two.entries().size());
  for (std::size_t i = 0; i < one.entries().size(); ++i) {
    EXPECT_EQ(one.entries()[i].labels->text(), two.entries()[i].labels->text());
    EXPECT_EQ(one.entries()[i].rows, two.entries()[i].rows);
  }
}

TEST(SeriesPlan, FoldedTensorsOfTheRootHaveNoLayer) {
  Schema schema;
  schema.rows = {{TensorKind::parameter, "scale", "", "", 1, DType::float32}, {TensorKind::parameter, "shift", "", "", 1, DType::float32}};
  const SeriesPlan plan(schema, bounded(1));
  ASSERT_EQ(plan.entries().size(), 1u);
  EXPECT_EQ(plan.entries()[0].labels->text(), "rank=\"0\",parameter=\"*\"");
}

TEST(SeriesPlan, OtherRanksExportNoTensorsAndDropNone) {
  Schema schema = make_large_schema(3);
  schema.identity.rank = 1;
  EXPECT_TRUE(SeriesPlan(schema, bounded(1)).entries().empty());
  EXPECT_EQ(SeriesPlan(schema, bounded(1)).dropped_series(), 0u);
  PrometheusConfig config;
  config.per_parameter = PerParameter::all;
  EXPECT_EQ(SeriesPlan(schema, config).entries().size(), 12u);
}

TEST(SeriesPlan, NoneMeansNoneOnRank0Too) {
  PrometheusConfig config;
  config.per_parameter = PerParameter::none;
  EXPECT_TRUE(SeriesPlan(make_large_schema(3), config).entries().empty());
}

constexpr std::int64_t kMagnitudeSeries = 38;

// A schema where every parameter's update is measured and every tensor has a histogram.
Schema with_everything(std::size_t layers) {
  Schema schema = make_large_schema(layers);
  for (RowSchema& row : schema.rows) {
    row.has_update = row.kind == TensorKind::parameter;
    row.histogram = static_cast<std::int32_t>(schema.histograms++);
  }
  return schema;
}

std::multiset<std::string> names_with(const SeriesPlan& plan, bool (*has)(const SeriesPlan::Entry&)) {
  std::multiset<std::string> out;
  for (const SeriesPlan::Entry& entry : plan.entries()) {
    if (has(entry)) out.insert(std::string(kTensorKindNames[static_cast<std::size_t>(entry.kind)]) + " " + label(entry, "parameter"));
  }
  return out;
}
bool has_update(const SeriesPlan::Entry& entry) { return entry.has_update; }
bool has_magnitudes(const SeriesPlan::Entry& entry) { return entry.histogram != RowSchema::kNone; }

SeriesPlan plan_with_room(const Schema& schema, std::int64_t room) {
  PrometheusConfig config;
  config.max_series = static_cast<std::int64_t>(schema.rows.size()) * kPerTensor + room;
  return SeriesPlan(schema, config);
}

TEST(SeriesPlan, WithRoomForAllEveryTensorHasAllThatTheFrameHas) {
  const Schema schema = with_everything(2);
  const SeriesPlan plan = plan_with_room(schema, 2 * 4 + 8 * kMagnitudeSeries);
  EXPECT_EQ(names_with(plan, has_update).size(), 4u);
  EXPECT_EQ(names_with(plan, has_magnitudes).size(), 8u);
  EXPECT_EQ(plan.dropped_series(), 0u);
  for (std::size_t i = 0; i < schema.rows.size(); ++i) EXPECT_EQ(plan.entries()[i].histogram, schema.rows[i].histogram);
}

TEST(SeriesPlan, WhatRoomIsLeftGoesToUpdateRatiosThenToMagnitudesLargestFirst) {
  const Schema schema = with_everything(2);
  const SeriesPlan none = plan_with_room(schema, 0);
  EXPECT_TRUE(names_with(none, has_update).empty());
  EXPECT_TRUE(names_with(none, has_magnitudes).empty());
  EXPECT_EQ(none.dropped_series(), static_cast<std::uint64_t>(2 * 4 + 8 * kMagnitudeSeries));

  const SeriesPlan two = plan_with_room(schema, 2 * 2);
  EXPECT_EQ(names_with(two, has_update), (std::multiset<std::string>{"parameter layer0.weight", "parameter layer1.weight"}));
  EXPECT_EQ(two.dropped_series(), static_cast<std::uint64_t>(2 * 2 + 8 * kMagnitudeSeries));

  const SeriesPlan more = plan_with_room(schema, 2 * 4 + 3 * kMagnitudeSeries + 37);
  EXPECT_EQ(names_with(more, has_update).size(), 4u);
  EXPECT_EQ(names_with(more, has_magnitudes),
            (std::multiset<std::string>{"gradient layer0.weight", "parameter layer0.weight", "parameter layer1.weight"}));
  EXPECT_EQ(more.dropped_series(), static_cast<std::uint64_t>(5 * kMagnitudeSeries));
}

TEST(SeriesPlan, FoldedTensorsHaveTheirStatisticsOnly) {
  const Schema schema = with_everything(3);
  PrometheusConfig config;
  config.max_series = 9 * kPerTensor + 2 * 2;  // 3 tensors, 6 folded layers, and a little
  const SeriesPlan plan(schema, config);
  EXPECT_EQ(names_with(plan, has_update), (std::multiset<std::string>{"parameter layer0.weight", "parameter layer1.weight"}));
  EXPECT_TRUE(names_with(plan, has_magnitudes).empty());
  EXPECT_EQ(plan.dropped_series(), static_cast<std::uint64_t>(9 * kPerTensor + 2 * 4 + 12 * kMagnitudeSeries));
}

TEST(SeriesPlan, MagnitudesExceedNoBoundEither) {
  const Schema schema = with_everything(3);
  constexpr std::int64_t kAll = 12 * kPerTensor + 2 * 6 + 12 * kMagnitudeSeries;
  for (std::int64_t bound = 0; bound <= kAll + 10; ++bound) {
    PrometheusConfig config;
    config.max_series = bound;
    const SeriesPlan plan(schema, config);
    std::int64_t series = 0;
    for (const SeriesPlan::Entry& entry : plan.entries()) {
      series += kPerTensor + (has_update(entry) ? 2 : 0) + (has_magnitudes(entry) ? kMagnitudeSeries : 0);
      EXPECT_FALSE(entry.is_folded && (has_update(entry) || has_magnitudes(entry)));
    }
    EXPECT_LE(series, bound);
  }
}

TEST(SeriesPlan, AnEntrysTextIsItsLabelsAsASeriesHasThem) {
  const SeriesPlan plan(make_large_schema(3), bounded(9));
  for (const SeriesPlan::Entry& entry : plan.entries()) {
    EXPECT_EQ(plan.text_of(entry), "{" + entry.labels->text() + "} ");
    EXPECT_EQ(entry.is_folded, label(entry, "parameter").back() == '*');
  }
}

TEST(SeriesPlan, TheCacheMakesAPlanOncePerSchema) {
  SeriesPlanCache cache{PrometheusConfig{}};
  const auto schema = std::make_shared<const Schema>(make_large_schema(2));
  const auto plan = cache.plan_for(schema);
  EXPECT_EQ(cache.plan_for(schema), plan);
  EXPECT_NE(cache.plan_for(std::make_shared<const Schema>(make_large_schema(2))), plan);
}

}  // namespace
}  // namespace vigil
