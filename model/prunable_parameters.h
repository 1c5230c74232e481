// Which parameters of a model are pruned.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

namespace torch {
namespace jit {
struct Module;
}
}  // namespace torch

namespace vigil {

/// Patterns as a shell's (`*`, `?`, `[abc]`; a `*` goes over dots) of full names: "conv1.weight", "encoder.*".
struct PruningTargets {
  /// Not empty: what matches one of them, whatever its type and shape. Empty: the weights of layers, which are the parameters with at
  /// least two dimensions and "weight" in the last part of their names; not those of modules with "Embedding" or "Norm" in their type's
  /// name.
  std::vector<std::string> include = {};
  std::vector<std::string> exclude = {};  ///< what matches one of them is left out
};

struct PrunableParameter {
  std::string name;  ///< full path, the first one where several share the tensor
  at::Tensor tensor;
  std::string module_type = {};  ///< of the module that owns it: "Linear"; empty: not known
};

/// Of `candidates` those that `targets` chooses, in their order. Those that share memory are one, chosen when one of its names is, and not
/// when one is excluded or, without `include`, belongs to an embedding or a norm. Any thread.
/// @throws std::invalid_argument for a pattern that matches no name, when nothing is chosen, and for a tensor that is not dense or not
/// float32, float64, float16 or bfloat16
std::vector<PrunableParameter> chosen_parameters(const std::vector<PrunableParameter>& candidates, const PruningTargets& targets);

/// Whether two are one tensor, or lie in the same memory with as many elements.
bool is_same_memory(const at::Tensor& left, const at::Tensor& right);

/// All parameters of a module, in the order of named_parameters(), those that share memory several times.
std::vector<PrunableParameter> parameters_with_types(const torch::nn::Module& module);
/// What torch::save wrote and TorchScript loads has modules without types: embeddings are not told from layers.
std::vector<PrunableParameter> parameters_with_types(const torch::jit::Module& module);

/// The chosen ones of them. @throws as chosen_parameters()
std::vector<PrunableParameter> prunable_parameters(const torch::nn::Module& module, const PruningTargets& targets = {});

}  // namespace vigil
