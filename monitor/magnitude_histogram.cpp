#include "vigil/monitor/magnitude_histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace vigil {

double magnitude_bound(std::size_t i) noexcept { return std::ldexp(1.0, MagnitudeHistogram::kLowestExponent + static_cast<int>(i)); }

void merge(MagnitudeHistogram& into, const MagnitudeHistogram& other) noexcept {
  into.underflow += other.underflow;
  for (std::size_t i = 0; i < into.buckets.size(); ++i) into.buckets[i] += other.buckets[i];
  into.overflow += other.overflow;
}

double magnitude_quantile(const MagnitudeHistogram& histogram, const Moments& moments, double q) noexcept {
  const std::uint64_t n = finite_count(moments);
  if (n == 0) return std::numeric_limits<double>::quiet_NaN();
  const double largest = std::max(std::fabs(moments.min), std::fabs(moments.max));
  const double rank = std::clamp(std::ceil(q * static_cast<double>(n)), 1.0, static_cast<double>(n));
  double below = static_cast<double>(moments.zero_count);
  if (rank <= below) return 0;
  if (rank == static_cast<double>(n)) return largest;
  below += static_cast<double>(histogram.underflow);
  if (rank <= below) return std::min(magnitude_bound(0), largest);
  for (std::size_t i = 0; i < histogram.buckets.size(); ++i) {
    const double here = static_cast<double>(histogram.buckets[i]);
    if (rank <= below + here) return std::min(magnitude_bound(i) * std::exp2((rank - below - 0.5) / here), largest);
    below += here;
  }
  return largest;
}

}  // namespace vigil
