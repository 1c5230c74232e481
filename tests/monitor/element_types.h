// Element types: how a number is stored (rounded) and read, written by the tests themselves so that they do not lean on dtype.h.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "vigil/monitor/dtype.h"

namespace vigil::test {

struct F32 {
  static constexpr DType kDType = DType::float32;
  static std::vector<unsigned char> store(double x) { return bytes(static_cast<float>(x)); }
  static double load(const unsigned char* p) {
    float x;
    std::memcpy(&x, p, 4);
    return x;
  }
  template <class T>
  static std::vector<unsigned char> bytes(T x) {
    std::vector<unsigned char> out(sizeof x);
    std::memcpy(out.data(), &x, sizeof x);
    return out;
  }
};
struct F64 {
  static constexpr DType kDType = DType::float64;
  static std::vector<unsigned char> store(double x) { return F32::bytes(x); }
  static double load(const unsigned char* p) {
    double x;
    std::memcpy(&x, p, 8);
    return x;
  }
};
struct BF16 {  // truncation is a rounding too: the test compares with what was stored
  static constexpr DType kDType = DType::bfloat16;
  static std::vector<unsigned char> store(double x) {
    const float wide = static_cast<float>(x);
    std::uint32_t bits;
    std::memcpy(&bits, &wide, 4);
    std::uint16_t upper = static_cast<std::uint16_t>(bits >> 16);
    if (std::isnan(x)) upper |= 0x40;
    return F32::bytes(upper);
  }
  static double load(const unsigned char* p) {
    std::uint16_t upper;
    std::memcpy(&upper, p, 2);
    const std::uint32_t bits = static_cast<std::uint32_t>(upper) << 16;
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
  }
};
// binary16 by its definition: sign, 5 bits of exponent, 10 of fraction.
struct F16 {
  static constexpr DType kDType = DType::float16;
  static double load(const unsigned char* p) {
    std::uint16_t b;
    std::memcpy(&b, p, 2);
    const int exponent = (b >> 10) & 31, fraction = b & 1023;
    double x = exponent == 31  ? (fraction ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity())
               : exponent == 0 ? std::ldexp(fraction, -24)
                               : std::ldexp(1024 + fraction, exponent - 25);
    return (b & 0x8000) ? -x : x;
  }
  static std::vector<unsigned char> store(double x) {
    const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
    const double m = std::fabs(x);
    std::uint16_t b;
    if (std::isnan(x)) {
      b = 0x7e00;
    } else if (m >= 65520) {
      b = 0x7c00;
    } else if (m < std::ldexp(1.0, -14)) {
      b = static_cast<std::uint16_t>(std::nearbyint(std::ldexp(m, 24)));
    } else {
      int e = std::ilogb(m);
      double fraction = std::nearbyint(std::ldexp(m, 10 - e));
      if (fraction == 2048) {
        fraction = 1024;
        ++e;
      }
      b = static_cast<std::uint16_t>(((e + 15) << 10) + static_cast<int>(fraction) - 1024);
    }
    return F32::bytes(static_cast<std::uint16_t>(b | sign));
  }
};

}  // namespace vigil::test
