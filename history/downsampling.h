// Series of any length as a bounded number of points, without losing an extreme.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace vigil {

struct SeriesPoint {
  std::uint64_t step = 0;
  std::int64_t time_ns = 0;
  double value = 0;
  /// Of a value that is not finite: how many such values it stands for, itself among them; else 0.
  std::uint64_t nonfinite = 0;
};

/// What is kept of several neighbouring points: of the finite ones the first, the smallest, the largest and the last, of the others the
/// first and their number.
struct PointSummary {
  std::optional<SeriesPoint> first, smallest, largest, last, nonfinite;

  /// Points that come after all that is there.
  void add(const SeriesPoint& point);
  void add(const PointSummary& later);
};

/// The points of a summary, each once, by step.
std::vector<SeriesPoint> points_in_order(const PointSummary& summary);

/// Makes buckets of at least `width` steps and keeps the summary of each, at most kBucketPoints points; of width 0 keeps every point.
/// Points come in the order of their steps. A point of a bucket may be more than one of its summary's.
class Downsampler {
 public:
  static constexpr std::size_t kBucketPoints = 5;

  /// Buckets begin at multiples of `width` from `first_step` on.
  Downsampler(std::uint64_t first_step, std::uint64_t width) : first_step_(first_step), width_(width) {}

  void add(const SeriesPoint& point);
  /// Points from `first_step` on that lie near each other: all of them come into the bucket of the first.
  void add(std::uint64_t first_step, const PointSummary& summary);
  /// All that is kept, in the order of the steps.
  std::vector<SeriesPoint> finish();

 private:
  void enter_bucket(std::uint64_t step);
  void close_bucket();

  std::uint64_t first_step_, width_;
  std::uint64_t bucket_begin_ = first_step_;
  PointSummary bucket_;
  std::vector<SeriesPoint> points_;
};

/// The least width with which `steps` steps make at most `max_points` points; 0 where as many points as steps do.
std::uint64_t bucket_width(std::uint64_t steps, std::uint64_t points, std::size_t max_points) noexcept;

/// Steps that were not finite: of a stretch the first, the last and how many of those between.
struct NonfiniteSteps {
  std::uint64_t first_step = 0, last_step = 0, steps = 0;
};

/// Adds a stretch behind the others; it becomes one with the last where less than `width` steps lie between them.
void add_nonfinite(std::vector<NonfiniteSteps>& stretches, const NonfiniteSteps& stretch, std::uint64_t width);

}  // namespace vigil
