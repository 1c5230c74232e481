#include "vigil/inspection/element_values.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

template <class Element>
void convert(const void* data, std::size_t count, double* out) noexcept {
  const auto* const elements = static_cast<const Element*>(data);
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<double>(elements[i]);
}

// Any byte may stand in a file.
void convert_bool(const void* data, std::size_t count, double* out) noexcept {
  const auto* const elements = static_cast<const std::uint8_t*>(data);
  for (std::size_t i = 0; i < count; ++i) out[i] = elements[i] != 0 ? 1 : 0;
}

// Micikevicius et al., "FP8 Formats for Deep Learning" (2022): E4M3 has no infinities, and one NaN of either sign; E5M2 is the upper half
// of a binary16.
double value_of_e4m3(std::uint8_t bits) noexcept {
  const int exponent = (bits >> 3) & 15, fraction = bits & 7;
  if (exponent == 15 && fraction == 7) return std::numeric_limits<double>::quiet_NaN();
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

double value_of_e5m2(std::uint8_t bits) noexcept {
  return static_cast<double>(float_from_float16(static_cast<std::uint16_t>(std::uint16_t{bits} << 8)));
}
double value_of_bfloat16(std::uint16_t bits) noexcept { return static_cast<double>(float_from_bfloat16(bits)); }
double value_of_float16(std::uint16_t bits) noexcept { return static_cast<double>(float_from_float16(bits)); }

template <class Bits>
void convert_by(double (*value)(Bits) noexcept, const void* data, std::size_t count, double* out) noexcept {
  const auto* const elements = static_cast<const Bits*>(data);
  for (std::size_t i = 0; i < count; ++i) out[i] = value(elements[i]);
}

}  // namespace

std::size_t numbers_of_element(ElementType type) noexcept {
  return type == ElementType::complex64 || type == ElementType::complex128 ? 2 : 1;
}

void convert_to_double(ElementType type, const void* data, std::size_t count, double* out) noexcept {
  switch (type) {
    case ElementType::boolean: return convert_bool(data, count, out);
    case ElementType::uint8:
    case ElementType::quint8: return convert<std::uint8_t>(data, count, out);
    case ElementType::int8:
    case ElementType::qint8: return convert<std::int8_t>(data, count, out);
    case ElementType::int16: return convert<std::int16_t>(data, count, out);
    case ElementType::int32:
    case ElementType::qint32: return convert<std::int32_t>(data, count, out);
    case ElementType::int64: return convert<std::int64_t>(data, count, out);
    case ElementType::float16: return convert_by(&value_of_float16, data, count, out);
    case ElementType::bfloat16: return convert_by(&value_of_bfloat16, data, count, out);
    case ElementType::float32: return convert<float>(data, count, out);
    case ElementType::float64: return convert<double>(data, count, out);
    case ElementType::complex64: return convert<float>(data, 2 * count, out);
    case ElementType::complex128: return convert<double>(data, 2 * count, out);
    case ElementType::float8_e4m3: return convert_by(&value_of_e4m3, data, count, out);
    case ElementType::float8_e5m2: return convert_by(&value_of_e5m2, data, count, out);
  }
}

}  // namespace vigil
