#include "vigil/inspection/element_numbers.h"

#include <cmath>
#include <limits>

#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

template <class Element, class Number>
void cast_all(const void* data, std::size_t count, Number* out) noexcept {
  const auto* const from = static_cast<const Element*>(data);
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<Number>(from[i]);
}

template <class Element, class Number, class Decode>
void decode_all(const void* data, std::size_t count, Number* out, Decode decode) noexcept {
  const auto* const from = static_cast<const Element*>(data);
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<Number>(decode(from[i]));
}

template <class Number>
void numbers_of(ElementType type, const void* data, std::size_t count, Number* out) noexcept {
  switch (type) {
    // As a byte, since one of a hostile file that is neither 0 nor 1 is no bool.
    case ElementType::boolean: decode_all<std::uint8_t>(data, count, out, [](std::uint8_t byte) { return byte != 0 ? 1 : 0; }); return;
    case ElementType::uint8: cast_all<std::uint8_t>(data, count, out); return;
    case ElementType::int8: cast_all<std::int8_t>(data, count, out); return;
    case ElementType::int16: cast_all<std::int16_t>(data, count, out); return;
    case ElementType::int32: cast_all<std::int32_t>(data, count, out); return;
    case ElementType::int64: cast_all<std::int64_t>(data, count, out); return;
    case ElementType::float16: decode_all<std::uint16_t>(data, count, out, float_from_float16); return;
    case ElementType::bfloat16: decode_all<std::uint16_t>(data, count, out, float_from_bfloat16); return;
    case ElementType::float32: cast_all<float>(data, count, out); return;
    case ElementType::float64: cast_all<double>(data, count, out); return;
    case ElementType::float8_e4m3: decode_all<std::uint8_t>(data, count, out, float_from_e4m3); return;
    case ElementType::float8_e5m2: decode_all<std::uint8_t>(data, count, out, float_from_e5m2); return;
    case ElementType::complex64:
    case ElementType::complex128:
    case ElementType::quint8:
    case ElementType::qint8:
    case ElementType::qint32: break;
  }
}

}  // namespace

bool has_values(ElementType type) noexcept {
  switch (type) {
    case ElementType::complex64:
    case ElementType::complex128:
    case ElementType::quint8:
    case ElementType::qint8:
    case ElementType::qint32: return false;
    default: return true;
  }
}

bool fits_float(ElementType type) noexcept {
  return type != ElementType::float64 && type != ElementType::int32 && type != ElementType::int64;
}

bool is_floating(ElementType type) noexcept {
  return statistics_type(type).has_value() || type == ElementType::float8_e4m3 || type == ElementType::float8_e5m2;
}

double smallest_normal(ElementType type) noexcept {
  switch (type) {
    case ElementType::float16:
    case ElementType::float8_e5m2: return 0x1p-14;
    case ElementType::float8_e4m3: return 0x1p-6;
    case ElementType::bfloat16:
    case ElementType::float32: return 0x1p-126;
    case ElementType::float64: return 0x1p-1022;
    default: return 0;
  }
}

float float_from_e4m3(std::uint8_t bits) noexcept {
  const int exponent = bits >> 3 & 15, fraction = bits & 7;
  if (exponent == 15 && fraction == 7) return std::numeric_limits<float>::quiet_NaN();
  const float magnitude = std::ldexp(static_cast<float>(exponent == 0 ? fraction : 8 + fraction), (exponent == 0 ? 1 : exponent) - 10);
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

// The upper half of a binary16.
float float_from_e5m2(std::uint8_t bits) noexcept { return float_from_float16(static_cast<std::uint16_t>(std::uint32_t{bits} << 8)); }

void to_numbers(ElementType type, const void* data, std::size_t count, float* out) noexcept { numbers_of(type, data, count, out); }
void to_numbers(ElementType type, const void* data, std::size_t count, double* out) noexcept { numbers_of(type, data, count, out); }

}  // namespace vigil
