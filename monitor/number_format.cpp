#include "vigil/monitor/number_format.h"

#include <algorithm>
#include <cmath>

namespace vigil {

FormatLoss loss_in(const NumberFormat& format, const MagnitudeHistogram& histogram, const Moments& moments) noexcept {
  std::uint64_t small = histogram.underflow, subnormal = 0, all = histogram.underflow + histogram.overflow;
  for (std::size_t i = 0; i < histogram.buckets.size(); ++i) {
    all += histogram.buckets[i];
    const int upper = MagnitudeHistogram::kLowestExponent + static_cast<int>(i) + 1;
    if (upper <= format.underflow) {
      small += histogram.buckets[i];
    } else if (upper <= format.smallest_normal) {
      subnormal += histogram.buckets[i];
    }
  }
  FormatLoss loss;
  const auto share = [all](std::uint64_t count) { return all == 0 ? 0 : static_cast<double>(count) / static_cast<double>(all); };
  // `largest` itself rounds to even, which is the infinity.
  if (std::max(std::fabs(moments.min), std::fabs(moments.max)) >= format.largest) loss.overflow = share(histogram.overflow);
  if (format.is_below_counted) return loss;
  loss.subnormal = share(subnormal);
  loss.underflow = share(small);
  return loss;
}

}  // namespace vigil
