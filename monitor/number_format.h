// What of a tensor's values a smaller number format would lose, told from the counts that a sample makes anyway.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "vigil/monitor/magnitude_histogram.h"
#include "vigil/monitor/moments.h"

namespace vigil {

/// A binary floating-point format, or int8.
struct NumberFormat {
  std::string_view name;
  double largest = 0;             ///< |x| above it do not round (to nearest even) to a finite value
  bool largest_overflows = true;  ///< half way between the largest value and what would follow: `largest` itself rounds away from it
  int smallest_normal = 0;        ///< as a power of two
  int underflow = 0;              ///< |x| up to two to this power rounds to 0
  bool is_below_counted = false;  ///< its range goes further down than magnitudes are counted
  bool is_uniform = false;        ///< int8: multiples of the largest |x| / 127, so nothing overflows
};

/// binary16: largest value 65504, subnormals from 2^-24 on. bfloat16: largest value 255 * 2^120, exponents of float32. The 8-bit formats
/// after the OCP 8-bit Floating Point Specification (2023): E4M3 (FN: no infinities, what is too large becomes NaN) up to 448, subnormals
/// from 2^-9 on; E5M2 up to 57344, subnormals from 2^-16 on. int8: symmetric, one scale for a tensor.
inline constexpr std::array<NumberFormat, 5> kNumberFormats{{
    {"float16", 65520, true, -14, -25, false, false},
    {"bfloat16", 0x1.ffp127, true, -126, -134, true, false},
    {"float8_e4m3", 464, false, -6, -10, false, false},
    {"float8_e5m2", 61440, true, -14, -17, false, false},
    {"int8", 0, false, 0, 0, false, true},
}};

/// Shares, 0 to 1, of the finite elements that are not zero; all 0 where there are none. Magnitudes are counted from 2^-28 to 2^4: a border
/// of the format beyond that, as a scale may move it, leaves a share empty unless nothing lies above 2^4.
struct FormatLoss {
  /// Would become infinite, or NaN in E4M3. An upper bound: those above 2^4, where the largest is too large; else exactly 0. With a scale
  /// those above the power of two below the border, or all where that is not counted.
  double overflow = 0;
  /// Would be subnormal, with fewer bits: |x| up to the smallest normal number. So those that are just that number are among them, as a
  /// power of two counts in the bucket that it ends, and those just below that round up to it. 0 for int8.
  std::optional<double> subnormal;
  /// Would become 0; exact for the floating-point formats. For int8, where the border is the largest |x| / 254, interpolated linearly
  /// within the bucket that it lies in, and so off by at most `underflow_error`. Nothing for int8 where the largest |x| is below
  /// 254 * 2^-28 or above 254 * 2^4.
  std::optional<double> underflow;
  double underflow_error = 0;  ///< 0: exact
};

/// `moments` and `histogram` are of the same elements, which are multiplied by 2^scale before they are converted (which changes nothing
/// for int8).
FormatLoss loss_in(const NumberFormat& format, const MagnitudeHistogram& histogram, const Moments& moments, int scale = 0) noexcept;

/// By kNumberFormats. `type` is that of the elements, as kDTypeNames has it: in a format of that name nothing is lost.
using FormatLosses = std::array<FormatLoss, kNumberFormats.size()>;
FormatLosses losses_in(const MagnitudeHistogram& histogram, const Moments& moments, std::string_view type = {}) noexcept;

/// Of elements whose magnitudes are not counted, the share (0 to 1) of the finite ones other than zero that would overflow: exactly 0 where
/// the largest does not; else an upper bound, after Markov's inequality sum(x²) / (n largest²). 0 for int8, and without such an element.
double overflow_bound(const NumberFormat& format, const Moments& moments) noexcept;

/// What one may lose.
struct PrecisionThresholds {
  double underflow = 0.001;  ///< share that becomes 0; of it, as of the next, at most
  double subnormal = 0.01;   ///< share that keeps fewer bits
  /// Share that becomes 0 in int8, whose steps are all equal: what matters is how far out the largest |x| lies. 0.05 of a normal
  /// distribution become 0 where that is 16 standard deviations, and the noise of rounding is 29 dB below the values.
  double int8_underflow = 0.05;
};

enum class FormatVerdict : std::uint8_t {
  safe,          ///< as it is
  safe_scaled,   ///< after a multiplication by 2^scale
  unsafe,        ///< either way, as far as magnitudes are counted
  out_of_sight,  ///< nothing overflows, and magnitudes are not counted so far down (for int8: or up) that more could be said
};
/// "safe", "safe when scaled", "unsafe", "out of sight".
std::string_view name_of(FormatVerdict verdict) noexcept;
/// The same as values of labels and in JSON.
inline constexpr std::array<std::string_view, 4> kFormatVerdictNames{"safe", "safe_scaled", "unsafe", "out_of_sight"};

struct FormatAdvice {
  FormatLoss loss;  ///< without scaling
  FormatVerdict verdict = FormatVerdict::safe;
  int scale = 0;        ///< 0 unless the verdict is safe_scaled; the largest |x| then comes as far up as the format goes
  FormatLoss scaled{};  ///< with it
};

/// By kNumberFormats. A format is safe where nothing overflows and no share is above its threshold. bfloat16 goes as far down as float32:
/// it is out of sight only where elements lie below 2^-28. NaN and infinities have no say; see `moments`. `type` as in losses_in.
using PrecisionAdvice = std::array<FormatAdvice, kNumberFormats.size()>;
PrecisionAdvice advise(const MagnitudeHistogram& histogram, const Moments& moments, std::string_view type = {},
                       const PrecisionThresholds& thresholds = {}) noexcept;

}  // namespace vigil
