#include "vigil/inspection/element_type.h"

namespace vigil {

std::string_view name_of(ElementType type) noexcept {
  switch (type) {
    case ElementType::boolean: return "bool";
    case ElementType::uint8: return "uint8";
    case ElementType::int8: return "int8";
    case ElementType::int16: return "int16";
    case ElementType::int32: return "int32";
    case ElementType::int64: return "int64";
    case ElementType::float16: return "float16";
    case ElementType::bfloat16: return "bfloat16";
    case ElementType::float32: return "float32";
    case ElementType::float64: return "float64";
    case ElementType::complex64: return "complex64";
    case ElementType::complex128: return "complex128";
    case ElementType::float8_e4m3: return "float8_e4m3fn";
    case ElementType::float8_e5m2: return "float8_e5m2";
    case ElementType::quint8: return "quint8";
    case ElementType::qint8: return "qint8";
    case ElementType::qint32: return "qint32";
  }
  return "";
}

std::size_t element_size(ElementType type) noexcept {
  switch (type) {
    case ElementType::boolean:
    case ElementType::uint8:
    case ElementType::int8:
    case ElementType::float8_e4m3:
    case ElementType::float8_e5m2:
    case ElementType::quint8:
    case ElementType::qint8: return 1;
    case ElementType::int16:
    case ElementType::float16:
    case ElementType::bfloat16: return 2;
    case ElementType::int32:
    case ElementType::float32:
    case ElementType::qint32: return 4;
    case ElementType::int64:
    case ElementType::float64:
    case ElementType::complex64: return 8;
    case ElementType::complex128: return 16;
  }
  return 0;
}

std::optional<DType> statistics_type(ElementType type) noexcept {
  switch (type) {
    case ElementType::float16: return DType::float16;
    case ElementType::bfloat16: return DType::bfloat16;
    case ElementType::float32: return DType::float32;
    case ElementType::float64: return DType::float64;
    default: return std::nullopt;
  }
}

}  // namespace vigil
