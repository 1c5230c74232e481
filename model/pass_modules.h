// What the modules of a model did in one forward pass.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/model/forward_record.h"
#include "vigil/model/module_tree.h"

namespace vigil {

struct ModulePass {
  std::uint64_t macs = 0;                    ///< of its own operators, not those of the modules below it
  std::uint64_t calls = 0;                   ///< 0: none that was seen
  std::uint64_t output_bytes = 0;            ///< of all its calls; of a module with children what its own parameters gave
  std::optional<TensorSizes> input, output;  ///< of the first call; nothing where it is not known for sure
  TensorSizes kernel;                        ///< of a convolution or pooling
};

/// One for each module of the tree. Of TorchScript libtorch tells who calls what. C++ modules have no hooks, so there it is inferred from
/// which parameters the operators use and where their data goes.
std::vector<ModulePass> modules_of_pass(const std::vector<ModuleNode>& tree, const ForwardRecord& record);

/// For a record that is not told: all but the kernels.
std::vector<ModulePass> inferred_modules(const std::vector<ModuleNode>& tree, const std::vector<PassOperation>& operations);

/// "maxpool2d" for "MaxPool2d" and "max_pool2d".
std::string plain_name(std::string_view text);

/// Whether a module without parameters of that type runs that operator.
bool may_be_of(const std::string& plain_type, const std::string& plain_operation);

/// Bytes that a module's own parameters gave: one tensor for each time that they are used. `users`: by operation the module whose
/// parameters it uses, or -1.
std::uint64_t own_bytes(const std::vector<PassOperation>& operations, const std::vector<int>& users, int module);

/// ModuleList and ModuleDict call nothing; Sequential calls its children, one after the other, and does nothing else.
bool is_module_list(const ModuleNode& node);
bool is_sequential(const ModuleNode& node);

}  // namespace vigil
