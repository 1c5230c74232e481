#include "vigil/monitor/number_format.h"

#include <algorithm>
#include <cmath>

namespace vigil {
namespace {

std::uint64_t nonzero(const MagnitudeHistogram& histogram) noexcept {
  std::uint64_t all = histogram.underflow + histogram.overflow;
  for (const std::uint64_t count : histogram.buckets) all += count;
  return all;
}

double share(double count, std::uint64_t all) noexcept { return all == 0 ? 0 : count / static_cast<double>(all); }

double largest_magnitude(const Moments& moments) noexcept { return std::max(std::fabs(moments.min), std::fabs(moments.max)); }

bool overflows(const NumberFormat& format, double magnitude) noexcept {
  return !format.is_uniform && (format.largest_overflows ? magnitude >= format.largest : magnitude > format.largest);
}

FormatLoss loss_in_steps(const MagnitudeHistogram& histogram, const Moments& moments) noexcept {
  FormatLoss loss;
  loss.subnormal = 0;
  const std::uint64_t all = nonzero(histogram);
  const double largest = largest_magnitude(moments), border = largest / 254;
  if (all > 0 && (border < magnitude_bound(0) || border > magnitude_bound(MagnitudeHistogram::kBuckets))) return loss;
  double below = static_cast<double>(histogram.underflow), error = 0;
  constexpr std::size_t kBuckets = MagnitudeHistogram::kBuckets;
  for (std::size_t i = 0; i < kBuckets && all > 0; ++i) {
    const double lower = magnitude_bound(i);
    if (border <= lower) break;
    const auto here = static_cast<double>(histogram.buckets[i]);
    const double upper = magnitude_bound(i + 1);
    const double part = std::min((border - lower) / (upper - lower), 1.0);
    below += here * part;
    if (part < 1) error = here * std::max(part, 1 - part);
  }
  loss.underflow = share(below, all);
  loss.underflow_error = share(error, all);
  return loss;
}

bool is_within(const NumberFormat& format, const FormatLoss& loss, const PrecisionThresholds& thresholds) noexcept {
  const double underflow = format.is_uniform ? thresholds.int8_underflow : thresholds.underflow;
  return loss.overflow == 0 && loss.underflow && *loss.underflow <= underflow && loss.subnormal && *loss.subnormal <= thresholds.subnormal;
}

// With what is not counted as lost as it can be.
FormatLoss bound_of_loss(const NumberFormat& format, const MagnitudeHistogram& histogram, const Moments& moments, int scale) noexcept {
  FormatLoss loss = loss_in(format, histogram, moments, scale);
  const double small = share(static_cast<double>(histogram.underflow), nonzero(histogram));
  const bool is_above = format.is_uniform && largest_magnitude(moments) / 254 > magnitude_bound(MagnitudeHistogram::kBuckets);
  if (!loss.underflow) loss.underflow = is_above ? 1 : small;
  if (!loss.subnormal) loss.subnormal = small;
  return loss;
}

}  // namespace

FormatLoss loss_in(const NumberFormat& format, const MagnitudeHistogram& histogram, const Moments& moments, int scale) noexcept {
  if (format.is_uniform) return loss_in_steps(histogram, moments);
  const int underflow = format.underflow - scale, smallest_normal = format.smallest_normal - scale;
  const std::uint64_t all = nonzero(histogram);
  const bool has_overflow = overflows(format, std::ldexp(largest_magnitude(moments), scale));
  std::uint64_t small = histogram.underflow, subnormal = 0, large = histogram.overflow;
  for (std::size_t i = 0; i < histogram.buckets.size(); ++i) {
    const int upper = MagnitudeHistogram::kLowestExponent + static_cast<int>(i) + 1;
    if (upper <= underflow) {
      small += histogram.buckets[i];
    } else if (upper <= smallest_normal) {
      subnormal += histogram.buckets[i];
    }
    // Never without a scale: no format ends below 2^4.
    if (std::ldexp(1.0, upper + scale) > format.largest) large += histogram.buckets[i];
  }
  FormatLoss loss;
  if (has_overflow) loss.overflow = share(static_cast<double>(large), all);
  if (format.is_below_counted) return loss;
  const bool is_underflow_counted = underflow >= MagnitudeHistogram::kLowestExponent;
  if (is_underflow_counted) loss.underflow = share(static_cast<double>(small), all);
  // With what becomes 0 where the two cannot be told apart.
  if (smallest_normal >= MagnitudeHistogram::kLowestExponent)
    loss.subnormal = share(static_cast<double>(is_underflow_counted ? subnormal : subnormal + histogram.underflow), all);
  return loss;
}

std::string_view name_of(FormatVerdict verdict) noexcept {
  switch (verdict) {
    case FormatVerdict::safe: return "safe";
    case FormatVerdict::safe_scaled: return "safe when scaled";
    case FormatVerdict::unsafe: return "unsafe";
    case FormatVerdict::out_of_sight: return "out of sight";
  }
  return "";
}

PrecisionAdvice advise(const MagnitudeHistogram& histogram, const Moments& moments, const PrecisionThresholds& thresholds) noexcept {
  PrecisionAdvice advice;
  const double largest = largest_magnitude(moments);
  for (std::size_t i = 0; i < kNumberFormats.size(); ++i) {
    const NumberFormat& format = kNumberFormats[i];
    FormatAdvice& one = advice[i];
    one.loss = loss_in(format, histogram, moments);
    if (is_within(format, bound_of_loss(format, histogram, moments, 0), thresholds)) continue;
    const bool is_untold = one.loss.overflow == 0 && (!one.loss.underflow || !one.loss.subnormal);
    one.verdict = is_untold ? FormatVerdict::out_of_sight : FormatVerdict::unsafe;
    if (format.is_uniform || format.is_below_counted || !(largest > 0)) continue;
    int scale = std::ilogb(format.largest) - std::ilogb(largest);
    while (overflows(format, std::ldexp(largest, scale))) --scale;
    const FormatLoss scaled = bound_of_loss(format, histogram, moments, scale);
    if (!is_within(format, scaled, thresholds)) continue;
    one.verdict = FormatVerdict::safe_scaled;
    one.scale = scale;
    one.scaled = scaled;
  }
  return advice;
}

}  // namespace vigil
