// Tensors that are changed for the moment.
#pragma once

#include <utility>
#include <vector>

#include <ATen/MemoryOverlap.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

namespace vigil {

/// Puts back what tensors held, at its end or when it is asked to.
class RestoredTensors {
 public:
  void add(const at::Tensor& tensor) {
    // Into what expand() made nobody can write, so it stays as it is.
    if (at::has_internal_overlap(tensor) != at::MemOverlap::Yes) kept_.emplace_back(tensor, tensor.detach().clone());
  }
  void restore() const {
    const at::NoGradGuard no_grad;
    for (const auto& [tensor, values] : kept_) at::Tensor(tensor).copy_(values);
  }
  RestoredTensors() = default;
  ~RestoredTensors() {
    try {
      restore();
    } catch (const c10::Error&) {
      // Tensors of inference mode: neither was anything written into them.
    }
  }
  RestoredTensors(const RestoredTensors&) = delete;
  RestoredTensors& operator=(const RestoredTensors&) = delete;

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> kept_;
};

}  // namespace vigil
