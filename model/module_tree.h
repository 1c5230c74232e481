// The modules of a model as a list, depth first, the root first: of a torch::nn::Module and of a TorchScript module alike.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

namespace torch {
namespace nn {
class Module;
}
namespace jit {
struct Module;
}
}  // namespace torch

namespace vigil {

struct ModuleNode {
  std::string path;       ///< "layer1.0.conv1"; empty at the root
  std::string name;       ///< the last part of it
  std::string type;       ///< "Conv2d"
  bool of_torch = false;  ///< a layer or container of torch::nn or torch.nn, whose forward() is known
  int parent = -1;
  int depth = 0;
  int original = 0;  ///< where the same object stands first: itself, or an earlier one. A repeated one has no children here
  std::vector<int> children;
  const void* object = nullptr;
  bool is_training = false;
  std::vector<std::pair<std::string, at::Tensor>> parameters, buffers;  ///< its own, defined ones
};

/// @throws std::bad_alloc
std::vector<ModuleNode> module_tree(const torch::nn::Module& module);
std::vector<ModuleNode> module_tree(const torch::jit::Module& module);

/// "Conv2d" for "torch::nn::Conv2dImpl", "Net" for "(anonymous namespace)::NetImpl" and "__torch__.models.Net".
std::string short_module_type(const std::string& type);

/// Whether `node` is `ancestor` or stands below it.
bool is_within(const std::vector<ModuleNode>& tree, int node, int ancestor);
/// The deepest module that both are or stand in. A negative one is nowhere: 0.
int common_ancestor(const std::vector<ModuleNode>& tree, int a, int b);

}  // namespace vigil
