// The table of statistics: names, uniqueness and values against hand-computed figures.
#include "vigil/monitor/statistics.h"

#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "vigil/monitor/metric_table.h"
#include "vigil/monitor/reduction.h"
#include "vigil/monitor/sparsity.h"

namespace vigil {
namespace {

Moments of(std::initializer_list<float> values) { return compute_moments(DType::float32, values.begin(), values.size()); }

std::map<std::string, double> all_of(const Moments& m) {
  std::map<std::string, double> result;
  for (const Statistic& s : kStatistics) result[std::string(s.name)] = s.value(m);
  return result;
}

TEST(Sparsity, LeavesOutCountsThatCannotBe) {
  std::vector<RowSchema> schema(2);
  std::vector<TensorRow> rows(2);
  rows[0].state = rows[1].state = TensorRow::present;
  rows[0].moments = of({0, 1, 2, 3});
  rows[1].moments.count = 1;
  rows[1].moments.zero_count = 1000;
  EXPECT_EQ(sparsity(schema, rows), 0.25);
}

TEST(Statistics, EachHasItsDefinedValue) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  // The finite elements are -3, 0, 1, 6: mean 1, squared deviations 16, 1, 0, 25.
  const std::map<std::string, double> expected{{"mean", 1},
                                               {"std", std::sqrt(42.0 / 4)},
                                               {"min", -3},
                                               {"max", 6},
                                               {"l1_norm", 10},
                                               {"l2_norm", std::sqrt(46.0)},
                                               {"zero_ratio", 1.0 / 8},
                                               {"nan_values", 1},
                                               {"inf_values", 3}};
  EXPECT_EQ(all_of(of({-3, 0, 1, 6, nan, inf, -inf, inf})), expected);
}

TEST(Statistics, WithoutFiniteElementsMeanStdMinAndMaxAreNan) {
  const auto figures = all_of(of({std::numeric_limits<float>::quiet_NaN()}));
  for (const char* name : {"mean", "std", "min", "max"}) EXPECT_TRUE(std::isnan(figures.at(name))) << name;
  EXPECT_EQ(figures.at("l2_norm"), 0);
  EXPECT_EQ(figures.at("nan_values"), 1);
}

TEST(Statistics, ZeroRatioOfNothingIsNan) { EXPECT_TRUE(std::isnan(all_of(Moments{}).at("zero_ratio"))); }

TEST(MetricTable, RowsFollowTheConventionsOfPrometheus) {
  std::set<std::string_view> names;
  for (const MetricRow& metric : kMetrics) {
    SCOPED_TRACE(metric.name);
    EXPECT_TRUE(names.insert(metric.name).second) << "twice in the table";
    EXPECT_EQ(metric.name.substr(0, 6), "vigil_");
    const bool total = metric.name.size() > 6 && metric.name.substr(metric.name.size() - 6) == "_total";
    EXPECT_EQ(total, metric.type == MetricType::counter) << "counters, and only these, end in _total";
    const std::string_view base = total ? metric.name.substr(0, metric.name.size() - 6) : metric.name;
    EXPECT_EQ(base.substr(base.size() - metric.unit.size()), metric.unit) << "a name ends in its unit";
    EXPECT_EQ(metric.help.back(), '.');
    EXPECT_EQ(metric.help.find('\n'), std::string_view::npos);
  }
}

}  // namespace
}  // namespace vigil
