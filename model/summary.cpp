#include "vigil/model/summary.h"

#include <unordered_map>
#include <utility>

#include <torch/csrc/autograd/grad_mode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/nn/module.h>

#include "vigil/model/forward_record.h"
#include "vigil/model/mode_keeper.h"
#include "vigil/model/module_tensors.h"
#include "vigil/model/module_tree.h"
#include "vigil/model/pass_modules.h"
#include "vigil/operators/layer_attribution.h"

namespace vigil {
namespace {

ModelSummary counted_summary(const std::vector<ModuleNode>& tree) {
  ParameterCount count = count_parameters(tree);
  ModelSummary summary;
  summary.total = count.total;
  summary.by_type = std::move(count.by_type);
  for (ModuleCount& one : count.modules) {
    ModuleSummary module;
    if (summary.total.parameters() > 0) {
      module.share = static_cast<double>(one.total.parameters()) / static_cast<double>(summary.total.parameters());
    }
    module.count = std::move(one);
    summary.modules.push_back(std::move(module));
  }
  return summary;
}

std::uint64_t bytes_of_input(const at::Tensor& tensor) {
  return static_cast<std::uint64_t>(tensor.numel()) * static_cast<std::uint64_t>(tensor.element_size());
}

void take_pass(ModelSummary& summary, const std::vector<ModuleNode>& tree, const ForwardRecord& record) {
  std::vector<ModulePass> passes = modules_of_pass(tree, record);
  summary.has_forward = true;
  summary.operators = record.operations().size();
  summary.lost_operators = record.failures();
  for (std::size_t i = summary.modules.size(); i-- > 0;) {
    ModuleSummary& module = summary.modules[i];
    ModulePass& pass = passes[i];
    module.calls = pass.calls;
    module.input = std::move(pass.input);
    module.output = std::move(pass.output);
    module.kernel = std::move(pass.kernel);
    module.own_macs = pass.macs;
    module.macs += pass.macs;
    if (!tree[i].parameters.empty()) module.activation_bytes += pass.output_bytes;
    if (module.count.parent < 0) continue;
    ModuleSummary& above = summary.modules[static_cast<std::size_t>(module.count.parent)];
    above.macs += module.macs;
    above.activation_bytes += module.activation_bytes;
  }
  summary.macs = summary.modules.front().macs;
  summary.activation_bytes = summary.modules.front().activation_bytes;
}

// The root's sizes are those of the call, whatever is made of them within.
void take_ends(ModelSummary& summary, const std::vector<at::Tensor>& inputs, const at::Tensor& output) {
  ModuleSummary& root = summary.modules.front();
  root.calls = 1;
  for (const at::Tensor& input : inputs) {
    if (input.defined()) summary.input_bytes += bytes_of_input(input);
  }
  root.input.reset();
  root.output.reset();
  if (!inputs.empty() && inputs.front().defined()) root.input = inputs.front().sizes().vec();
  if (output.defined()) root.output = output.sizes().vec();
}

using ScriptCopies = std::unordered_map<const void*, torch::jit::Module>;  // by what they are copies of

// clone() makes two of a module that stands in two places.
void share_like(const torch::jit::Module& original, torch::jit::Module& copy, ScriptCopies& copies) {
  for (const auto& child : original.named_children()) {
    torch::jit::Module copied = copy.attr(child.name).toModule();
    const auto [known, is_new] = copies.try_emplace(child.value._ivalue().get(), copied);
    if (is_new) {
      share_like(child.value, copied, copies);
    } else {
      copy.setattr(child.name, known->second._ivalue());
    }
  }
}

// The same tensors, in modules and code of their own: those of `module` may have run before, optimised, so that libtorch keeps them without
// their calls.
torch::jit::Module fresh_copy(const torch::jit::Module& module) {
  torch::jit::Module copy = module.clone(/*inplace=*/true);
  ScriptCopies copies;
  share_like(module, copy, copies);
  return copy;
}

void set_evaluation(const torch::jit::Module& module) {
  for (torch::jit::Module one : module.modules()) {
    // Of a frozen module it is a constant.
    if (one.type()->hasAttribute("training") && one.attr("training").isBool()) one.setattr("training", false);
  }
}

}  // namespace

ModelSummary model_summary(torch::nn::Module& module, const std::function<at::Tensor()>& forward, const std::vector<at::Tensor>& inputs) {
  const std::vector<ModuleNode> tree = module_tree(module);
  ModelSummary summary = counted_summary(tree);
  ForwardRecord record(tree);
  at::Tensor output;
  {
    const ModeKeeper modes(module);
    module.eval();
    const at::NoGradGuard no_grad;
    record.begin(/*is_script=*/false);
    output = forward();
    record.end();
  }
  take_pass(summary, tree, record);
  take_ends(summary, inputs, output);
  return summary;
}

ModelSummary model_summary(const torch::nn::Module& module) { return counted_summary(module_tree(module)); }
ModelSummary model_summary(const torch::jit::Module& module) { return counted_summary(module_tree(module)); }

ModelSummary model_summary(torch::jit::Module& module, const std::vector<c10::IValue>& inputs) {
  torch::jit::Module copy = fresh_copy(module);
  const std::vector<ModuleNode> tree = module_tree(copy);
  ModelSummary summary = counted_summary(tree);
  ForwardRecord record(tree);
  set_evaluation(copy);
  at::Tensor output;
  {
    const torch::jit::GraphOptimizerEnabledGuard unoptimised(false);
    const at::NoGradGuard no_grad;
    record.begin(/*is_script=*/true);
    const c10::IValue result = copy.forward(inputs);
    record.end();
    record.take_result(result);
    output = first_tensor_in(result).value_or(at::Tensor());
  }
  take_pass(summary, tree, record);
  std::vector<at::Tensor> tensors;
  for_each_tensor(c10::ArrayRef<const c10::IValue>(inputs.data(), inputs.size()),
                  [&](const at::Tensor& tensor) { tensors.push_back(tensor); });
  take_ends(summary, tensors, output);
  return summary;
}

}  // namespace vigil
