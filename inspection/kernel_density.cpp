#include "vigil/inspection/kernel_density.h"

#include <cmath>

namespace vigil {
namespace {

constexpr double kReach = 6.5;  // bandwidths
constexpr double kSqrtTwoPi = 2.5066282746310002;

}  // namespace

double silverman_bandwidth(double standard_deviation, double interquartile_range, std::uint64_t count) noexcept {
  if (count < 2 || !(standard_deviation > 0)) return 0;
  const double spread = interquartile_range > 0 ? std::min(standard_deviation, interquartile_range / 1.34) : standard_deviation;
  return 0.9 * spread * std::pow(static_cast<double>(count), -0.2);
}

DensityGrid::DensityGrid(double lower, double upper, std::size_t points)
    : lower_(lower),
      upper_(upper),
      distance_((upper - lower) / static_cast<double>(points - 1)),
      per_unit_(static_cast<double>(points - 1) / (upper - lower)),
      weights_(points, 0) {}

Density DensityGrid::density(double bandwidth, std::size_t points) const {
  Density density;
  density.bandwidth = bandwidth;
  density.lower = lower_ - 3 * bandwidth;
  density.upper = upper_ + 3 * bandwidth;
  const double step = (density.upper - density.lower) / static_cast<double>(points - 1);
  const double height = 1 / (static_cast<double>(count_) * bandwidth * kSqrtTwoPi);
  density.values.reserve(points);
  for (std::size_t i = 0; i < points; ++i) {
    const double x = density.lower + static_cast<double>(i) * step;
    const double last = static_cast<double>(weights_.size() - 1);
    const double begin = std::ceil((x - kReach * bandwidth - lower_) * per_unit_),
                 end = std::floor((x + kReach * bandwidth - lower_) * per_unit_);
    double sum = 0;
    if (begin <= last && end >= 0) {
      for (auto at = static_cast<std::size_t>(std::max(begin, 0.0)); at <= static_cast<std::size_t>(std::min(end, last)); ++at) {
        if (weights_[at] == 0) continue;
        const double distance = (x - (lower_ + static_cast<double>(at) * distance_)) / bandwidth;
        sum += weights_[at] * std::exp(-0.5 * distance * distance);
      }
    }
    density.values.push_back(sum * height);
  }
  const double fine = distance_ / bandwidth;
  density.error = (fine * fine / (8 * kSqrtTwoPi) + 1e-9) / bandwidth;
  return density;
}

}  // namespace vigil
