// Scalar products and counts of what lies outside a range, against long double, for every element type.
#include "vigil/monitor/dot_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "vigil/monitor/range_count.h"

namespace vigil {
namespace {

// Random elements of a type, and their values.
struct Elements {
  std::vector<unsigned char> bytes;
  std::vector<double> values;
};

template <class Bits, class Value>
Elements make(std::size_t count, std::mt19937& random, Value value) {
  Elements made;
  made.bytes.resize(count * sizeof(Bits) + 1);  // one more, to begin at any address
  std::normal_distribution<float> normal(0, 10);
  for (std::size_t i = 0; i < count; ++i) {
    Bits bits{};
    if constexpr (sizeof(Bits) == 2) {
      do {
        bits = static_cast<Bits>(random());
      } while (!std::isfinite(value(bits)) || std::fabs(value(bits)) > 1000);
    } else {
      bits = static_cast<Bits>(normal(random));
    }
    std::memcpy(&made.bytes[1 + i * sizeof bits], &bits, sizeof bits);
    made.values.push_back(value(bits));
  }
  return made;
}

Elements make(DType dtype, std::size_t count, std::mt19937& random) {
  switch (dtype) {
    case DType::float32: return make<float>(count, random, [](float x) { return static_cast<double>(x); });
    case DType::float64: return make<double>(count, random, [](double x) { return x; });
    case DType::bfloat16:
      return make<std::uint16_t>(count, random, [](std::uint16_t x) { return static_cast<double>(float_from_bfloat16(x)); });
    case DType::float16:
      return make<std::uint16_t>(count, random, [](std::uint16_t x) { return static_cast<double>(float_from_float16(x)); });
  }
  return {};
}

class OfType : public testing::TestWithParam<DType> {};

TEST_P(OfType, DotProductIsThatOfLongDouble) {
  std::mt19937 random(3);
  for (const std::size_t count : {0, 1, 7, 64, 1000, 4097}) {
    const Elements x = make(GetParam(), count, random), y = make(GetParam(), count, random);
    long double dot = 0, magnitudes = 0, xx = 0, yy = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const long double a = x.values[i], b = y.values[i];
      dot += a * b;
      magnitudes += std::fabs(a * b);
      xx += a * a;
      yy += b * b;
    }
    const DotProduct product = compute_dot_product(GetParam(), x.bytes.data() + 1, y.bytes.data() + 1, count);
    const double bound = static_cast<double>(count) * 0x1p-53;
    EXPECT_NEAR(product.dot, static_cast<double>(dot), bound * static_cast<double>(magnitudes));
    EXPECT_NEAR(product.squares_of_x, static_cast<double>(xx), bound * static_cast<double>(xx));
    EXPECT_NEAR(product.squares_of_y, static_cast<double>(yy), bound * static_cast<double>(yy));
  }
}

TEST_P(OfType, CountOutsideIsExact) {
  std::mt19937 random(5);
  for (const std::size_t count : {0, 1, 7, 64, 1000, 4097}) {
    const Elements x = make(GetParam(), count, random);
    std::uint64_t outside = 0;
    for (const double value : x.values) outside += value < -2.5 || value > 9.4999;
    EXPECT_EQ(count_outside(GetParam(), x.bytes.data() + 1, count, -2.5, 9.4999), outside);
  }
}

INSTANTIATE_TEST_SUITE_P(Every, OfType, testing::Values(DType::float32, DType::float64, DType::bfloat16, DType::float16));

TEST(RangeCount, InfinitiesAreOutsideAndANanIsNot) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> values{inf, -inf, nan, 0, 1, -1};
  EXPECT_EQ(count_outside(DType::float32, values.data(), values.size(), -1, 1), 2u);
}

}  // namespace
}  // namespace vigil
