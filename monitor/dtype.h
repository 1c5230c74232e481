// The element types that statistics are computed for, and how their bits become numbers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace vigil {

enum class DType : std::uint8_t { float32, float64, bfloat16, float16 };
inline constexpr std::array<std::string_view, 4> kDTypeNames{"float32", "float64", "bfloat16", "float16"};

/// Bytes of one element.
constexpr std::size_t element_size(DType dtype) noexcept {
  switch (dtype) {
    case DType::float32: return 4;
    case DType::float64: return 8;
    case DType::bfloat16:
    case DType::float16: return 2;
  }
  return 0;
}

/// Whether a number is NaN, asked of its exponent and fraction bits: `-ffast-math` in a user's build makes `std::isnan`
/// answer false for every value.
inline bool is_nan_bits(double value) noexcept {
  std::uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return (bits & 0x7fffffffffffffffULL) > 0x7ff0000000000000ULL;
}

/// Whether a number is neither NaN nor infinite, asked of its exponent bits for the same reason.
inline bool is_finite_bits(double value) noexcept {
  std::uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return (bits & 0x7ff0000000000000ULL) != 0x7ff0000000000000ULL;
}

/// The float with the same value as a bfloat16; exact, since bfloat16 is the upper half of a float.
inline float float_from_bfloat16(std::uint16_t bits) noexcept {
  const std::uint32_t wide = std::uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

/// The float with the same value as an IEEE 754 binary16; exact. Without branches, so that the compiler can vectorise it, and
/// without float subnormals, so that a thread that flushes them (`at::globalContext().setFlushDenormal`) gets the same answer.
inline float float_from_float16(std::uint16_t bits) noexcept {
  const std::uint32_t sign = (std::uint32_t{bits} & 0x8000u) << 16;
  const std::uint32_t magnitude = std::uint32_t{bits} & 0x7fffu;
  const float subnormal = static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24f;
  std::uint32_t subnormal_bits;
  std::memcpy(&subnormal_bits, &subnormal, sizeof subnormal_bits);
  // The biases differ by 127 - 15.
  const std::uint32_t normal = (magnitude << 13) + (112u << 23);
  const std::uint32_t nonfinite = (magnitude << 13) | 0x7f800000u;
  std::uint32_t wide = magnitude < 0x0400u ? subnormal_bits : normal;
  wide = magnitude >= 0x7c00u ? nonfinite : wide;
  wide |= sign;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

}  // namespace vigil
