// A model whose parameters say which step they are of.
#pragma once

#include <torch/torch.h>

namespace vigil {

struct CountingModel : torch::nn::Module {
  // Parameters, buffer and learning rate become `step`; the optimizer has a state.
  void count_to(std::uint64_t step, torch::optim::Adam& optimizer) {
    optimizer.zero_grad();
    (first.sum() + second.sum()).backward();
    static_cast<torch::optim::AdamOptions&>(optimizer.param_groups()[0].options()).lr(1e-9 * static_cast<double>(step));
    optimizer.step();
    const torch::NoGradGuard no_grad;
    for (const torch::Tensor& tensor : {first, second, buffer}) at::Tensor(tensor).fill_(static_cast<double>(step));
  }
  bool is_at(std::uint64_t step, const torch::optim::Adam& optimizer) const {
    const auto value = static_cast<double>(step);
    return first.eq(value).all().item<bool>() && second.eq(value).all().item<bool>() && buffer.eq(value).all().item<bool>() &&
           optimizer.param_groups()[0].options().get_lr() == 1e-9 * value;
  }
  torch::Tensor first = register_parameter("first", torch::zeros({300, 200}));
  torch::Tensor second = register_parameter("second", torch::zeros({7}));
  torch::Tensor buffer = register_buffer("buffer", torch::zeros({11}));
};

}  // namespace vigil
