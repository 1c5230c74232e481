// A Euclidean norm from the norms of its parts.
#pragma once

#include <cmath>
#include <limits>

#include "vigil/monitor/dtype.h"

namespace vigil {

/// In long double, so that squares of float64 norms stay in range. A NaN or infinite part makes the whole one so.
class NormSum {
 public:
  void add(double norm) noexcept {
    if (is_finite_bits(norm)) {
      squares_ += static_cast<long double>(norm) * static_cast<long double>(norm);
    } else {
      (is_nan_bits(norm) ? nan_ : inf_) = true;
    }
  }
  double value() const noexcept {
    if (nan_) return std::numeric_limits<double>::quiet_NaN();
    if (inf_) return std::numeric_limits<double>::infinity();
    return static_cast<double>(std::sqrt(squares_));
  }

 private:
  long double squares_ = 0;
  bool nan_ = false, inf_ = false;
};

}  // namespace vigil
