#include "vigil/monitor/moments.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "vigil/monitor/dtype.h"

namespace vigil {

void merge(FiniteNorm& into, const FiniteNorm& other) noexcept {
  // hypot(Inf, NaN) is Inf.
  const bool has_nan = is_nan_bits(into.l2_norm) || is_nan_bits(other.l2_norm);
  into.l2_norm = has_nan ? std::numeric_limits<double>::quiet_NaN() : std::hypot(into.l2_norm, other.l2_norm);
  into.all_finite = into.all_finite && other.all_finite;
}

FiniteNorm finite_norm_of(const Moments& m) noexcept {
  if (m.nan_count > 0) return {std::numeric_limits<double>::quiet_NaN(), false};
  if (m.inf_count > 0) return {std::numeric_limits<double>::infinity(), false};
  return {l2_norm(m), true};
}

void merge(Moments& into, const Moments& other) noexcept {
  const std::uint64_t n_into = finite_count(into), n_other = finite_count(other);
  into.count += other.count;
  into.nan_count += other.nan_count;
  into.inf_count += other.inf_count;
  into.zero_count += other.zero_count;
  if (n_other == 0) return;
  if (n_into == 0) {
    into.min = other.min;
    into.max = other.max;
    into.mean = other.mean;
    into.l1 = other.l1;
    into.m2 = other.m2;
    into.sum_squares = other.sum_squares;
    into.scale_exponent = other.scale_exponent;
    return;
  }
  into.min = std::min(into.min, other.min);
  into.max = std::max(into.max, other.max);
  into.l1 += other.l1;

  // Zeros fit any unit, so they do not get a say in it.
  std::int64_t unit = std::max(into.scale_exponent, other.scale_exponent);
  if (into.sum_squares == 0) unit = other.scale_exponent;
  if (other.sum_squares == 0) unit = into.scale_exponent;
  const auto in_unit = [](double value, std::int64_t exponent) {
    return exponent == 0 ? value : std::ldexp(value, static_cast<int>(exponent));
  };
  const double n = static_cast<double>(n_into + n_other);
  const double mean_into = in_unit(into.mean, -unit);
  const double delta = in_unit(other.mean, -unit) - mean_into;
  into.mean = in_unit(mean_into + delta * (static_cast<double>(n_other) / n), unit);
  into.m2 = in_unit(into.m2, 2 * (into.scale_exponent - unit)) + in_unit(other.m2, 2 * (other.scale_exponent - unit)) +
            delta * delta * (static_cast<double>(n_into) * (static_cast<double>(n_other) / n));
  into.sum_squares =
      in_unit(into.sum_squares, 2 * (into.scale_exponent - unit)) + in_unit(other.sum_squares, 2 * (other.scale_exponent - unit));
  into.scale_exponent = unit;
}

double standard_deviation(const Moments& m) noexcept {
  const std::uint64_t n = finite_count(m);
  if (n == 0) return std::numeric_limits<double>::quiet_NaN();
  return std::ldexp(std::sqrt(m.m2 / static_cast<double>(n)), static_cast<int>(m.scale_exponent));
}

double l2_norm(const Moments& m) noexcept { return std::ldexp(std::sqrt(m.sum_squares), static_cast<int>(m.scale_exponent)); }

}  // namespace vigil
