// Central moments up to the fourth.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace vigil {

/// Of n numbers: their mean, and the sums of the powers of their distances from it. In long double, since the fourth power of a float64
/// leaves the range of double.
struct CentralMoments {
  std::uint64_t n = 0;
  long double mean = 0, m2 = 0, m3 = 0, m4 = 0;
};

/// Pebay (2008), equations 2.1 and 3.1 and the like for two sets.
inline void merge(CentralMoments& a, const CentralMoments& b) noexcept {
  if (b.n == 0) return;
  if (a.n == 0) {
    a = b;
    return;
  }
  const auto na = static_cast<long double>(a.n), nb = static_cast<long double>(b.n), n = na + nb;
  const long double delta = b.mean - a.mean, step = delta / n, between = delta * step * na * nb;
  const long double m2 = a.m2 + b.m2 + between;
  const long double m3 = a.m3 + b.m3 + between * step * (na - nb) + 3 * step * (na * b.m2 - nb * a.m2);
  const long double m4 = a.m4 + b.m4 + between * step * step * (na * na - na * nb + nb * nb) +
                         6 * step * step * (na * na * b.m2 + nb * nb * a.m2) + 4 * step * (na * b.m3 - nb * a.m3);
  a = {a.n + b.n, a.mean + step * nb, m2, m3, m4};
}

/// Of a block of finite numbers, in two passes over it.
template <class Number>
CentralMoments central_moments(const Number* numbers, std::size_t count) noexcept {
  // Side by side, so that the compiler may keep them in a vector.
  using Sum = std::conditional_t<sizeof(Number) == 4, double, long double>;
  constexpr std::size_t kLanes = 8;
  std::array<Sum, kLanes> sum{};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) sum[lane] += static_cast<Sum>(numbers[i + lane]);
  }
  for (; i < count; ++i) sum[0] += static_cast<Sum>(numbers[i]);
  Sum total = 0;
  for (const Sum one : sum) total += one;
  const Sum mean = total / static_cast<Sum>(count);

  std::array<Sum, kLanes> first{}, second{}, third{}, fourth{};
  const auto add = [&](std::size_t lane, Number number) {
    const Sum distance = static_cast<Sum>(number) - mean, square = distance * distance;
    first[lane] += distance;
    second[lane] += square;
    third[lane] += square * distance;
    fourth[lane] += square * square;
  };
  for (i = 0; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) add(lane, numbers[i + lane]);
  }
  for (; i < count; ++i) add(0, numbers[i]);
  CentralMoments moments;
  moments.n = count;
  long double rest = 0;  // what rounding has left of the sum of distances
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    rest += first[lane];
    moments.m2 += second[lane];
    moments.m3 += third[lane];
    moments.m4 += fourth[lane];
  }
  rest /= static_cast<long double>(count);
  moments.mean = static_cast<long double>(mean) + rest;
  moments.m4 -= 4 * rest * moments.m3;
  moments.m3 -= 3 * rest * moments.m2;
  return moments;
}

}  // namespace vigil
