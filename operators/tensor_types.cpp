#include "vigil/operators/tensor_types.h"

#include <stdexcept>
#include <string>

#include <ATen/Functions.h>

#include "vigil/operators/torch_version.h"

namespace vigil {

ElementType element_type_of(c10::ScalarType type) {
  switch (type) {
    case at::kBool: return ElementType::boolean;
    case at::kByte: return ElementType::uint8;
    case at::kChar: return ElementType::int8;
    case at::kShort: return ElementType::int16;
    case at::kInt: return ElementType::int32;
    case at::kLong: return ElementType::int64;
    case at::kHalf: return ElementType::float16;
    case at::kBFloat16: return ElementType::bfloat16;
    case at::kFloat: return ElementType::float32;
    case at::kDouble: return ElementType::float64;
    case at::kComplexFloat: return ElementType::complex64;
    case at::kComplexDouble: return ElementType::complex128;
    case at::kQUInt8: return ElementType::quint8;
    case at::kQInt8: return ElementType::qint8;
    case at::kQInt32: return ElementType::qint32;
#if VIGIL_TORCH_AT_LEAST(2, 1)
    case at::kFloat8_e4m3fn: return ElementType::float8_e4m3;
    case at::kFloat8_e5m2: return ElementType::float8_e5m2;
#endif
    default: throw std::invalid_argument(std::string("tensors of type ") + c10::toString(type) + " are not inspected");
  }
}

}  // namespace vigil
