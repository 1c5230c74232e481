#include "vigil/model/quantisation_sensitivity.h"

#include <string>
#include <utility>
#include <vector>

#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/api/module.h>

#include "vigil/model/module_tree.h"
#include "vigil/model/restored_tensors.h"

namespace vigil {
namespace {

at::Tensor parameter_named(const std::vector<ModuleNode>& tree, const std::string& name) {
  for (const ModuleNode& module : tree) {
    for (const auto& [own, tensor] : module.parameters) {
      if ((module.path.empty() ? own : module.path + "." + own) == name) return tensor;
    }
  }
  return {};
}

void round_alone(const at::Tensor& tensor, const QuantisedWeight& weight, const ModelQuantisation& how) {
  at::Tensor(tensor).copy_(quantised(tensor, parameters_for(tensor, how.layer.grid, weight.channels_at)).dequantize());
}

// `run` gives the outputs with that weight rounded; with none for nullptr.
template <class Run>
QuantisationReport with_outputs_of_each(QuantisationReport report, Run run, const SensitivityProgress& progress) {
  const at::NoGradGuard no_grad;
  const at::Tensor reference = run(nullptr);
  std::size_t done = 0;
  for (QuantisedWeight& weight : report.weights) {
    if (progress) progress(done, report.weights.size());
    ++done;
    if (!weight.is_kept) weight.outputs = agreement(reference, run(&weight));
  }
  return report;
}

}  // namespace

QuantisationReport quantisation_sensitivity(torch::nn::Module& module, const std::function<at::Tensor()>& forward,
                                            const ModelQuantisation& how, const SensitivityProgress& progress) {
  const std::vector<ModuleNode> tree = module_tree(module);
  RestoredTensors buffers;
  for (const ModuleNode& node : tree) {
    for (const auto& named : node.buffers) buffers.add(named.second);
  }
  const auto run = [&](const QuantisedWeight* weight) {
    buffers.restore();
    if (weight == nullptr) return forward().clone();
    const at::Tensor tensor = parameter_named(tree, weight->name);
    RestoredTensors kept;
    kept.add(tensor);
    round_alone(tensor, *weight, how);
    // Models may give a tensor of their own, which the next run changes.
    return forward().clone();
  };
  return with_outputs_of_each(quantisation_report(module, how), run, progress);
}

QuantisationReport quantisation_sensitivity(const torch::jit::Module& module, const std::function<at::Tensor(torch::jit::Module&)>& forward,
                                            const ModelQuantisation& how, const SensitivityProgress& progress) {
  const auto run = [&](const QuantisedWeight* weight) {
    torch::jit::Module copy = module.deepcopy();
    if (weight != nullptr) round_alone(parameter_named(module_tree(copy), weight->name), *weight, how);
    return forward(copy).clone();
  };
  return with_outputs_of_each(quantisation_report(module, how), run, progress);
}

}  // namespace vigil
