// What others do to the same tensors, in C++ with ATen.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace vigil::bench {

/// One tensor's statistics as a user writes them: an operation and an `.item()` each.
struct UserStatistics {
  double norm = 0, mean = 0, standard_deviation = 0, min = 0, max = 0;
  std::int64_t nans = 0, infs = 0, zeros = 0;
  std::vector<float> histogram;  ///< 64 bins from min to max; empty where it was not asked for
};
UserStatistics write_by_hand(const at::Tensor& tensor, bool with_histogram);

/// The histogram of one tensor as `wandb.watch(log="gradients")` logs it: TorchHistory.log_tensor_stats of wandb's integration/torch,
/// re-expressed. Empty when there is no finite element.
struct LoggedHistogram {
  std::vector<double> counts, bounds;
};
LoggedHistogram log_tensor_stats(const at::Tensor& tensor);

/// The L2 norm of all elements by at::_foreach_norm and a norm over the stacked results, brought to the host.
double foreach_norm(const std::vector<at::Tensor>& tensors);

/// torch::nn::utils::clip_grad_norm_ with a bound that leaves the gradients as they are. It multiplies them by 1 all the same.
double clip_grad_norm(const std::vector<at::Tensor>& parameters);

/// Tensors for it whose gradients are `gradients`. Their own memory is never touched.
std::vector<at::Tensor> parameters_with(const std::vector<at::Tensor>& gradients);

}  // namespace vigil::bench
