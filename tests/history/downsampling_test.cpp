#include "vigil/history/downsampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace vigil {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();

std::vector<SeriesPoint> make_points(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<SeriesPoint> points;
  std::uint64_t step = 1;
  for (std::size_t i = 0; i < count; ++i) {
    step += 1 + (random() % 50 == 0 ? random() % 100 : 0);
    double value = normal(random);
    if (random() % 97 == 0) value = random() % 2 == 0 ? kNan : -kInf;
    points.push_back({step, static_cast<std::int64_t>(step * 10), value});
  }
  return points;
}

// What the points between two steps are, the simple way.
struct Extremes {
  double smallest = kInf, largest = -kInf;
  std::uint64_t nonfinite = 0;
};
Extremes extremes_of(const std::vector<SeriesPoint>& points, std::uint64_t from, std::uint64_t to) {
  Extremes extremes;
  for (const SeriesPoint& point : points) {
    if (point.step < from || point.step >= to) continue;
    if (std::isfinite(point.value)) {
      extremes.smallest = std::min(extremes.smallest, point.value);
      extremes.largest = std::max(extremes.largest, point.value);
    } else {
      extremes.nonfinite += std::max<std::uint64_t>(point.nonfinite, 1);
    }
  }
  return extremes;
}

TEST(Downsampling, EachBucketKeepsItsExtremesAndWhatIsNotFinite) {
  for (const std::uint64_t width : {1u, 7u, 100u, 3000u}) {
    const auto points = make_points(5000, width);
    Downsampler sampler(points.front().step, width);
    for (const SeriesPoint& point : points) sampler.add(point);
    const auto kept = sampler.finish();
    for (std::uint64_t from = points.front().step; from <= points.back().step; from += width) {
      const Extremes expected = extremes_of(points, from, from + width), actual = extremes_of(kept, from, from + width);
      EXPECT_EQ(actual.smallest, expected.smallest) << from;
      EXPECT_EQ(actual.largest, expected.largest) << from;
      EXPECT_EQ(actual.nonfinite, expected.nonfinite) << from;
    }
    EXPECT_EQ(kept.front().step, points.front().step);
    EXPECT_EQ(kept.back().step, points.back().step);
    for (std::size_t i = 1; i < kept.size(); ++i) EXPECT_LT(kept[i - 1].step, kept[i].step);
  }
}

TEST(Downsampling, SummariesLoseNoExtremeAndNoCount) {
  const auto points = make_points(5000, 8);
  Downsampler sampler(points.front().step, 500);
  for (std::size_t i = 0; i < points.size();) {
    PointSummary summary;
    const std::uint64_t first_step = points[i].step;
    for (std::size_t end = std::min(i + 37, points.size()); i < end; ++i) summary.add(points[i]);
    sampler.add(first_step, summary);
  }
  const auto kept = sampler.finish();
  const Extremes expected = extremes_of(points, 0, ~std::uint64_t{0}), actual = extremes_of(kept, 0, ~std::uint64_t{0});
  EXPECT_EQ(actual.smallest, expected.smallest);
  EXPECT_EQ(actual.largest, expected.largest);
  EXPECT_EQ(actual.nonfinite, expected.nonfinite);
  // Each kept point is one of the others, and no bucket has more than it may.
  for (const SeriesPoint& point : kept) {
    const auto same = std::find_if(points.begin(), points.end(), [&](const SeriesPoint& other) { return other.step == point.step; });
    ASSERT_NE(same, points.end());
    EXPECT_EQ(same->time_ns, point.time_ns);
    EXPECT_TRUE(same->value == point.value || (std::isnan(same->value) && std::isnan(point.value)));
  }
  const std::uint64_t buckets = (points.back().step - points.front().step) / 500 + 1;
  EXPECT_LE(kept.size(), buckets * Downsampler::kBucketPoints);
}

TEST(Downsampling, WithoutWidthEveryPointIsKept) {
  const auto points = make_points(300, 4);
  Downsampler sampler(1, 0);
  for (const SeriesPoint& point : points) sampler.add(point);
  const auto kept = sampler.finish();
  ASSERT_EQ(kept.size(), points.size());
  for (std::size_t i = 0; i < kept.size(); ++i) {
    EXPECT_EQ(kept[i].step, points[i].step);
    EXPECT_EQ(kept[i].nonfinite, std::isfinite(points[i].value) ? 0u : 1u);
  }
}

TEST(Downsampling, WidthKeepsWithinThePointsThatWereAskedFor) {
  for (const std::uint64_t steps : {1ull, 1999ull, 2000ull, 2001ull, 100'000ull, 123'456'789ull, 1ull << 62}) {
    for (const std::size_t max_points : {1u, 5u, 2000u}) {
      const std::uint64_t width = bucket_width(steps, steps, max_points);
      if (steps <= max_points) {
        EXPECT_EQ(width, 0u);
      } else {
        EXPECT_LE((steps + width - 1) / width * 5, std::max<std::size_t>(max_points, 5)) << steps << " " << max_points;
      }
    }
  }
  EXPECT_EQ(bucket_width(1'000'000, 100, 200), 0u) << "few points that lie far from each other";
}

TEST(Downsampling, StretchesOfNonfiniteStepsGrowTogether) {
  std::vector<NonfiniteSteps> stretches;
  for (const std::uint64_t step : {5u, 6u, 7u, 20u, 500u}) add_nonfinite(stretches, {step, step, 1}, 10);
  ASSERT_EQ(stretches.size(), 3u);
  EXPECT_EQ(stretches[0].first_step, 5u);
  EXPECT_EQ(stretches[0].last_step, 7u);
  EXPECT_EQ(stretches[0].steps, 3u);
  EXPECT_EQ(stretches[1].steps, 1u);
}

}  // namespace
}  // namespace vigil
