// What lies in the rings: one small step record for every step, one tensor frame for every sampled step, one event for every streak of
// non-finite steps.
// Everything is made of whole 8-byte words, since that is what a ring copies.
#pragma once

#include <algorithm>
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
enum class NonfiniteIn : std::uint8_t { loss, gradient, parameter, activation };
inline constexpr std::array<std::string_view, 4> kNonfiniteInNames{"loss", "gradient", "parameter", "activation"};

/// Parts of vigil in the training loop that can fail on their own; label `hook` of `vigil_hook_errors_total`.
enum class Hook : std::uint8_t {
  loss,
  guard,
  parameters,
  gradients,
  buffers,
  optimizer,
  scalars,
  sequence,
  activations,
  provenance,  ///< replay and trace
  rollback,
  checkpoint,
};
inline constexpr std::array<std::string_view, 12> kHookNames{"loss",    "guard",    "parameters",  "gradients",  "buffers",  "optimizer",
                                                             "scalars", "sequence", "activations", "provenance", "rollback", "checkpoint"};

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
  std::uint64_t rollbacks = 0;        ///< times that the last good state was restored
  std::uint64_t micro_batches = 0;    ///< backward passes whose gradients were accumulated into a later step's
  std::uint64_t examples = 0;         ///< of the batches, as far as the user told or the observer saw their size
  std::uint64_t layers_dropped = 0;   ///< layers with activations that sampling.max_activations has no row for
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
    has_loss = 1,              ///< `loss` holds what the user's tensor held (which may be NaN)
    has_gradient_norm = 2,     ///< the guard looked at every gradient of this step
    has_parameter_norm = 4,    ///< the latest sample looked at every parameter
    nonfinite = 8,             ///< loss or gradients were not finite
    skipped = 16,              ///< the verdict was not `proceed`
    has_optimizer_time = 32,   ///< `optimizer_ns` was measured
    has_total_time = 64,       ///< `total_ns` and `forward_backward_ns` were measured: not on the first step
    again = 128,               ///< this step's record was published before; only user scalars are new
    has_data_time = 256,       ///< `data_ns` was measured, and `forward_backward_ns` is without it
    has_device_memory = 1024,  ///< the `device_…` words were read: the model lies on a device whose allocator counts
    has_clip_ratio = 512,      ///< `clip_ratio` holds what clipping to the norm that the user told makes of this step's gradients
    saved_checkpoint = 2048,   ///< the program has saved one since the record before
  };
  /// Bits of `flags` that hold the phase other than "train" that ran last since the record before: a number of PhaseNames, 0 for none.
  static constexpr unsigned kPhaseShift = 16;
  static constexpr std::uint64_t kPhaseMask = std::uint64_t{7} << kPhaseShift;

  std::uint64_t step = 0;                 ///< from 1
  std::int64_t wall_time_ns = 0;          ///< when the step ended, nanoseconds since the epoch
  std::uint64_t flags = 0;                ///< of Flag
  double loss = 0;                        ///< valid with has_loss
  double gradient_norm = 0;               ///< valid with has_gradient_norm: Euclidean norm of all; NaN or Inf when one of them holds such
  double parameter_norm = 0;              ///< valid with has_parameter_norm: the same of all parameters at the latest sample
  std::uint64_t forward_backward_ns = 0;  ///< from the end of the last step, or of loading its data, to `after_backward`
  std::uint64_t data_ns = 0;              ///< valid with has_data_time: from the end of the last step to the forward pass
  std::uint64_t optimizer_ns = 0;         ///< from the verdict to `after_step`
  std::uint64_t total_ns = 0;             ///< from the end of the last step to the end of this one
  std::uint64_t vigil_ns = 0;             ///< of it, spent in vigil on the training thread
  double clip_ratio = 1;                  ///< valid with has_clip_ratio: min(1, norm told / gradient_norm)
  std::uint64_t examples = 0;             ///< in this step's batch; 0: not known
  /// Multiply-accumulates of the latest observed step, forward and backward, its micro-batches together; 0: none observed so far. Kept from
  /// step to step, as most are not observed.
  std::uint64_t multiply_accumulates = 0;
  /// Valid with has_device_memory, at the latest sample: bytes in tensors, bytes that the allocator holds, most bytes in tensors at once;
  /// since the start of the process the times that it gave its free blocks back to get another one, and those that failed even so.
  std::uint64_t device_allocated = 0, device_reserved = 0, device_peak = 0, device_retries = 0, device_out_of_memory = 0;
  RunTotals totals;
  std::int64_t origin = -1;       ///< index into Schema::parameters of the latest non-finite origin; -1: none, or the loss only
  std::uint64_t origin_step = 0;  ///< its step: the first of the latest streak of non-finite steps; 0: none so far
  /// Learning rates by parameter group, then user scalars: `Schema::learning_rates + ScalarNames::kCapacity` doubles follow
  /// the record in its slot. This is how many user scalars hold a value.
  std::uint64_t user_scalars = 0;

  bool has(Flag flag) const noexcept { return (flags & flag) != 0; }
  bool has_marks() const noexcept { return (flags & (saved_checkpoint | kPhaseMask)) != 0; }
  std::size_t phase_before() const noexcept { return static_cast<std::size_t>((flags & kPhaseMask) >> kPhaseShift); }
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
    absent = 0,      ///< no tensor: a parameter without a gradient
    present = 1,     ///< `moments` is valid
    unreadable = 2,  ///< its reduction failed; the hook's error counter tells
    frozen = 3       ///< of a gradient: there is none, and the program wants none (requires_grad is off)
  };
  Moments moments;
  std::uint64_t state = absent;
  /// sqrt(sum of (w - w')²) of a parameter w and what it was one step before, w'; NaN where that was not measured.
  double update_norm = kNotMeasured;
  double distance = kNotMeasured;  ///< likewise of a parameter and what it was at watch()
  double cosine = kNotMeasured;    ///< of a gradient and that of the sample before: g·g' / (‖g‖‖g'‖), -1 to 1
  /// Euclidean norms of the optimizer's state of a parameter, by RowSchema::optimizer_state.
  std::array<double, RowSchema::kStateNorms> state_norms{kNotMeasured, kNotMeasured, kNotMeasured};

  static constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();
  /// Whether the optimizer has had that state of this parameter: state_norms[i] is valid, and NaN when the state is.
  bool has_state(std::size_t i) const noexcept { return (states >> i & 1) != 0; }
  std::uint64_t states = 0;  ///< bit i: has_state(i)
};
static_assert(sizeof(TensorRow) == 152);

/// What was seen of the output of one layer, in the order of LayerNames.
struct ActivationRow {
  Moments moments;
  double saturated_ratio = TensorRow::kNotMeasured;  ///< tanh, sigmoid: share of the inputs where it is flat in float32
  double dead_ratio = TensorRow::kNotMeasured;       ///< relu: share of the units that are 0 for all of the batch
  std::uint64_t step = 0;                            ///< when; 0: not yet
};
static_assert(sizeof(ActivationRow) % 8 == 0);

/// Stands in front of a frame's rows, which its magnitude histograms and then its activation rows follow.
struct FrameHeader {
  std::uint64_t step = 0;
  std::int64_t wall_time_ns = 0;
  std::uint64_t activations = 0;  ///< rows of activations: of all layers named so far, measured at this step or an earlier one
};
static_assert(sizeof(FrameHeader) == 24);

/// Text that lies in a ring. What does not fit is cut off, at a character's border.
template <std::size_t kBytes>
struct RingText {
  static_assert(kBytes % 8 == 0);
  std::array<char, kBytes> bytes{};  ///< up to the first 0

  void assign(std::string_view text) noexcept {
    std::size_t size = std::min(text.size(), kBytes - 1);
    while (size > 0 && size < text.size() && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
    bytes.fill(0);
    std::copy_n(text.begin(), size, bytes.begin());
  }
  /// Adds `text` behind what is there, as far as it fits.
  void append(std::string_view text) noexcept {
    const std::size_t used = view().size();
    std::size_t size = std::min(text.size(), kBytes - 1 - used);
    while (size > 0 && size < text.size() && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
    std::copy_n(text.begin(), size, bytes.begin() + static_cast<std::ptrdiff_t>(used));
  }
  void append(std::uint64_t number) noexcept {
    std::array<char, 20> digits{};
    std::size_t begin = digits.size();
    do {
      digits[--begin] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number > 0);
    append(std::string_view(&digits[begin], digits.size() - begin));
  }
  std::string_view view() const noexcept {
    return {bytes.data(), static_cast<std::size_t>(std::find(bytes.begin(), bytes.end(), '\0') - bytes.begin())};
  }
};

/// How the origin of a non-finite step was found.
enum class FoundBy : std::uint64_t {
  bracket,  ///< from which gradients were finite: the parameter, not the operation
  replay,   ///< by running the batch again
  trace,    ///< by watching a later step
};
inline constexpr std::array<std::string_view, 3> kFoundByNames{"bracket", "replay", "trace"};

/// What was seen of one input of the operation that a non-finite value came from.
struct OperandSeen {
  RingText<64> description;  ///< e.g. "float32 [64, 128]"
  Moments moments;
};

/// Where non-finite values came in, at the first step of a streak. A streak has one event by bracket; one by replay or trace may follow it.
struct NonfiniteEvent {
  std::uint64_t step = 0;
  std::int64_t wall_time_ns = 0;
  FoundBy found_by = FoundBy::bracket;
  std::uint64_t loss_nonfinite = 0;        ///< 1: the loss was NaN or infinite
  std::uint64_t nonfinite_parameters = 0;  ///< parameters whose gradients were not finite
  std::uint64_t backward = 0;              ///< 1: the operation belongs to the backward pass
  RingText<168> layer;                     ///< module, e.g. "layer1.0.conv1", or "layer1.0.conv1/relu" for an operator that follows it
  RingText<96> operation;                  ///< e.g. "aten::log" or "LogBackward0"; empty when it is not known
  RingText<96> forward_operation;          ///< of a backward operation, the one that it belongs to; empty when that is not known
  RingText<168> parameter;                 ///< nearest to the loss of those whose gradients were not finite; empty: none was
  RingText<168> nearest_finite;            ///< the nearest parameter towards the loss whose gradient is finite; empty: none
  RingText<768> message;                   ///< all of it, in one sentence
  std::uint64_t operand_count = 0;
  std::array<OperandSeen, 6> operands{};  ///< the operation's tensor inputs, the first six
};
static_assert(sizeof(NonfiniteEvent) % 8 == 0);

}  // namespace vigil
