#include "vigil/model/summary.h"

#include <memory>
#include <utility>

#include <torch/csrc/autograd/grad_mode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/nn/module.h>

#include "vigil/model/forward_record.h"
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

// The modes of all modules, which evaluation mode changes.
class SummaryModes {
 public:
  explicit SummaryModes(torch::nn::Module& module) : module_(module), below_(module.modules(/*include_self=*/false)) {
    was_training_.push_back(module.is_training());
    for (const auto& one : below_) was_training_.push_back(one->is_training());
    module.eval();
  }
  ~SummaryModes() {
    try {
      // train() sets the modules below, too, so they come after it.
      module_.train(was_training_.front());
      for (std::size_t i = 0; i < below_.size(); ++i) {
        if (below_[i]->is_training() != was_training_[i + 1]) below_[i]->train(was_training_[i + 1]);
      }
    } catch (...) {
      // A train() of the program's that throws.
    }
  }
  SummaryModes(const SummaryModes&) = delete;
  SummaryModes& operator=(const SummaryModes&) = delete;

 private:
  torch::nn::Module& module_;
  std::vector<std::shared_ptr<torch::nn::Module>> below_;
  std::vector<bool> was_training_;
};

class ScriptModes {
 public:
  explicit ScriptModes(torch::jit::Module& module) {
    for (const torch::jit::Module& one : module.modules()) {
      if (one.hasattr("training") && one.attr("training").isBool()) training_.emplace_back(one, one.attr("training").toBool());
    }
    for (auto& [one, was_training] : training_) one.setattr("training", false);
    torch::jit::setGraphExecutorOptimize(false);
  }
  ~ScriptModes() {
    torch::jit::setGraphExecutorOptimize(was_optimised_);
    try {
      for (auto& [one, was_training] : training_) one.setattr("training", was_training);
    } catch (...) {
      // An attribute that was there before.
    }
  }
  ScriptModes(const ScriptModes&) = delete;
  ScriptModes& operator=(const ScriptModes&) = delete;

 private:
  std::vector<std::pair<torch::jit::Module, bool>> training_;
  const bool was_optimised_ = torch::jit::getGraphExecutorOptimize();
};

at::Tensor first_tensor_of(const c10::IValue& value) {
  at::Tensor first;
  if (value.isTensor()) return value.toTensor();
  if (value.isTuple()) {
    for (const c10::IValue& element : value.toTupleRef().elements()) {
      if (first = first_tensor_of(element); first.defined()) break;
    }
  } else if (value.isList()) {
    for (const c10::IValue& element : value.toListRef()) {
      if (first = first_tensor_of(element); first.defined()) break;
    }
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) {
      if (first = first_tensor_of(entry.value()); first.defined()) break;
    }
  }
  return first;
}

}  // namespace

ModelSummary model_summary(torch::nn::Module& module, const std::function<at::Tensor()>& forward, const std::vector<at::Tensor>& inputs) {
  const std::vector<ModuleNode> tree = module_tree(module);
  ModelSummary summary = counted_summary(tree);
  ForwardRecord record(tree);
  at::Tensor output;
  {
    const SummaryModes modes(module);
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
  const std::vector<ModuleNode> tree = module_tree(module);
  ModelSummary summary = counted_summary(tree);
  ForwardRecord record(tree);
  at::Tensor output;
  {
    const ScriptModes modes(module);
    const at::NoGradGuard no_grad;
    record.begin(/*is_script=*/true);
    output = first_tensor_of(module.forward(inputs));
    record.end();
  }
  take_pass(summary, tree, record);
  std::vector<at::Tensor> tensors;
  for_each_tensor(c10::ArrayRef<const c10::IValue>(inputs.data(), inputs.size()),
                  [&](const at::Tensor& tensor) { tensors.push_back(tensor); });
  take_ends(summary, tensors, output);
  return summary;
}

}  // namespace vigil
