// A small model with what real ones have: convolution, batch norm, tied and frozen weights; and settings that need no fixed port.
#pragma once

#include <torch/torch.h>

#include "vigil/config/config.h"

namespace vigil {

struct SmallNetImpl : torch::nn::Module {
  torch::Tensor forward(torch::Tensor x) {
    x = torch::relu(norm(conv(x))).flatten(1);
    return fc(x);
  }
  torch::nn::Conv2d conv = register_module("conv", torch::nn::Conv2d(1, 4, 3));
  torch::nn::BatchNorm2d norm = register_module("norm", torch::nn::BatchNorm2d(4));
  torch::nn::Linear fc = register_module("fc", torch::nn::Linear(4 * 6 * 6, 3));
};
TORCH_MODULE(SmallNet);

/// No port, no log lines, a short interval.
inline Config quiet_config() {
  Config config;
  config.run.name = "test";
  config.exporters.prometheus.enabled = false;
  config.exporters.interval_ms = 10;
  config.exporters.report.enabled = false;
  config.log.level = LogLevel::off;
  return config;
}

/// The same with an endpoint, on a port that the system chooses.
inline Config served_config() {
  Config config = quiet_config();
  config.exporters.prometheus.enabled = true;
  config.exporters.prometheus.port = 0;
  return config;
}

/// Forward and backward on random data; gradients are zeroed before.
inline torch::Tensor backward_pass(SmallNet& net, torch::optim::Optimizer& optimizer) {
  optimizer.zero_grad();
  const auto loss = torch::cross_entropy_loss(net->forward(torch::randn({8, 1, 8, 8})), torch::randint(0, 3, {8}, torch::kLong));
  loss.backward();
  return loss;
}

}  // namespace vigil
