#include "vigil/history/downsampling.h"

#include <algorithm>

#include "vigil/monitor/dtype.h"

namespace vigil {

void PointSummary::add(const SeriesPoint& point) {
  if (!is_finite_bits(point.value)) {
    const std::uint64_t count = std::max<std::uint64_t>(point.nonfinite, 1);
    if (nonfinite) {
      nonfinite->nonfinite += count;
    } else {
      nonfinite = point;
      nonfinite->nonfinite = count;
    }
    return;
  }
  if (!first) first = point;
  if (!smallest || point.value < smallest->value) smallest = point;
  if (!largest || point.value > largest->value) largest = point;
  last = point;
}

void PointSummary::add(const PointSummary& later) {
  for (const auto* point : {&later.first, &later.smallest, &later.largest, &later.nonfinite}) {
    if (*point) add(**point);
  }
  if (later.last) last = later.last;
}

std::vector<SeriesPoint> points_in_order(const PointSummary& summary) {
  std::vector<SeriesPoint> points;
  for (const auto* point : {&summary.first, &summary.smallest, &summary.largest, &summary.last, &summary.nonfinite}) {
    if (!*point) continue;
    const auto place =
        std::lower_bound(points.begin(), points.end(), **point, [](const SeriesPoint& a, const SeriesPoint& b) { return a.step < b.step; });
    if (place == points.end() || place->step != (*point)->step) points.insert(place, **point);
  }
  return points;
}

void Downsampler::enter_bucket(std::uint64_t step) {
  if (step - bucket_begin_ < width_) return;
  close_bucket();
  bucket_begin_ = first_step_ + (step - first_step_) / width_ * width_;
}

void Downsampler::close_bucket() {
  const std::vector<SeriesPoint> kept = points_in_order(bucket_);
  points_.insert(points_.end(), kept.begin(), kept.end());
  bucket_ = {};
}

void Downsampler::add(const SeriesPoint& point) {
  if (width_ == 0) {
    points_.push_back(point);
    points_.back().nonfinite = is_finite_bits(point.value) ? 0 : std::max<std::uint64_t>(point.nonfinite, 1);
    return;
  }
  enter_bucket(point.step);
  bucket_.add(point);
}

void Downsampler::add(std::uint64_t first_step, const PointSummary& summary) {
  enter_bucket(first_step);
  bucket_.add(summary);
}

std::vector<SeriesPoint> Downsampler::finish() {
  close_bucket();
  return std::move(points_);
}

std::uint64_t bucket_width(std::uint64_t steps, std::uint64_t points, std::size_t max_points) noexcept {
  if (std::min(steps, points) <= max_points) return 0;
  const std::uint64_t buckets = std::max<std::uint64_t>(max_points / Downsampler::kBucketPoints, 1);
  return steps / buckets + 1;
}

void add_nonfinite(std::vector<NonfiniteSteps>& stretches, const NonfiniteSteps& stretch, std::uint64_t width) {
  if (!stretches.empty() && stretch.first_step - stretches.back().last_step <= std::max<std::uint64_t>(width, 1)) {
    stretches.back().last_step = stretch.last_step;
    stretches.back().steps += stretch.steps;
  } else {
    stretches.push_back(stretch);
  }
}

}  // namespace vigil
