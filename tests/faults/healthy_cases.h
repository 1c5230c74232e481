// Trainings without a fault, some of them with what looks like one: masks of -Inf, norms of zero vectors, branches that where() hides.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

namespace vigil {

struct HealthyTraining {
  std::shared_ptr<torch::nn::Module> model;
  std::shared_ptr<torch::optim::Optimizer> optimizer;
  std::function<torch::Tensor()> loss;
};

struct HealthyCase {
  std::string name;
  std::uint64_t seed;
  int steps;
  std::function<HealthyTraining()> make;
};

std::vector<HealthyCase> all_healthy_cases();

}  // namespace vigil
