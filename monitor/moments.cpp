#include "vigil/monitor/moments.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace vigil {
namespace {

constexpr std::size_t kBlock = 4096;  // 32 KiB of float64 at most: the second look at a block comes from the first-level cache
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// How the bits of an element type are read. NaN, Inf and zero are asked of the bits, so no compiler flag can decide otherwise.
struct Float32 {
  using Bits = std::uint32_t;
  static constexpr Bits kMagnitude = 0x7fffffffu, kExponent = 0x7f800000u;
  static double value(Bits bits) noexcept {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return static_cast<double>(x);
  }
};
struct Float64 {
  using Bits = std::uint64_t;
  static constexpr Bits kMagnitude = 0x7fffffffffffffffu, kExponent = 0x7ff0000000000000u;
  static double value(Bits bits) noexcept {
    double x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
  }
};
struct BFloat16 {
  using Bits = std::uint16_t;
  static constexpr Bits kMagnitude = 0x7fffu, kExponent = 0x7f80u;
  static double value(Bits bits) noexcept { return static_cast<double>(float_from_bfloat16(bits)); }
};
struct Float16 {
  using Bits = std::uint16_t;
  static constexpr Bits kMagnitude = 0x7fffu, kExponent = 0x7c00u;
  static double value(Bits bits) noexcept { return static_cast<double>(float_from_float16(bits)); }
};

template <class Element>
typename Element::Bits load(const unsigned char* data, std::size_t index) noexcept {
  typename Element::Bits bits;
  std::memcpy(&bits, data + index * sizeof bits, sizeof bits);  // any alignment
  return bits;
}

// The exponent to scale a block of float64 by, so that squares stay within double; 0 where they do anyhow.
int block_scale(const unsigned char* data, std::size_t count) noexcept {
  std::uint64_t largest = 0;
#pragma omp simd reduction(max : largest)
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t magnitude = load<Float64>(data, i) & Float64::kMagnitude;
    const std::uint64_t finite = magnitude < Float64::kExponent ? magnitude : 0;
    largest = std::max(largest, finite);
  }
  if (largest == 0) return 0;
  const int exponent = std::ilogb(Float64::value(largest));
  // 4096 squares of 2^400 and of 2^-400 are far inside the range. Beyond ±1000 the factor itself would leave it.
  return exponent >= -400 && exponent <= 400 ? 0 : std::clamp(exponent, -1000, 1000);
}

// One block, at most kBlock elements, looked at twice while it lies in the first-level cache.
template <class Element>
Moments block_moments(const unsigned char* data, std::size_t count, int scale_exponent) noexcept {
  using Bits = typename Element::Bits;
  const double scale = scale_exponent == 0 ? 1.0 : std::ldexp(1.0, -scale_exponent);
  std::uint64_t nan = 0, inf = 0, zero = 0;
  double least = kInfinity, largest = -kInfinity, sum = 0, magnitude_sum = 0, squares = 0;
#pragma omp simd reduction(+ : nan, inf, zero, sum, magnitude_sum, squares) reduction(min : least) reduction(max : largest)
  for (std::size_t i = 0; i < count; ++i) {
    const Bits bits = load<Element>(data, i);
    const Bits magnitude = bits & Element::kMagnitude;
    nan += magnitude > Element::kExponent;
    inf += magnitude == Element::kExponent;
    zero += magnitude == 0;
    const bool finite = magnitude < Element::kExponent;
    const double value = Element::value(bits);
    const double low = finite ? value : kInfinity, high = finite ? value : -kInfinity;
    least = low < least ? low : least;
    largest = high > largest ? high : largest;
    const double x = (finite ? value : 0.0) * scale;
    sum += x;
    magnitude_sum += std::fabs(x);
    squares += x * x;
  }
  Moments block;
  block.count = count;
  block.nan_count = nan;
  block.inf_count = inf;
  block.zero_count = zero;
  const std::uint64_t n = finite_count(block);
  if (n == 0) return block;

  // Of equal elements the mean is their value, whatever the sum was rounded to: a constant tensor has no deviation at all.
  const double mean = least == largest ? least * scale : sum / static_cast<double>(n);
  double deviations = 0;
#pragma omp simd reduction(+ : deviations)
  for (std::size_t i = 0; i < count; ++i) {
    const Bits bits = load<Element>(data, i);
    const bool finite = (bits & Element::kMagnitude) < Element::kExponent;
    const double deviation = finite ? Element::value(bits) * scale - mean : 0.0;
    deviations += deviation * deviation;
  }
  block.min = least;
  block.max = largest;
  block.mean = scale_exponent == 0 ? mean : std::ldexp(mean, scale_exponent);
  block.l1 = scale_exponent == 0 ? magnitude_sum : std::ldexp(magnitude_sum, scale_exponent);
  block.m2 = deviations;
  block.sum_squares = squares;
  block.scale_exponent = scale_exponent;
  return block;
}

template <class Element>
Moments reduce(const unsigned char* data, std::size_t count) noexcept {
  Moments total;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t size = std::min(kBlock, count - begin);
    const unsigned char* block = data + begin * sizeof(typename Element::Bits);
    int scale_exponent = 0;
    if constexpr (sizeof(typename Element::Bits) == 8) scale_exponent = block_scale(block, size);
    merge(total, block_moments<Element>(block, size, scale_exponent));
  }
  return total;
}

template <class Element>
double sum_of_squares(const unsigned char* data, std::size_t count) noexcept {
  double squares = 0;
#pragma omp simd reduction(+ : squares)
  for (std::size_t i = 0; i < count; ++i) {
    const double x = Element::value(load<Element>(data, i));
    squares += x * x;
  }
  return squares;
}

}  // namespace

Moments compute_moments(DType dtype, const void* data, std::size_t count) noexcept {
  const auto* bytes = static_cast<const unsigned char*>(data);
  switch (dtype) {
    case DType::float32: return reduce<Float32>(bytes, count);
    case DType::float64: return reduce<Float64>(bytes, count);
    case DType::bfloat16: return reduce<BFloat16>(bytes, count);
    case DType::float16: return reduce<Float16>(bytes, count);
  }
  return {};
}

FiniteNorm compute_finite_norm(DType dtype, const void* data, std::size_t count) noexcept {
  const auto* bytes = static_cast<const unsigned char*>(data);
  double squares = 0;
  switch (dtype) {
    case DType::float32: squares = sum_of_squares<Float32>(bytes, count); break;
    case DType::float64: squares = sum_of_squares<Float64>(bytes, count); break;
    case DType::bfloat16: squares = sum_of_squares<BFloat16>(bytes, count); break;
    case DType::float16: squares = sum_of_squares<Float16>(bytes, count); break;
  }
  // A NaN or an infinity among the elements makes the sum of their squares one too; squares of the narrower types cannot
  // leave the range of double, so for these a finite sum is the proof that all elements are finite.
  // Those of float64 can, on either side.
  const bool tells = is_finite_bits(squares) && (dtype != DType::float64 || squares >= 1e-280);
  return tells ? FiniteNorm{std::sqrt(squares), true} : finite_norm_of(compute_moments(dtype, data, count));
}

FiniteNorm finite_norm_of(const Moments& m) noexcept {
  if (m.nan_count > 0) return {std::numeric_limits<double>::quiet_NaN(), false};
  if (m.inf_count > 0) return {kInfinity, false};
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
