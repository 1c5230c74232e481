#include "vigil/monitor/range_count.h"

#include <cstring>

namespace vigil {
namespace {

template <class Bits, class Value>
std::uint64_t count(const void* data, std::size_t count, double least, double most, Value value) noexcept {
  const auto* const bytes = static_cast<const unsigned char*>(data);
  std::uint64_t outside = 0;
#pragma omp simd reduction(+ : outside)
  for (std::size_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
    const double x = value(bits);
    outside += static_cast<std::uint64_t>(x < least) + static_cast<std::uint64_t>(x > most);
  }
  return outside;
}

}  // namespace

std::uint64_t count_outside(DType dtype, const void* data, std::size_t elements, double least, double most) noexcept {
  switch (dtype) {
    case DType::float32: return count<float>(data, elements, least, most, [](float x) { return static_cast<double>(x); });
    case DType::float64: return count<double>(data, elements, least, most, [](double x) { return x; });
    case DType::bfloat16:
      return count<std::uint16_t>(data, elements, least, most, [](std::uint16_t x) { return static_cast<double>(float_from_bfloat16(x)); });
    case DType::float16:
      return count<std::uint16_t>(data, elements, least, most, [](std::uint16_t x) { return static_cast<double>(float_from_float16(x)); });
  }
  return 0;
}

}  // namespace vigil
