// The tensors of a model, walked once: what the loop goes through on every step, and the schema that gives it names.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/optim/optimizer.h>

#include "vigil/config/config.h"
#include "vigil/monitor/schema.h"

namespace vigil {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// One tensor of the model and the rows of a frame that it fills.
struct WatchedTensor {
  static constexpr int kNoRow = -1;
  at::Tensor tensor;           ///< shares the model's storage; its gradient is looked up anew on every step
  int row = kNoRow;            ///< of the parameter or buffer itself
  int gradient_row = kNoRow;   ///< of its gradient
  std::size_t part = 0;        ///< of a parameter: whose it is
  std::uint64_t infinite = 0;  ///< of a buffer: RowSchema::infinite
  bool has_update = false;     ///< its update is to be measured
  int failures = 0;            ///< attempts in a row to read it that failed; counted by the recorder
  int gradient_failures = 0;   ///< the same of its gradient
};

/// What one optimizer steps: a model, or a part of one.
struct PartTensors {
  std::string name;  ///< stands in front of the names of its learning rates, where there are several parts
  NamedTensors parameters, buffers;
  const torch::optim::Optimizer* optimizer = nullptr;
};

struct WatchedModel {
  std::vector<WatchedTensor> parameters;    ///< index-aligned with Schema::parameters
  std::vector<WatchedTensor> buffers;       ///< floating-point ones, unless sampling.buffers is off
  std::size_t parts = 1;                    ///< WatchedTensor::part is below it
  Schema schema;                            ///< identity is filled in by the caller
  std::vector<std::string> left_out;        ///< tensors without statistics (integer, complex, quantised), with their type; for one log line
  std::vector<std::string> unmatched;       ///< "setting: 'pattern'" of those that no name matches; likewise
  std::vector<std::string> without_copy;    ///< tensors that sampling.copy_bytes has no room for; likewise
  std::vector<std::string> without_state;   ///< parts whose optimizers keep no state that is known; likewise
  std::vector<std::string> without_update;  ///< parameters that sampling.update_ratio_bytes has no room for; likewise
};

/// Lists each tensor once: a tied one, that is the same tensor or the same view of the same memory, under its first name.
/// @throws std::invalid_argument when there is no parameter; when a name is empty or stands for two tensors; when a parameter is
///         computed from others (not a leaf); when a part's optimizer holds no parameter, or others than these.
WatchedModel watch_tensors(const std::vector<PartTensors>& parts, const SamplingConfig& sampling);

}  // namespace vigil
