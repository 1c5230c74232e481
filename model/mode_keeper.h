// Whether modules are in training or in evaluation mode, as it was before.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

namespace vigil {

/// Gives a module and those below it back their modes at its end, whatever has changed them. `module` outlives this.
class ModeKeeper {
 public:
  explicit ModeKeeper(torch::nn::Module& module) {
    for (const auto& one : module.modules(/*include_self=*/false)) kept_.emplace_back(one.get(), one->is_training());
    root_ = {&module, module.is_training()};
    alive_ = module.modules(/*include_self=*/false);
  }
  ~ModeKeeper() {
    try {
      const auto restore = [](const std::pair<torch::nn::Module*, bool>& one) {
        if (one.first->is_training() != one.second) one.first->train(one.second);
      };
      restore(root_);  // sets its children, too, so they come after it
      for (const auto& one : kept_) restore(one);
    } catch (...) {
      // A train() of the program's that throws.
    }
  }
  ModeKeeper(const ModeKeeper&) = delete;
  ModeKeeper& operator=(const ModeKeeper&) = delete;

 private:
  std::pair<torch::nn::Module*, bool> root_;
  std::vector<std::pair<torch::nn::Module*, bool>> kept_;
  std::vector<std::shared_ptr<torch::nn::Module>> alive_;
};

}  // namespace vigil
