// Trainings that break in a known place: what the fault suite runs, and what it is to name.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

namespace vigil {

/// A model and its loss. Healthy until it is told to break.
struct Training {
  std::shared_ptr<torch::nn::Module> model;
  std::function<torch::Tensor(bool broken)> loss;
  double learning_rate = 0.01;
  /// Before the step that breaks, for faults that are done to the model's tensors.
  std::function<void()> break_model = [] {};
};

struct Origin {
  std::string layer;
  std::string operation;
  std::string forward_operation = {};  ///< of one in the backward pass
  std::string tensor = {};             ///< of a parameter or buffer
};

struct FaultCase {
  std::string name, place;  ///< "log of zero", "middle"
  Origin origin;
  std::function<Training()> make;
  bool backward = false;  ///< the operation belongs to the backward pass
};

/// Each fault in the first, a middle and the last layer where it can be, and in models of other kinds.
std::vector<FaultCase> all_fault_cases();

}  // namespace vigil
