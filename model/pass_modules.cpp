#include "vigil/model/pass_modules.h"

#include <algorithm>
#include <utility>

namespace vigil {
namespace {

std::vector<ModulePass> told_modules(const std::vector<ModuleNode>& tree, const ForwardRecord& record) {
  std::vector<ModulePass> passes(tree.size());
  for (const PassOperation& operation : record.operations()) {
    ModulePass& pass = passes[static_cast<std::size_t>(std::max(operation.module, 0))];
    pass.macs += operation.macs;
    if (pass.kernel.empty()) pass.kernel = operation.kernel;
  }
  for (const ScriptCall& call : record.calls()) {
    ModulePass& pass = passes[static_cast<std::size_t>(call.module)];
    const DataTensor* output = nullptr;
    for (int i = call.end_operation; output == nullptr && i-- > call.first_operation;) {
      const auto& outputs = record.operations()[static_cast<std::size_t>(i)].outputs;
      if (!outputs.empty()) output = &outputs.front();
    }
    const bool is_leaf = tree[static_cast<std::size_t>(call.module)].children.empty();
    if (output != nullptr && is_leaf) pass.output_bytes += output->bytes;
    if (pass.calls++ > 0) continue;
    if (!call.inputs.empty()) pass.input = call.inputs.front();
    if (output != nullptr) {
      pass.output = output->sizes;
    } else if (call.inputs.size() == 1) {
      pass.output = pass.input;  // it gave back what it got
    }
  }
  return passes;
}

bool starts_like(const std::string& type, const char* beginning) { return type.rfind(beginning, 0) == 0; }

}  // namespace

bool is_module_list(const ModuleNode& node) { return node.of_torch && (node.type == "ModuleList" || node.type == "ModuleDict"); }
bool is_sequential(const ModuleNode& node) { return node.of_torch && node.type == "Sequential"; }

std::vector<ModulePass> modules_of_pass(const std::vector<ModuleNode>& tree, const ForwardRecord& record) {
  std::vector<ModulePass> passes = record.is_told() ? told_modules(tree, record) : inferred_modules(tree, record.operations());
  for (std::size_t i = 0; i < tree.size(); ++i) {
    if (!starts_like(tree[i].type, "Conv")) continue;
    for (const auto& [name, tensor] : tree[i].parameters) {
      if (name == "weight" && tensor.dim() > 2) passes[i].kernel.assign(tensor.sizes().begin() + 2, tensor.sizes().end());
    }
  }
  return passes;
}

}  // namespace vigil
