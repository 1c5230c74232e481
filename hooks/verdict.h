// What the guard answers: whether to step, and where non-finite values came in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vigil/monitor/records.h"

namespace vigil {

/// What the loop should do with the gradients it has just computed.
enum class Verdict : std::uint8_t {
  proceed,  ///< run the optimizer
  skip,     ///< gradients or loss are not finite and the policy is skip_step, or rollback and the last good state is back: do not run it
  stop,     ///< they are not finite and the policy is stop, or a limit of the guard is reached: do not run it, and end the loop
};

/// Where non-finite values came in. Describes the first step of the latest streak of non-finite steps: in the later ones the
/// NaN has usually spread to every parameter. Only when found by `trace` it is the first step that was traced.
struct NonfiniteOrigin {
  std::uint64_t step = 0;
  FoundBy found_by = FoundBy::bracket;
  /// Found by bracket: module of `parameter`; empty when only the loss was not finite. Else the module whose operation it was, such as
  /// "conv1", or "conv1/relu" for one without parameters that follows it.
  std::string layer;
  /// Full path of the parameter nearest to the loss whose gradient was not finite; of the operations "parameter" and "buffer" the one that
  /// was not finite to begin with.
  std::string parameter;
  std::string nearest_finite;           ///< of the parameters from there to the loss, the nearest whose gradient was finite; empty: none
  std::vector<std::string> parameters;  ///< every parameter whose gradient was not finite, in the order of the model
  bool loss_nonfinite = false;          ///< the loss itself was NaN or infinite
  /// Found by replay or trace: the first operation whose inputs were finite and whose output was not, as libtorch calls it ("aten::log",
  /// "LogBackward0"), or "input data", "parameter", "buffer", "scalar argument of …" where that was not finite to begin with; empty when
  /// it is not known, and when a replay was finite.
  std::string operation;
  std::string forward_operation;  ///< of one of the backward pass, the operator that it belongs to; empty when that is not known
  bool backward = false;          ///< the operation belongs to the backward pass
  std::string message;            ///< all of it in one sentence
};

/// What TrainingMonitor::train_step() did.
template <class Tensor>
struct TrainStep {
  Verdict verdict = Verdict::proceed;
  Tensor loss;  ///< what the closure returned
};

}  // namespace vigil
