// How long a step takes, and what that makes of the machine.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "vigil/monitor/records.h"

namespace vigil {

/// The total times of the latest kSteps steps that have one.
class StepTimes {
 public:
  static constexpr std::size_t kSteps = 64;

  void add(std::uint64_t total_ns) noexcept { total_ns_[count_++ % kSteps] = total_ns; }
  /// 0 while there are none.
  double mean_seconds() const noexcept {
    const std::size_t steps = std::min<std::size_t>(count_, kSteps);
    double seconds = 0;
    for (std::size_t i = 0; i < steps; ++i) seconds += static_cast<double>(total_ns_[i]) * 1e-9 / static_cast<double>(steps);
    return seconds;
  }

 private:
  std::array<std::uint64_t, kSteps> total_ns_{};
  std::uint64_t count_ = 0;
};

/// `vigil_model_flops_utilization_ratio`: two operations for each multiply-accumulate of a step, over its mean time and `peak_flops`. NaN
/// where one of these is not known, which is 0.
inline double flops_utilization(std::uint64_t multiply_accumulates, double mean_step_seconds, double peak_flops) noexcept {
  if (multiply_accumulates == 0 || !(mean_step_seconds > 0) || !(peak_flops > 0)) return TensorRow::kNotMeasured;
  return 2 * static_cast<double>(multiply_accumulates) / mean_step_seconds / peak_flops;
}

}  // namespace vigil
