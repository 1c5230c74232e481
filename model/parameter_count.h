// How many parameters a model has, and where.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vigil/terminal/text_style.h"

namespace torch {
namespace nn {
class Module;
}
namespace jit {
struct Module;
}
}  // namespace torch

namespace vigil {

struct ModuleNode;

/// Elements and bytes. What lies in the same memory counts once, where it stands first.
struct TensorCount {
  std::uint64_t trainable = 0;  ///< elements of parameters that require a gradient
  std::uint64_t frozen = 0;     ///< of those that do not
  std::uint64_t buffers = 0;    ///< elements of buffers
  std::uint64_t shared = 0;     ///< elements of parameters and buffers that are counted elsewhere
  std::uint64_t parameter_bytes = 0;
  std::uint64_t buffer_bytes = 0;

  std::uint64_t parameters() const noexcept { return trainable + frozen; }
};
void add(TensorCount& into, const TensorCount& other) noexcept;

struct ModuleCount {
  std::string path;          ///< "layer1.0.conv1"; empty at the root
  std::string name;          ///< the last part of it
  std::string type;          ///< "Conv2d"
  int depth = 0;             ///< of the root 0
  int parent = -1;           ///< index among the modules; of the root -1
  bool is_repeated = false;  ///< the same module as one before; what is in it stands there
  TensorCount own;           ///< of its own tensors
  TensorCount total;         ///< with those of all modules below it
};

struct TypeCount {
  std::string type;  ///< "float32"
  TensorCount count;
};

struct ParameterCount {
  TensorCount total;
  std::vector<TypeCount> by_type;    ///< in the order in which they are met
  std::vector<ModuleCount> modules;  ///< depth first, the root first
};

/// Counts parameters and buffers that are registered, under whatever names: one that is registered in two modules (a tied embedding), a
/// module that is registered twice, and views of memory that is counted already count once. Reads no values. Undefined tensors count
/// nothing, a sparse one its values. Any thread that may read the module. @throws std::bad_alloc
ParameterCount count_parameters(const torch::nn::Module& module);
/// Of a TorchScript module. The packed weights of quantised layers are no tensors of it and are not counted.
ParameterCount count_parameters(const torch::jit::Module& module);
ParameterCount count_parameters(const std::vector<ModuleNode>& tree);

/// A row for each module down to `depth` (of the root 0), its figures with those below it, and the totals.
std::string parameter_count_text(const ParameterCount& count, int depth, const OutputPlace& place);

}  // namespace vigil
