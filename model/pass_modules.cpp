#include "vigil/model/pass_modules.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <utility>

namespace vigil {
namespace {

struct OperatorOfType {
  std::string_view type, operation;  // plain names; the operator's begins so
};
// Where the operator is not named as the module is.
constexpr std::array kOperatorsOfTypes{
    OperatorOfType{"batchnorm1d", "batchnorm"},       OperatorOfType{"batchnorm2d", "batchnorm"},
    OperatorOfType{"batchnorm3d", "batchnorm"},       OperatorOfType{"dropout2d", "featuredropout"},
    OperatorOfType{"dropout3d", "featuredropout"},    OperatorOfType{"fold", "col2im"},
    OperatorOfType{"instancenorm1d", "instancenorm"}, OperatorOfType{"instancenorm2d", "instancenorm"},
    OperatorOfType{"instancenorm3d", "instancenorm"}, OperatorOfType{"relu6", "hardtanh"},
    OperatorOfType{"softmax2d", "softmax"},           OperatorOfType{"unfold", "im2col"},
    OperatorOfType{"upsample", "upsample"},
};

// What others take that a call has made: the first of it, if all of it has the same sizes.
const DataTensor* result_of(const ScriptCall& call, const ForwardRecord& record) {
  const DataTensor* result = nullptr;
  bool is_sure = true;
  const auto look_at = [&](const std::vector<DataTensor>& tensors) {
    for (const DataTensor& tensor : tensors) {
      if (tensor.producer < call.first_operation || tensor.producer >= call.end_operation) continue;
      if (result == nullptr) result = &tensor;
      is_sure = is_sure && tensor.sizes == result->sizes;
    }
  };
  for (std::size_t i = static_cast<std::size_t>(std::max(call.end_operation, 0)); i < record.operations().size(); ++i) {
    look_at(record.operations()[i].inputs);
  }
  look_at(record.results());
  return is_sure ? result : nullptr;
}

std::vector<ModulePass> told_modules(const std::vector<ModuleNode>& tree, const ForwardRecord& record) {
  std::vector<ModulePass> passes(tree.size());
  std::vector<int> users;
  for (const PassOperation& operation : record.operations()) {
    ModulePass& pass = passes[static_cast<std::size_t>(std::max(operation.module, 0))];
    pass.macs += operation.macs;
    if (pass.kernel.empty()) pass.kernel = operation.kernel;
    users.push_back(operation.role == OperatorPlace::Role::layer ? operation.module : -1);
  }
  for (std::size_t i = 0; i < tree.size(); ++i) passes[i].output_bytes = own_bytes(record.operations(), users, static_cast<int>(i));
  for (const ScriptCall& call : record.calls()) {
    ModulePass& pass = passes[static_cast<std::size_t>(call.module)];
    if (pass.calls++ > 0) continue;
    if (!call.inputs.empty()) pass.input = call.inputs.front();
    if (const DataTensor* const result = result_of(call, record)) {
      pass.output = result->sizes;
    } else if (call.inputs.size() == 1 && call.first_operation == call.end_operation) {
      pass.output = pass.input;  // it gave back what it got
    }
  }
  return passes;
}

bool starts_like(const std::string& type, const char* beginning) { return type.rfind(beginning, 0) == 0; }

}  // namespace

std::string plain_name(std::string_view text) {
  std::string plain;
  for (const char letter : text) {
    if (letter != '_') plain += static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  }
  return plain;
}

bool may_be_of(const std::string& plain_type, const std::string& plain_operation) {
  if (plain_type == plain_operation) return true;
  if (plain_operation == "padenum") return plain_type.find("pad") != std::string::npos;  // of all kinds of padding
  return std::any_of(kOperatorsOfTypes.begin(), kOperatorsOfTypes.end(), [&](const OperatorOfType& row) {
    return row.type == plain_type && plain_operation.compare(0, row.operation.size(), row.operation) == 0;
  });
}

std::uint64_t own_bytes(const std::vector<PassOperation>& operations, const std::vector<int>& users, int module) {
  std::uint64_t bytes = 0, latest = 0;
  std::set<int> used;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    if (users[i] != module || operations[i].outputs.empty()) continue;
    if (!used.insert(operations[i].parameter).second) {
      bytes += latest;
      used = {operations[i].parameter};
    }
    latest = operations[i].outputs.front().bytes;
  }
  return bytes + latest;
}

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
