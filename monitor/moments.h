// What one pass over a tensor's memory yields, how two of them become one, and what is derived from them.
#pragma once

#include <cstdint>

namespace vigil {

/// Counts of all elements, and moments of the finite ones: a NaN is counted, and never reaches a sum. Plain words without
/// padding, so that a `Moments` can lie in a ring.
struct Moments {
  std::uint64_t count = 0;       ///< all elements
  std::uint64_t nan_count = 0;   ///< elements that are NaN
  std::uint64_t inf_count = 0;   ///< elements that are +Inf or -Inf
  std::uint64_t zero_count = 0;  ///< elements that are +0 or -0; denormals are not zeros
  double min = 0;                ///< smallest finite element; 0 without one
  double max = 0;                ///< largest finite element; 0 without one
  double mean = 0;               ///< mean of the finite elements; 0 without one
  double l1 = 0;                 ///< sum of |x|; +Inf where it exceeds the range of double
  double m2 = 0;                 ///< sum of (x - mean)², in units of 4^scale_exponent
  double sum_squares = 0;        ///< sum of x², in units of 4^scale_exponent
  /// 0 unless float64 elements lie so far from 1 that their squares leave the range of double.
  std::int64_t scale_exponent = 0;
};
static_assert(sizeof(Moments) == 88, "Moments lies in rings: its size is part of their layout");

/// Adds the elements that `other` describes to `into`. Counts, min and max are exact; sums are rounded once in double.
void merge(Moments& into, const Moments& other) noexcept;

/// Elements that are neither NaN nor infinite.
inline std::uint64_t finite_count(const Moments& m) noexcept { return m.count - m.nan_count - m.inf_count; }

/// sqrt(m2 / n) over the n finite elements (the population's standard deviation); NaN when there is none.
double standard_deviation(const Moments& m) noexcept;

/// sqrt(sum of x²) over the finite elements; 0 when there is none.
double l2_norm(const Moments& m) noexcept;

/// What the guard asks of a gradient on every step.
struct FiniteNorm {
  /// sqrt(sum of x²). With a NaN among the elements NaN, else with an infinity +Inf: as IEEE arithmetic would have it.
  double l2_norm = 0;
  bool all_finite = true;
};

/// Adds what `other` describes to `into`; a NaN stays visible beside an infinity.
void merge(FiniteNorm& into, const FiniteNorm& other) noexcept;

/// The guard's view of a reduction that was made for other reasons.
FiniteNorm finite_norm_of(const Moments& m) noexcept;

}  // namespace vigil
