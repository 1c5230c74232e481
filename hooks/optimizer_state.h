// What libtorch's optimizers keep of a parameter. The one place that knows how the versions of libtorch key it.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/optim/optimizer.h>

#include "vigil/monitor/schema.h"
#include "vigil/operators/torch_version.h"

namespace vigil {

/// State tensors that `optimizer` keeps by the options that it has now, by the names that libtorch saves them under: "exp_avg",
/// "exp_avg_sq", "max_exp_avg_sq" (Adam and AdamW, the last with amsgrad); "square_avg", "momentum_buffer", "grad_avg" (RMSprop, with
/// momentum and centered); "momentum_buffer" (SGD, with momentum); "sum" (Adagrad). Of optimizers derived from these the same. None for one
/// without such, and for others (LBFGS keeps its history for all parameters together). At most RowSchema::kStateNorms.
std::vector<std::string> state_names(const torch::optim::Optimizer& optimizer);

/// Whether `optimizer` has state of steps that it made before, such as one that a checkpoint was loaded into. Never of plain SGD, which
/// has none, and of Adagrad, which has it from the start.
bool has_stepped(const torch::optim::Optimizer& optimizer);

/// The state of one parameter.
class OptimizerState {
 public:
  using Tensors = std::array<const at::Tensor*, RowSchema::kStateNorms>;

  /// `optimizer` outlives this. @throws std::bad_alloc
  OptimizerState(const torch::optim::Optimizer& optimizer, const at::Tensor& parameter);

  /// As it is now, by state_names() at construction; null where there is none, as before the first step. The pointers hold until the
  /// optimizer steps or is loaded. Allocates nothing.
  Tensors read() const noexcept;

 private:
#if VIGIL_TORCH_AT_LEAST(2, 0)
  using Key = void*;
#else
  using Key = std::string;
#endif
  const torch::optim::Optimizer& optimizer_;
  const Key key_;
  std::vector<std::string> names_;
};

}  // namespace vigil
