// The element types of libtorch's tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "vigil/monitor/dtype.h"

namespace vigil {

/// Of a tensor in memory or in a file, libtorch 1.13 to 2.x.
enum class ElementType : std::uint8_t {
  boolean,
  uint8,
  int8,
  int16,
  int32,
  int64,
  float16,
  bfloat16,
  float32,
  float64,
  complex64,   ///< two float32
  complex128,  ///< two float64
  float8_e4m3,
  float8_e5m2,
  quint8,  ///< affine quantised; so are the next two
  qint8,
  qint32,
};

/// As libtorch prints it without its namespace: "float32", "int64", "bool", "float8_e4m3fn".
std::string_view name_of(ElementType type) noexcept;
/// Bytes of one element.
std::size_t element_size(ElementType type) noexcept;
/// Of the types that monitor/ reduces; none for the others.
std::optional<DType> statistics_type(ElementType type) noexcept;

}  // namespace vigil
