#include "vigil/inspection/element_values.h"

#include "vigil/inspection/element_numbers.h"

namespace vigil {

std::size_t numbers_of_element(ElementType type) noexcept {
  return type == ElementType::complex64 || type == ElementType::complex128 ? 2 : 1;
}

void convert_to_double(ElementType type, const void* data, std::size_t count, double* out) noexcept {
  switch (type) {
    case ElementType::complex64: return to_numbers(ElementType::float32, data, 2 * count, out);
    case ElementType::complex128: return to_numbers(ElementType::float64, data, 2 * count, out);
    case ElementType::quint8: return to_numbers(ElementType::uint8, data, count, out);
    case ElementType::qint8: return to_numbers(ElementType::int8, data, count, out);
    case ElementType::qint32: return to_numbers(ElementType::int32, data, count, out);
    default: return to_numbers(type, data, count, out);
  }
}

}  // namespace vigil
