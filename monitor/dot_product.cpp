#include "vigil/monitor/dot_product.h"

#include <cstdint>
#include <cstring>

namespace vigil {
namespace {

template <class Bits, class Value>
DotProduct sum_up(const void* x, const void* y, std::size_t count, Value value) noexcept {
  const auto *const x_bytes = static_cast<const unsigned char*>(x), *const y_bytes = static_cast<const unsigned char*>(y);
  double dot = 0, xx = 0, yy = 0;
#pragma omp simd reduction(+ : dot, xx, yy)
  for (std::size_t i = 0; i < count; ++i) {
    Bits x_bits, y_bits;
    std::memcpy(&x_bits, x_bytes + i * sizeof x_bits, sizeof x_bits);
    std::memcpy(&y_bits, y_bytes + i * sizeof y_bits, sizeof y_bits);
    const double a = value(x_bits), b = value(y_bits);
    dot += a * b;
    xx += a * a;
    yy += b * b;
  }
  return {dot, xx, yy};
}

}  // namespace

DotProduct compute_dot_product(DType dtype, const void* x, const void* y, std::size_t count) noexcept {
  switch (dtype) {
    case DType::float32: return sum_up<float>(x, y, count, [](float v) { return static_cast<double>(v); });
    case DType::float64: return sum_up<double>(x, y, count, [](double v) { return v; });
    case DType::bfloat16:
      return sum_up<std::uint16_t>(x, y, count, [](std::uint16_t v) { return static_cast<double>(float_from_bfloat16(v)); });
    case DType::float16:
      return sum_up<std::uint16_t>(x, y, count, [](std::uint16_t v) { return static_cast<double>(float_from_float16(v)); });
  }
  return {};
}

}  // namespace vigil
