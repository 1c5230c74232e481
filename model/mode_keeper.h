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
  explicit ModeKeeper(torch::nn::Module& module) : root_(module), is_training_(module.is_training()) {
    for (const auto& one : module.modules(/*include_self=*/false)) kept_.emplace_back(one, one->is_training());
  }
  ~ModeKeeper() {
    try {
      const auto restore = [](torch::nn::Module& one, bool is_training) {
        if (one.is_training() != is_training) one.train(is_training);
      };
      restore(root_, is_training_);  // sets its children, too, so they come after it
      for (const auto& [one, is_training] : kept_) restore(*one, is_training);
    } catch (...) {
      // A train() of the program's that throws.
    }
  }
  ModeKeeper(const ModeKeeper&) = delete;
  ModeKeeper& operator=(const ModeKeeper&) = delete;

 private:
  torch::nn::Module& root_;
  const bool is_training_;
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> kept_;
};

}  // namespace vigil
