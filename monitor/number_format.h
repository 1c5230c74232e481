// What of a tensor's values a smaller floating-point format would lose, told from the counts that a sample makes anyway.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "vigil/monitor/magnitude_histogram.h"
#include "vigil/monitor/moments.h"

namespace vigil {

/// A binary floating-point format: IEEE 754 binary16, or bfloat16.
struct NumberFormat {
  std::string_view name;
  double largest = 0;             ///< largest |x| that rounds to a finite value (to nearest even): half a unit above the largest value
  int smallest_normal = 0;        ///< as a power of two
  int underflow = 0;              ///< |x| up to two to this power rounds to 0
  bool is_below_counted = false;  ///< its range goes further down than magnitudes are counted
};

/// binary16: largest value 65504, subnormals from 2^-24 on. bfloat16: largest value 255 * 2^120, exponents of float32.
inline constexpr std::array<NumberFormat, 2> kHalfFormats{{
    {"float16", 65520, -14, -25, false},
    {"bfloat16", 0x1.ffp127, -126, -134, true},
}};

/// Shares, 0 to 1, of the finite elements that are not zero; all 0 where there are none.
struct FormatLoss {
  /// Would become infinite. An upper bound: those above 2^4, where the largest is too large; else exactly 0.
  double overflow = 0;
  /// Would be subnormal, with fewer bits. A power of two counts in the bucket that it ends, so those that are just the smallest normal
  /// number are among them. Nothing where magnitudes are not counted so far down.
  std::optional<double> subnormal;
  std::optional<double> underflow;  ///< would become 0; likewise
};

/// `moments` and `histogram` are of the same elements.
FormatLoss loss_in(const NumberFormat& format, const MagnitudeHistogram& histogram, const Moments& moments) noexcept;

}  // namespace vigil
