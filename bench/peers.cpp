#include "bench/peers.h"

#include <algorithm>
#include <utility>

#include <torch/torch.h>

namespace vigil::bench {
namespace {

constexpr std::int64_t kBins = 64;

// `tensor.tolist()`: each element becomes an object of its own; a double here.
std::vector<double> to_list(const at::Tensor& tensor) {
  std::vector<double> list(static_cast<std::size_t>(tensor.numel()));
  const float* data = tensor.data_ptr<float>();
  for (std::size_t i = 0; i < list.size(); ++i) list[i] = data[i];
  return list;
}

}  // namespace

UserStatistics write_by_hand(const at::Tensor& tensor, bool with_histogram) {
  UserStatistics s;
  s.norm = tensor.norm().item<double>();
  s.mean = tensor.mean().item<double>();
  s.standard_deviation = tensor.std().item<double>();
  s.min = tensor.min().item<double>();
  s.max = tensor.max().item<double>();
  s.nans = tensor.isnan().sum().item<std::int64_t>();
  s.infs = tensor.isinf().sum().item<std::int64_t>();
  s.zeros = (tensor == 0).sum().item<std::int64_t>();
  if (with_histogram) {
    const at::Tensor histogram = tensor.histc(kBins);
    s.histogram.assign(histogram.data_ptr<float>(), histogram.data_ptr<float>() + histogram.numel());
  }
  return s;
}

LoggedHistogram log_tensor_stats(const at::Tensor& original) {
  at::Tensor tensor = original.detach().clone();
  std::int64_t sparse_zeros = 0;
  if (tensor.is_sparse()) {
    tensor = tensor.cpu().coalesce();
    const at::Tensor values = tensor._values();
    sparse_zeros = tensor.numel() - values.numel();
    tensor = values;
  }
  at::Tensor flat = tensor.reshape({-1});
  if (flat.scalar_type() != at::kFloat && flat.scalar_type() != at::kDouble) flat = flat.to(at::kFloat);
  if (flat.numel() == 0 || flat.isfinite().logical_not().all().item<bool>()) return {};
  if (!flat.isfinite().all().item<bool>()) flat = flat.index({flat.isfinite()});
  double least = flat.min().item<double>(), largest = flat.max().item<double>();
  if (sparse_zeros > 0) {
    least = std::min(least, 0.0);
    largest = std::max(largest, 0.0);
  }
  if (least > largest) std::swap(least, largest);
  if (least == largest) return {{static_cast<double>(flat.numel())}, {least, largest}};
  const at::Tensor counts = flat.histc(kBins, least, largest).cpu().detach().clone();
  const at::Tensor bounds = at::linspace(least, largest, kBins + 1);
  LoggedHistogram logged{to_list(counts), to_list(bounds)};
  if (sparse_zeros > 0) {
    for (std::size_t i = 0; i < logged.counts.size(); ++i) {
      if (logged.bounds[i] <= 0 && 0 < logged.bounds[i + 1]) logged.counts[i] += static_cast<double>(sparse_zeros);
    }
  }
  return logged;
}

double foreach_norm(const std::vector<at::Tensor>& tensors) { return at::stack(at::_foreach_norm(tensors, 2)).norm().item<double>(); }

double clip_grad_norm(const std::vector<at::Tensor>& parameters) { return torch::nn::utils::clip_grad_norm_(parameters, 1e30); }

std::vector<at::Tensor> parameters_with(const std::vector<at::Tensor>& gradients) {
  std::vector<at::Tensor> parameters;
  parameters.reserve(gradients.size());
  for (const at::Tensor& gradient : gradients) {
    at::Tensor parameter = torch::empty(gradient.sizes(), torch::requires_grad());
    parameter.mutable_grad() = gradient;
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

}  // namespace vigil::bench
