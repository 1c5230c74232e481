// Element types of libtorch's tensors, as inspection/ has them.
#pragma once

#include <c10/core/ScalarType.h>

#include "vigil/inspection/element_type.h"

namespace vigil {

/// That of libtorch's scalar type. @throws std::invalid_argument for one that ElementType does not have
ElementType element_type_of(c10::ScalarType type);

}  // namespace vigil
