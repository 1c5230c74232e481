// The rules that vigil evaluates itself, and what it says when one fires.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include "vigil/monitor/records.h"

namespace vigil {

/// The catalogue, in the order of `kRules` of config/, where each is described.
enum class Rule : std::size_t {
  nonfinite_gradient,
  nonfinite_loss,
  nonfinite_parameter,
  nonfinite_activation,
  vanishing_gradient,
  exploding_gradient,
  gradient_spike,
  loss_spike,
  loss_not_decreasing,
  loss_plateau,
  overfit,
  overtraining,
  update_ratio,
  update_spike,
  unchanged_tensor,
  zero_tensor,
  zero_gradient,
  dead_units,
  saturated_activation,
  poor_initialisation,
  tensor_variance,
  norm_drift,
  learning_rate_zero,
  learning_rate_jump,
  learning_rate_nonfinite,
  step_time_outlier,
  throughput_drop,
  input_starvation,
  memory_growth,
  stalled,
  number_format_overflow,
  frozen_parameter,
  disk_full,
  rank_divergence,
  straggler_rank,
  count
};
inline constexpr std::size_t kRuleCount = static_cast<std::size_t>(Rule::count);
inline constexpr std::array<std::string_view, kRuleCount> kRuleNames{"nonfinite_gradient",
                                                                     "nonfinite_loss",
                                                                     "nonfinite_parameter",
                                                                     "nonfinite_activation",
                                                                     "vanishing_gradient",
                                                                     "exploding_gradient",
                                                                     "gradient_spike",
                                                                     "loss_spike",
                                                                     "loss_not_decreasing",
                                                                     "loss_plateau",
                                                                     "overfit",
                                                                     "overtraining",
                                                                     "update_ratio",
                                                                     "update_spike",
                                                                     "unchanged_tensor",
                                                                     "zero_tensor",
                                                                     "zero_gradient",
                                                                     "dead_units",
                                                                     "saturated_activation",
                                                                     "poor_initialisation",
                                                                     "tensor_variance",
                                                                     "norm_drift",
                                                                     "learning_rate_zero",
                                                                     "learning_rate_jump",
                                                                     "learning_rate_nonfinite",
                                                                     "step_time_outlier",
                                                                     "throughput_drop",
                                                                     "input_starvation",
                                                                     "memory_growth",
                                                                     "stalled",
                                                                     "number_format_overflow",
                                                                     "frozen_parameter",
                                                                     "disk_full",
                                                                     "rank_divergence",
                                                                     "straggler_rank"};

/// How one rule is set.
struct RuleSetup {
  bool enabled = true;
  std::uint64_t for_steps = 0;  ///< steps that its condition holds before it fires
  std::int64_t for_ns = 0;      ///< and nanoseconds
  std::uint64_t keep_firing_steps = 0;
  std::array<double, 3> parameters{};  ///< in the order of the catalogue
};

/// A rule is inactive until its condition holds, pending until it has held for long enough, firing until it has been over for long enough.
enum class AlertState : std::uint8_t { inactive, pending, firing, resolved };
inline constexpr std::array<std::string_view, 4> kAlertStateNames{"inactive", "pending", "firing", "resolved"};

/// What a rule says of one subject. Plain data of fixed size.
struct Alert {
  std::size_t rule = 0;  ///< of Rule, or kRuleCount + i for threshold i
  AlertState state = AlertState::inactive;
  std::uint64_t since_step = 0;    ///< first step of the condition
  std::int64_t since_time_ns = 0;  ///< its time, nanoseconds since the epoch
  std::uint64_t fired_step = 0;    ///< step at which the rule fired
  std::int64_t fired_time_ns = 0;  ///< its time
  std::uint64_t step = 0;          ///< latest step at which the condition held; of a resolved one, the step at which it was over
  std::int64_t time_ns = 0;        ///< its time
  double value = 0;                ///< what was seen there
  double limit = 0;                ///< what it was held against
  RingText<168> parameter;         ///< full path of the tensor, or empty
  RingText<168> layer;             ///< module, or layer with activations; or empty
  RingText<168> subject;           ///< what tells it from others of the rule where these two do not, e.g. "group 1"; or empty
  RingText<384> sentence;          ///< what was seen, without a full stop
};

}  // namespace vigil
