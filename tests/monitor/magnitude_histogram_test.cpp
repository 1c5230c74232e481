// The quantiles against the sorted elements, over distributions that training meets.
#include "vigil/monitor/magnitude_histogram.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "monitor/reference_figures.h"
#include "vigil/monitor/reduction.h"

namespace vigil {
namespace {

using reference::histogram_of;

Moments moments_of(const std::vector<double>& values) { return compute_moments(DType::float64, values.data(), values.size()); }

double quantile_of(const std::vector<double>& values, double q) { return magnitude_quantile(histogram_of(values), moments_of(values), q); }

double true_quantile(std::vector<double> values, double q) {
  for (double& x : values) x = std::fabs(x);
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size())));
  return values[std::max<std::size_t>(rank, 1) - 1];
}

TEST(MagnitudeQuantile, IsWithinAFactorOfTwoOfTheTrueOne) {
  std::mt19937 engine(1);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> exponent(-20, 3);
  std::vector<double> gaussian(5000), wide(5000), relu(5000);
  for (double& x : gaussian) x = 0.02 * normal(engine);
  for (double& x : wide) x = std::exp2(exponent(engine));
  for (double& x : relu) x = std::max(0.0, normal(engine));
  for (const auto& values : {gaussian, wide, relu}) {
    for (const double q : {0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0}) {
      SCOPED_TRACE(q);
      const double expected = true_quantile(values, q), actual = quantile_of(values, q);
      EXPECT_LE(actual, 2 * expected);
      EXPECT_GE(actual, expected / 2);
    }
  }
}

TEST(MagnitudeQuantile, OfNormalDataIsMuchCloserThanItsBound) {
  std::mt19937 engine(2);
  std::normal_distribution<double> normal(0, 0.02);
  std::vector<double> values(200000);
  for (double& x : values) x = normal(engine);
  // |z| of the standard normal distribution: published quantiles (Abramowitz and Stegun, table 26.1). In the tail the density falls by
  // half within a bucket, which no interpolation knows of.
  EXPECT_NEAR(quantile_of(values, 0.50), 0.02 * 0.67449, 0.02 * 0.67449 * 0.05);
  EXPECT_NEAR(quantile_of(values, 0.99), 0.02 * 2.57583, 0.02 * 2.57583 * 0.20);
  EXPECT_NEAR(quantile_of(values, 0.01), 0.02 * 0.012533, 0.02 * 0.012533 * 0.10);
}

TEST(MagnitudeQuantile, OfZerosIsZeroAndOfNothingIsNan) {
  EXPECT_EQ(quantile_of({0.0, 0.0, 0.0, 4.0}, 0.5), 0);
  EXPECT_EQ(quantile_of({0.0, 0.0, 0.0, 4.0}, 1.0), 4.0);
  EXPECT_TRUE(std::isnan(quantile_of({}, 0.5)));
  EXPECT_TRUE(std::isnan(quantile_of({std::nan("")}, 0.5)));
}

TEST(MagnitudeQuantile, OutsideTheBucketsIsTheirBoundOrTheLargest) {
  EXPECT_EQ(quantile_of({1e-12, -1e-12}, 0.5), 1e-12);
  EXPECT_EQ(quantile_of({1e-12, 1.0}, 0.5), magnitude_bound(0));
  EXPECT_EQ(quantile_of({1.0, -1000.0, 1000.0}, 0.99), 1000.0);
}

TEST(MagnitudeBounds, ArePowersOfTwoFrom2ToTheMinus28To16) {
  EXPECT_EQ(magnitude_bound(0), 0x1p-28);
  EXPECT_EQ(magnitude_bound(MagnitudeHistogram::kBuckets), 16.0);
}

TEST(MagnitudeHistogram, MergeAddsEveryCount) {
  std::vector<double> left, right;
  for (int e = -32; e <= 6; ++e) {
    left.push_back(std::ldexp(1.0, e));
    right.insert(right.end(), 3, -std::ldexp(1.5, e));
  }
  std::vector<double> both = left;
  both.insert(both.end(), right.begin(), right.end());
  MagnitudeHistogram merged = histogram_of(left);
  merge(merged, histogram_of(right));
  const MagnitudeHistogram expected = histogram_of(both);
  EXPECT_EQ(merged.underflow, expected.underflow);
  EXPECT_EQ(merged.buckets, expected.buckets);
  EXPECT_EQ(merged.overflow, expected.overflow);
}

}  // namespace
}  // namespace vigil
