// How much of a tensor lies where a function is flat.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vigil/monitor/dtype.h"

namespace vigil {

/// Elements below `least` or above `most`, infinities among them; a NaN is neither. `data` holds `count` elements at any alignment, null
/// when there is none. Compares in double. Allocates nothing and throws nothing. Any thread.
std::uint64_t count_outside(DType dtype, const void* data, std::size_t count, double least, double most) noexcept;

}  // namespace vigil
