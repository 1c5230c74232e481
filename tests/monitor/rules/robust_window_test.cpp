// Medians and deviations against a sorted copy in long double, and spikes that are told by them.
#include "vigil/monitor/rules/robust_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <random>
#include <vector>

namespace vigil {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

long double sorted_median(std::vector<long double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

long double sorted_deviation(const std::vector<long double>& values) {
  const long double middle = sorted_median(values);
  std::vector<long double> distances = values;
  for (long double& value : distances) value = std::fabs(value - middle);
  return sorted_median(distances);
}

// The latest `capacity` finite values.
class SortedWindow {
 public:
  explicit SortedWindow(std::size_t capacity) : capacity_(capacity) {}
  void add(double value) {
    if (!std::isfinite(value)) return;
    values_.push_back(value);
    if (values_.size() > capacity_) values_.pop_front();
  }
  std::vector<long double> values() const { return {values_.begin(), values_.end()}; }

 private:
  const std::size_t capacity_;
  std::deque<long double> values_;
};

void expect_equal(RobustWindow& window, const SortedWindow& reference) {
  const auto values = reference.values();
  const auto median = static_cast<double>(sorted_median(values)), deviation = static_cast<double>(sorted_deviation(values));
  ASSERT_EQ(window.size(), values.size());
  EXPECT_NEAR(window.median(), median, 1e-15 * std::fabs(median));
  EXPECT_NEAR(window.median_deviation(), deviation, 1e-14 * (std::fabs(deviation) + std::fabs(median)));
}

TEST(RobustWindow, IsZeroWhileItIsEmpty) {
  RobustWindow window(8);
  EXPECT_EQ(window.median(), 0);
  EXPECT_EQ(window.median_deviation(), 0);
  EXPECT_FALSE(window.is_full());
}

class RobustWindowOf : public testing::TestWithParam<std::size_t> {};

TEST_P(RobustWindowOf, AgreesWithASortedCopyAtEveryLength) {
  std::mt19937_64 random(GetParam());
  std::lognormal_distribution<double> sizes(0, 3);
  RobustWindow window(GetParam());
  SortedWindow reference(GetParam());
  for (std::size_t i = 0; i < 3 * GetParam() + 5; ++i) {
    double value = sizes(random) * (random() % 4 == 0 ? -1 : 1);
    if (random() % 8 == 0) value = 1;  // ties
    window.add(value);
    reference.add(value);
    expect_equal(window, reference);
  }
  EXPECT_TRUE(window.is_full());
  window.clear();
  EXPECT_EQ(window.size(), 0u);
  window.add(3);
  EXPECT_EQ(window.median(), 3);
}

INSTANTIATE_TEST_SUITE_P(Capacities, RobustWindowOf, testing::Values(1, 2, 3, 16, 127, 128));

TEST(RobustWindow, NanAndInfinitiesNeverEnter) {
  RobustWindow window(4);
  SortedWindow reference(4);
  for (const double value : {kNan, 1.0, kInf, 5.0, -kInf, 2.0, -kNan, kInf, 9.0, kNan, 7.0}) {
    window.add(value);
    reference.add(value);
    expect_equal(window, reference);
  }
  EXPECT_EQ(window.median(), 6);  // of 5, 2, 9, 7
}

TEST(RobustWindow, TheMedianOfHugeValuesDoesNotOverflow) {
  RobustWindow window(2);
  window.add(1.7e308);
  window.add(1.5e308);
  EXPECT_DOUBLE_EQ(window.median(), 1.6e308);
}

// Score of `value` against the values so far, by its definition.
long double expected_z(const std::vector<long double>& values, double value, bool by_logarithm) {
  std::vector<long double> scale = values;
  for (long double& v : scale) v = by_logarithm ? std::log(v) : v;
  const long double least = by_logarithm ? 0.05L : 0.05L * std::fabs(sorted_median(values));
  const long double deviation = std::max(least, 1.4826L * sorted_deviation(scale));
  return ((by_logarithm ? std::log(static_cast<long double>(value)) : static_cast<long double>(value)) - sorted_median(scale)) / deviation;
}

TEST(SpikeDetector, ScoresAValueAgainstTheWindowBeforeItEnters) {
  std::mt19937_64 random(3);
  std::lognormal_distribution<double> noise(0, 0.7);
  SpikeDetector detector;
  SortedWindow reference(SpikeDetector::kWindow);
  for (int i = 0; i < 400; ++i) {
    const double value = i % 50 == 49 ? 1e4 * noise(random) : noise(random);
    const auto values = reference.values();
    const auto score = detector.score_and_add(value);
    ASSERT_EQ(score.is_known, values.size() >= SpikeDetector::kLeast) << i;
    if (score.is_known) {
      const auto z = static_cast<double>(expected_z(values, value, true));
      EXPECT_NEAR(score.z, z, 1e-9 * (1 + std::fabs(z))) << i;
      EXPECT_NEAR(score.median, static_cast<double>(sorted_median(values)), 1e-12);
      EXPECT_NEAR(score.ratio, value / static_cast<double>(sorted_median(values)), 1e-9 * score.ratio);
    }
    reference.add(value);
  }
}

TEST(SpikeDetector, MeasuresByTheValuesWhileOneInTheWindowIsNegative) {
  std::mt19937_64 random(4);
  std::normal_distribution<double> noise(0.5, 2);
  SpikeDetector detector;
  SortedWindow reference(SpikeDetector::kWindow);
  for (int i = 0; i < 500; ++i) {
    const bool is_noise = i >= 40 && i < 200;
    const double value = is_noise ? noise(random) : 1 + std::fabs(noise(random));
    const auto values = reference.values();
    const auto score = detector.score_and_add(value);
    const bool was_positive = value > 0 && std::all_of(values.begin(), values.end(), [](double x) { return x > 0; });
    if (values.size() >= SpikeDetector::kLeast) {
      const auto z = static_cast<double>(expected_z(values, value, was_positive));
      EXPECT_NEAR(score.z, z, 1e-9 * (1 + std::fabs(z))) << i;
      EXPECT_EQ(std::isinf(score.ratio), !was_positive) << i;
    }
    reference.add(value);
  }
}

TEST(SpikeDetector, AZeroIsNoSpikeAndDoesNotMakeTheNextOneEasier) {
  std::mt19937_64 random(5);
  std::normal_distribution<double> noise(0, 0.7);
  SpikeDetector detector;
  for (int i = 0; i < 20000; ++i) {
    const auto score = detector.score_and_add(i == 60 ? 0 : std::exp(noise(random)));
    EXPECT_FALSE(score.is_known && score.z >= 8 && score.ratio >= 10) << i;
    if (i == 60) {
      EXPECT_LE(score.z, 0);
    }
  }
}

TEST(SpikeDetector, NonFiniteValuesHaveNoScoreAndChangeNone) {
  SpikeDetector with, without;
  for (int i = 0; i < 200; ++i) {
    for (const double bad : {kNan, kInf, -kInf}) {
      const auto score = with.score_and_add(bad);
      EXPECT_FALSE(score.is_known);
      EXPECT_EQ(score.z, 0);
    }
    const double value = 1 + 0.1 * std::sin(i);
    const auto a = with.score_and_add(value), b = without.score_and_add(value);
    EXPECT_EQ(a.is_known, b.is_known);
    EXPECT_EQ(a.z, b.z);
  }
}

TEST(SpikeDetector, AConstantSeriesHasALeastDeviationAndZerosHaveNone) {
  SpikeDetector constant, zeros;
  for (int i = 0; i < 40; ++i) {
    constant.score_and_add(2);
    zeros.score_and_add(0);
  }
  EXPECT_NEAR(constant.score_and_add(2 * std::exp(0.5)).z, 10, 1e-9);
  EXPECT_EQ(zeros.score_and_add(5).z, 0) << "nothing tells whether 5 is far from 0";
}

}  // namespace
}  // namespace vigil
