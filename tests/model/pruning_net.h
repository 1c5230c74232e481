// What the tests of pruning share: a module with all kinds of layers, and what a call throws.
#pragma once

#include <string>

#include <torch/torch.h>

namespace vigil::test {

struct SmallNetImpl : torch::nn::Module {
  torch::Tensor forward(torch::Tensor x) {
    x = norm(torch::relu(conv(x)));
    return last(torch::relu(first(x.flatten(1))));
  }
  torch::nn::Conv2d conv = register_module("conv", torch::nn::Conv2d(2, 6, 3));
  torch::nn::BatchNorm2d norm = register_module("norm", torch::nn::BatchNorm2d(6));
  torch::nn::Linear first = register_module("first", torch::nn::Linear(6 * 4 * 4, 11));
  torch::nn::Linear last = register_module("last", torch::nn::Linear(11, 3));
};
TORCH_MODULE(SmallNet);

template <class Error, class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

inline std::int64_t zeros_in(const torch::Tensor& tensor) { return tensor.eq(0).sum().item<std::int64_t>(); }

}  // namespace vigil::test
