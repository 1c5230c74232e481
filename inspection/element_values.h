// Elements of any type as numbers: beyond element_numbers.h also those that are two numbers, or integers with a scale elsewhere.
#pragma once

#include <cstddef>

#include "vigil/inspection/element_type.h"

namespace vigil {

/// How many numbers an element is: 2 for complex types, else 1.
std::size_t numbers_of_element(ElementType type) noexcept;

/// Converts `count` elements at `data`, aligned for their type, to `count * numbers_of_element(type)` doubles. Exact but for 64-bit
/// integers beyond 2^53. Of quantised types the stored integers. Any thread.
void convert_to_double(ElementType type, const void* data, std::size_t count, double* out) noexcept;

}  // namespace vigil
