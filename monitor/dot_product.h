// The scalar product of two tensors.
#pragma once

#include <cstddef>

#include "vigil/monitor/dtype.h"

namespace vigil {

struct DotProduct {
  double dot = 0;                             ///< sum of x y
  double squares_of_x = 0, squares_of_y = 0;  ///< sums of x² and y²
};

/// Of `count` elements at `x` and at `y`, of the same type, at any alignment; null when there is none. All sums in double: of float32 and
/// narrower types each product is exact, and the relative error against sum |x y| is below count · 2⁻⁵³. An element that is not finite
/// makes the sums so. Of float64 elements beyond 1e±150 the sums may leave the range of double. Allocates nothing and throws nothing. Any
/// thread.
DotProduct compute_dot_product(DType dtype, const void* x, const void* y, std::size_t count) noexcept;

}  // namespace vigil
