// The one table of per-tensor statistics. Metrics, documentation and tests are generated from it or checked against it:
// a new statistic is one row here and one row in its test.
#pragma once

#include <array>
#include <string_view>

#include "vigil/monitor/moments.h"

namespace vigil {

struct Statistic {
  std::string_view name;     ///< suffix of the metric: `vigil_gradient_<name>`
  std::string_view help;     ///< completes "<Tensor kind>: …", without a full stop
  std::string_view formula;  ///< over elements x, of which n are finite and N are all
  double (*value)(const Moments&) noexcept;
};

namespace statistics {
double mean(const Moments&) noexcept;
double std(const Moments&) noexcept;
double min(const Moments&) noexcept;
double max(const Moments&) noexcept;
double l1_norm(const Moments&) noexcept;
double l2_norm(const Moments&) noexcept;
double zero_ratio(const Moments&) noexcept;
double nan_values(const Moments&) noexcept;
double inf_values(const Moments&) noexcept;
}  // namespace statistics

/// NaN stands for "no finite element" in mean, std, min and max, and for "no element" in zero_ratio.
inline constexpr std::array<Statistic, 9> kStatistics{{
    {"mean", "mean of the finite elements", "sum(x) / n", statistics::mean},
    {"std", "standard deviation of the finite elements (population)", "sqrt(sum((x - mean)^2) / n)", statistics::std},
    {"min", "smallest finite element", "min(x)", statistics::min},
    {"max", "largest finite element", "max(x)", statistics::max},
    {"l1_norm", "sum of the magnitudes of the finite elements", "sum(|x|)", statistics::l1_norm},
    {"l2_norm", "Euclidean norm of the finite elements", "sqrt(sum(x^2))", statistics::l2_norm},
    {"zero_ratio", "share of the elements that are zero", "count(x = 0) / N", statistics::zero_ratio},
    {"nan_values", "elements that are NaN in the latest sample", "count(isnan(x))", statistics::nan_values},
    {"inf_values", "elements that are infinite in the latest sample", "count(isinf(x))", statistics::inf_values},
}};

}  // namespace vigil
