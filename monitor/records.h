// What lies in the rings: one small step record for every step, one tensor frame for every sampled step.
// Everything is made of whole 8-byte words, since that is what a ring copies.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "vigil/monitor/magnitude_histogram.h"
#include "vigil/monitor/moments.h"
#include "vigil/monitor/schema.h"

namespace vigil {

/// Where non-finite values are looked for; label `tensor` of `vigil_nonfinite_values_total`.
enum class NonfiniteIn : std::uint8_t { loss, gradient, parameter };
inline constexpr std::array<std::string_view, 3> kNonfiniteInNames{"loss", "gradient", "parameter"};

/// Parts of vigil in the training loop that can fail on their own; label `hook` of `vigil_hook_errors_total`.
enum class Hook : std::uint8_t { loss, guard, parameters, gradients, buffers, optimizer, scalars, sequence };
inline constexpr std::array<std::string_view, 8> kHookNames{"loss",    "guard",     "parameters", "gradients",
                                                            "buffers", "optimizer", "scalars",    "sequence"};

struct NonfiniteCounts {
  std::uint64_t nan = 0;
  std::uint64_t inf = 0;
};

/// Sums since the start of the run. Each record carries them, so that a record overwritten before it was read takes no count
/// with it.
struct RunTotals {
  std::array<NonfiniteCounts, kNonfiniteInNames.size()> nonfinite_values{};
  std::uint64_t nonfinite_steps = 0;  ///< steps whose loss or gradients were not finite
  std::uint64_t skipped_steps = 0;    ///< verdicts that told the loop not to step for that reason
  std::uint64_t samples = 0;          ///< tensor frames published
  std::uint64_t overhead_ns = 0;      ///< time of the training thread spent in vigil
  /// The same since the end of the first step, and the time that has gone by since then. Before it lies the set-up, which says nothing
  /// of a loop.
  std::uint64_t loop_overhead_ns = 0, loop_ns = 0;
  /// Steps on which a hook failed, on however many tensors; for loss, optimizer, scalars and sequence also misuses.
  std::array<std::uint64_t, kHookNames.size()> hook_errors{};
};

struct StepRecord {
  enum Flag : std::uint64_t {
    has_loss = 1,             ///< `loss` holds what the user's tensor held (which may be NaN)
    has_gradient_norm = 2,    ///< the guard looked at every gradient of this step
    has_parameter_norm = 4,   ///< the latest sample looked at every parameter
    nonfinite = 8,            ///< loss or gradients were not finite
    skipped = 16,             ///< the verdict was not `proceed`
    has_optimizer_time = 32,  ///< `optimizer_ns` was measured
    has_total_time = 64,      ///< `total_ns` and `forward_backward_ns` were measured: not on the first step
    again = 128,              ///< this step's record was published before; only user scalars are new
  };

  std::uint64_t step = 0;                 ///< from 1
  std::int64_t wall_time_ns = 0;          ///< when the step ended, nanoseconds since the epoch
  std::uint64_t flags = 0;                ///< of Flag
  double loss = 0;                        ///< valid with has_loss
  double gradient_norm = 0;               ///< valid with has_gradient_norm: Euclidean norm of all; NaN or Inf when one of them holds such
  double parameter_norm = 0;              ///< valid with has_parameter_norm: the same of all parameters at the latest sample
  std::uint64_t forward_backward_ns = 0;  ///< from the end of the last step to `after_backward`: loading data, forward, backward
  std::uint64_t optimizer_ns = 0;         ///< from the verdict to `after_step`
  std::uint64_t total_ns = 0;             ///< from the end of the last step to the end of this one
  RunTotals totals;
  std::int64_t origin = -1;       ///< index into Schema::parameters of the latest non-finite origin; -1: none, or the loss only
  std::uint64_t origin_step = 0;  ///< its step: the first of the latest streak of non-finite steps; 0: none so far
  /// Learning rates by parameter group, then user scalars: `Schema::learning_rates + ScalarNames::kCapacity` doubles follow
  /// the record in its slot. This is how many user scalars hold a value.
  std::uint64_t user_scalars = 0;

  bool has(Flag flag) const noexcept { return (flags & flag) != 0; }
};
static_assert(sizeof(StepRecord) % 8 == 0);

/// Path of the parameter that `record` names as the origin; empty when it names none.
inline std::string_view origin_parameter(const StepRecord& record, const Schema& schema) noexcept {
  const auto index = static_cast<std::uint64_t>(record.origin);  // -1 is beyond every list
  return record.origin_step != 0 && index < schema.parameters.size() ? std::string_view(schema.parameters[index]) : std::string_view();
}

/// One row of a frame: what was seen of one tensor.
struct TensorRow {
  enum State : std::uint64_t {
    absent = 0,     ///< no tensor: a parameter without a gradient
    present = 1,    ///< `moments` is valid
    unreadable = 2  ///< its reduction failed; the hook's error counter tells
  };
  Moments moments;
  std::uint64_t state = absent;
  /// sqrt(sum of (w - w')²) of a parameter w and what it was one step before, w'; NaN where that was not measured.
  double update_norm = std::numeric_limits<double>::quiet_NaN();
};
static_assert(sizeof(TensorRow) == 104);

/// Stands in front of a frame's rows, which its magnitude histograms follow.
struct FrameHeader {
  std::uint64_t step = 0;
  std::int64_t wall_time_ns = 0;
};
static_assert(sizeof(FrameHeader) == 16);

}  // namespace vigil
