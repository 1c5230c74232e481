#include "vigil/monitor/statistics.h"

#include <limits>

namespace vigil::statistics {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

}  // namespace

double mean(const Moments& m) noexcept { return finite_count(m) > 0 ? m.mean : kNone; }
double std(const Moments& m) noexcept { return standard_deviation(m); }
double min(const Moments& m) noexcept { return finite_count(m) > 0 ? m.min : kNone; }
double max(const Moments& m) noexcept { return finite_count(m) > 0 ? m.max : kNone; }
double l1_norm(const Moments& m) noexcept { return m.l1; }
double l2_norm(const Moments& m) noexcept { return vigil::l2_norm(m); }
double zero_ratio(const Moments& m) noexcept {
  return m.count > 0 ? static_cast<double>(m.zero_count) / static_cast<double>(m.count) : kNone;
}
double nan_values(const Moments& m) noexcept { return static_cast<double>(m.nan_count); }
double inf_values(const Moments& m) noexcept { return static_cast<double>(m.inf_count); }

}  // namespace vigil::statistics
