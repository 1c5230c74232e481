// The definitions of the statistics in long double, one obvious loop each: what the kernels are measured against.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "vigil/monitor/magnitude_histogram.h"

namespace vigil::reference {

struct Figures {
  std::uint64_t count = 0, nan = 0, inf = 0, zero = 0, finite = 0;
  long double min = 0, max = 0, mean = 0, std = 0, l1 = 0, l2 = 0;
};

/// `values` are the elements as numbers; float32 and narrower convert to double without loss.
inline Figures figures_of(const std::vector<double>& values) {
  Figures f;
  f.count = values.size();
  f.min = std::numeric_limits<long double>::infinity();
  f.max = -f.min;
  long double sum = 0, squares = 0;
  for (const double x : values) {
    if (std::isnan(x)) {
      ++f.nan;
      continue;
    }
    if (std::isinf(x)) {
      ++f.inf;
      continue;
    }
    ++f.finite;
    f.zero += x == 0;
    f.min = std::fmin(f.min, static_cast<long double>(x));
    f.max = std::fmax(f.max, static_cast<long double>(x));
    sum += x;
    f.l1 += std::fabs(static_cast<long double>(x));
    squares += static_cast<long double>(x) * x;
  }
  f.l2 = std::sqrt(squares);
  if (f.finite == 0) return f;
  f.mean = sum / static_cast<long double>(f.finite);
  // Many equal elements round one way, even in long double: what is left of the mean is in the deviations from it.
  long double left = 0, deviations = 0;
  for (const double x : values) {
    if (std::isfinite(x)) left += x - f.mean;
  }
  f.mean += left / static_cast<long double>(f.finite);
  for (const double x : values) {
    if (std::isfinite(x)) deviations += (x - f.mean) * (x - f.mean);
  }
  f.std = std::sqrt(deviations / static_cast<long double>(f.finite));
  return f;
}

/// Bucket by bucket, compared with powers of two.
inline MagnitudeHistogram histogram_of(const std::vector<double>& values) {
  MagnitudeHistogram histogram;
  for (const double x : values) {
    const double magnitude = std::fabs(x);
    if (!std::isfinite(x) || x == 0) continue;
    if (magnitude <= std::ldexp(1.0, -28)) {
      ++histogram.underflow;
    } else if (magnitude > 16) {
      ++histogram.overflow;
    } else {
      std::size_t i = 0;
      while (magnitude > std::ldexp(1.0, -27 + static_cast<int>(i))) ++i;
      ++histogram.buckets[i];
    }
  }
  return histogram;
}

/// Over the elements that are finite in both.
inline long double update_norm_of(const std::vector<double>& now, const std::vector<double>& before) {
  long double squares = 0;
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (!std::isfinite(now[i]) || !std::isfinite(before[i])) continue;
    const long double difference = static_cast<long double>(now[i]) - before[i];
    squares += difference * difference;
  }
  return std::sqrt(squares);
}

}  // namespace vigil::reference
