// The elements of a tensor as numbers, whatever their type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vigil/inspection/element_type.h"

namespace vigil {

/// Whether elements of this type are numbers by themselves: not complex, and not quantised, where they need a scale.
bool has_values(ElementType type) noexcept;
/// Whether float holds each value exactly: all but float64, int32 and int64.
bool fits_float(ElementType type) noexcept;
/// Whether the type has NaN: a floating-point type.
bool is_floating(ElementType type) noexcept;
/// Below it the nonzero magnitudes of the type are subnormal; 0 where it has none.
double smallest_normal(ElementType type) noexcept;

/// The number that an OCP 8-bit float stands for; exact. "OCP 8-bit Floating Point Specification (OFP8)", revision 1.0: E4M3 has no
/// infinities, and NaN is S.1111.111; E5M2 follows IEEE 754.
float float_from_e4m3(std::uint8_t bits) noexcept;
float float_from_e5m2(std::uint8_t bits) noexcept;

/// `count` elements at `data`, aligned for their type, as numbers. `type` has values. To float exactly where it fits, else rounded to
/// nearest; to double exactly but for int64 beyond 2^53.
void to_numbers(ElementType type, const void* data, std::size_t count, float* out) noexcept;
void to_numbers(ElementType type, const void* data, std::size_t count, double* out) noexcept;

}  // namespace vigil
