// How large the elements of a tensor are: exact counts by binary exponent, and the quantiles that follow from them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "vigil/monitor/moments.h"

namespace vigil {

/// Counts of the finite elements that are not zero, by the power of two below |x|; exact in every kernel, also for subnormals. Bounds are
/// those of Prometheus' `le`: a power of two itself counts in the bucket that it ends. Zeros are `Moments::zero_count`. Plain words, so
/// that it can lie in a ring.
struct MagnitudeHistogram {
  static constexpr std::size_t kBuckets = 32;
  /// 2^-28 to 2^4. Elements that a conversion to float16 would turn into 0 (at most 2^-25) are so on a bound, and so are its subnormals.
  static constexpr int kLowestExponent = -28;

  std::uint64_t underflow = 0;                    ///< 0 < |x| <= 2^kLowestExponent
  std::array<std::uint64_t, kBuckets> buckets{};  ///< [i]: magnitude_bound(i) < |x| <= magnitude_bound(i + 1)
  std::uint64_t overflow = 0;                     ///< 2^(kLowestExponent + kBuckets) < |x|, finite
};
static_assert(sizeof(MagnitudeHistogram) == 8 * (MagnitudeHistogram::kBuckets + 2), "lies in rings: its size is part of their layout");

/// 2^(kLowestExponent + i), for i from 0 to kBuckets: the lower bound of bucket i, the upper one of bucket i - 1.
double magnitude_bound(std::size_t i) noexcept;

/// Adds the counts of `other` to `into`.
void merge(MagnitudeHistogram& into, const MagnitudeHistogram& other) noexcept;

/// The q-quantile (0 <= q <= 1) of |x| over the finite elements that `moments` and `histogram` describe, zeros among them: interpolated
/// by the logarithm within the bucket that holds the true one (the element of rank ceil(q n), from 1), so at most a factor of 2 off either
/// way; exactly 0 where the true one is, exactly the largest |x| for q = 1, and never above it. In the underflow bucket the answer is its
/// upper bound, in the overflow bucket the largest |x|: there the factor is not bounded. NaN without a finite element.
double magnitude_quantile(const MagnitudeHistogram& histogram, const Moments& moments, double q) noexcept;

}  // namespace vigil
