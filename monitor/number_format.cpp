#include "vigil/monitor/number_format.h"

#include <algorithm>
#include <cmath>

#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

constexpr int kBuckets = static_cast<int>(MagnitudeHistogram::kBuckets);
constexpr int kLowest = MagnitudeHistogram::kLowestExponent, kHighest = kLowest + kBuckets;

// How many of the elements are at most as large as the bounds of buckets, so that no format has to go through the buckets again.
class CountsBelow {
 public:
  explicit CountsBelow(const MagnitudeHistogram& histogram) noexcept {
    std::uint64_t count = at_most_[0] = histogram.underflow;
    for (std::size_t i = 0; i < MagnitudeHistogram::kBuckets; ++i) at_most_[i + 1] = count += histogram.buckets[i];
    all_ = count + histogram.overflow;
  }
  std::uint64_t all() const noexcept { return all_; }
  // Where it tells how many elements are at most 2^exponent.
  bool are_told(int exponent) const noexcept { return exponent >= kLowest && (exponent <= kHighest || at_most_.back() == all_); }
  // |x| <= 2^exponent; beyond what is counted, as at its end.
  std::uint64_t at_most(int exponent) const noexcept {
    return at_most_[static_cast<std::size_t>(std::clamp(exponent, kLowest, kHighest) - kLowest)];
  }
  std::uint64_t uncounted_below() const noexcept { return at_most_[0]; }

 private:
  std::array<std::uint64_t, MagnitudeHistogram::kBuckets + 1> at_most_{};
  std::uint64_t all_ = 0;
};

double share(double count, std::uint64_t all) noexcept { return all == 0 ? 0 : count / static_cast<double>(all); }

double largest_magnitude(const Moments& moments) noexcept { return std::max(std::fabs(moments.min), std::fabs(moments.max)); }

bool overflows(const NumberFormat& format, double magnitude) noexcept {
  return !format.is_uniform && (format.largest_overflows ? magnitude >= format.largest : magnitude > format.largest);
}

FormatLoss loss_in_steps(const CountsBelow& counts, double largest) noexcept {
  FormatLoss loss;
  loss.subnormal = 0;
  if (counts.all() == 0) {
    loss.underflow = 0;
    return loss;
  }
  const double border = largest / 254;
  // Nor where it is no number: moments may come from a file.
  if (!(border >= magnitude_bound(0) && border <= magnitude_bound(MagnitudeHistogram::kBuckets))) return loss;
  const int exponent = std::ilogb(border);  // of the bound below it
  const auto here = static_cast<double>(counts.at_most(exponent + 1) - counts.at_most(exponent));
  const double part = std::ldexp(border, -exponent) - 1;
  loss.underflow = share(static_cast<double>(counts.at_most(exponent)) + here * part, counts.all());
  loss.underflow_error = part > 0 ? share(here * std::max(part, 1 - part), counts.all()) : 0;
  return loss;
}

FormatLoss loss_of(const NumberFormat& format, const CountsBelow& counts, double largest, int scale) noexcept {
  if (format.is_uniform) return loss_in_steps(counts, largest);
  const int underflow = format.underflow - scale, smallest_normal = format.smallest_normal - scale;
  FormatLoss loss;
  // Buckets that end above what is the largest there; without a scale none does: no format ends below 2^4.
  if (overflows(format, std::ldexp(largest, scale))) {
    const int border = std::ilogb(format.largest) - scale;
    loss.overflow = share(static_cast<double>(counts.all() - (border < kLowest ? 0 : counts.at_most(border))), counts.all());
  }
  if (format.is_below_counted) return loss;
  const bool is_underflow_counted = counts.are_told(underflow);
  if (is_underflow_counted) loss.underflow = share(static_cast<double>(counts.at_most(underflow)), counts.all());
  // With what becomes 0 where the two cannot be told apart.
  if (counts.are_told(smallest_normal) && (is_underflow_counted || underflow < kLowest)) {
    const std::uint64_t small = counts.at_most(smallest_normal);
    loss.subnormal = share(static_cast<double>(is_underflow_counted ? small - counts.at_most(underflow) : small), counts.all());
  }
  return loss;
}

bool is_within(const NumberFormat& format, const FormatLoss& loss, const PrecisionThresholds& thresholds) noexcept {
  const double underflow = format.is_uniform ? thresholds.int8_underflow : thresholds.underflow;
  return loss.overflow == 0 && loss.underflow && *loss.underflow <= underflow && loss.subnormal && *loss.subnormal <= thresholds.subnormal;
}

// With what is not counted as lost as it can be.
FormatLoss bound_of(FormatLoss loss, const NumberFormat& format, const CountsBelow& counts, double largest, int scale = 0) noexcept {
  const double small = share(static_cast<double>(counts.uncounted_below()), counts.all());
  const bool is_step_above = format.is_uniform && largest / 254 > magnitude_bound(MagnitudeHistogram::kBuckets);
  // A border above what is counted: all that is counted lies below it, and what lies above may.
  const auto is_above = [&](int border) { return !format.is_uniform && border - scale > kHighest; };
  if (!loss.underflow) loss.underflow = is_step_above || is_above(format.underflow) ? 1 : small;
  if (!loss.subnormal) loss.subnormal = is_above(format.smallest_normal) ? 1 - *loss.underflow : small;
  return loss;
}

// Of a tensor in its own type, which it cannot but fit.
FormatLoss no_loss_in(const NumberFormat& format) noexcept {
  FormatLoss loss;
  if (!format.is_below_counted) loss.underflow = loss.subnormal = 0;
  return loss;
}

}  // namespace

FormatLoss loss_in(const NumberFormat& format, const MagnitudeHistogram& histogram, const Moments& moments, int scale) noexcept {
  return loss_of(format, CountsBelow(histogram), largest_magnitude(moments), scale);
}

FormatLosses losses_in(const MagnitudeHistogram& histogram, const Moments& moments, std::string_view type) noexcept {
  FormatLosses losses;
  const CountsBelow counts(histogram);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const NumberFormat& format = kNumberFormats[i];
    losses[i] = format.name == type ? no_loss_in(format) : loss_of(format, counts, largest_magnitude(moments), 0);
  }
  return losses;
}

double overflow_bound(const NumberFormat& format, const Moments& moments) noexcept {
  if (!overflows(format, largest_magnitude(moments))) return 0;
  const auto nonzero = static_cast<double>(finite_count(moments) - moments.zero_count);
  const double norm = l2_norm(moments) / format.largest;
  return nonzero > 0 ? std::min(norm * norm / nonzero, 1.0) : 0;
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

PrecisionAdvice advise(const MagnitudeHistogram& histogram, const Moments& moments, std::string_view type,
                       const PrecisionThresholds& thresholds) noexcept {
  PrecisionAdvice advice;
  const CountsBelow counts(histogram);
  const double largest = largest_magnitude(moments);
  for (std::size_t i = 0; i < kNumberFormats.size(); ++i) {
    const NumberFormat& format = kNumberFormats[i];
    FormatAdvice& one = advice[i];
    if (format.name == type) {
      one.loss = no_loss_in(format);
      continue;
    }
    one.loss = loss_of(format, counts, largest, 0);
    if (is_within(format, bound_of(one.loss, format, counts, largest), thresholds)) continue;
    const bool is_untold = one.loss.overflow == 0 && (!one.loss.underflow || !one.loss.subnormal);
    one.verdict = is_untold ? FormatVerdict::out_of_sight : FormatVerdict::unsafe;
    // Moments may come from a file, which may say anything.
    if (format.is_uniform || format.is_below_counted || !is_finite_bits(largest) || !(largest > 0)) continue;
    int scale = std::ilogb(format.largest) - std::ilogb(largest);
    while (overflows(format, std::ldexp(largest, scale))) --scale;
    const FormatLoss scaled = bound_of(loss_of(format, counts, largest, scale), format, counts, largest, scale);
    if (!is_within(format, scaled, thresholds)) continue;
    one.verdict = FormatVerdict::safe_scaled;
    one.scale = scale;
    one.scaled = scaled;
  }
  return advice;
}

}  // namespace vigil
