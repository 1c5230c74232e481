// A kernel density estimate from counts on a grid.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "vigil/inspection/tensor_distribution.h"

namespace vigil {

/// h of Density; 0 where there is none: without two different elements, or where it underflows.
double silverman_bandwidth(double standard_deviation, double interquartile_range, std::uint64_t count) noexcept;

/// Elements distributed linearly over points with equal distances.
class DensityGrid {
 public:
  /// `lower` < `upper`, their difference finite; at least two points.
  DensityGrid(double lower, double upper, std::size_t points);

  /// `numbers` are within the grid.
  template <class Number>
  void add(const Number* numbers, std::size_t count) noexcept {
    const double last = static_cast<double>(weights_.size() - 2);
    for (std::size_t i = 0; i < count; ++i) {
      const double place = (static_cast<double>(numbers[i]) - lower_) * per_unit_;
      const auto at = static_cast<std::size_t>(std::clamp(place, 0.0, last));
      const double part = place - static_cast<double>(at);
      weights_[at] += 1 - part;
      weights_[at + 1] += part;
    }
    count_ += count;
  }

  double distance() const noexcept { return distance_; }
  /// At `points` points.
  Density density(double bandwidth, std::size_t points) const;

 private:
  double lower_, upper_, distance_, per_unit_;
  std::vector<double> weights_;
  std::uint64_t count_ = 0;
};

}  // namespace vigil
