#include "vigil/model/prunable_parameters.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "vigil/config/name_pattern.h"
#include "vigil/model/module_tree.h"

namespace vigil {
namespace {

void require_matches(const std::vector<std::string>& patterns, const std::vector<PrunableParameter>& candidates) {
  for (const std::string& pattern : patterns) {
    const auto is_meant = [&](const PrunableParameter& candidate) { return matches_pattern(pattern, candidate.name); };
    if (std::any_of(candidates.begin(), candidates.end(), is_meant)) continue;
    std::string known;
    for (std::size_t i = 0; i < candidates.size() && i < 8; ++i) known += (i == 0 ? "" : ", ") + candidates[i].name;
    if (candidates.size() > 8) known += ", …";
    throw std::invalid_argument("no parameter is named '" + pattern + "'; there are: " + known);
  }
}

bool is_embedding_or_norm(const std::string& type) {
  return type.find("Embedding") != std::string::npos || type.find("Norm") != std::string::npos;
}

bool is_weight_of_layer(const PrunableParameter& candidate) {
  const std::size_t dot = candidate.name.rfind('.');
  return candidate.tensor.dim() >= 2 && candidate.name.find("weight", dot == std::string::npos ? 0 : dot + 1) != std::string::npos;
}

bool is_prunable_type(at::ScalarType type) {
  return type == at::kFloat || type == at::kDouble || type == at::kHalf || type == at::kBFloat16;
}

template <class Module>
std::vector<PrunableParameter> parameters_of(const Module& module) {
  std::vector<PrunableParameter> parameters;
  for (const ModuleNode& node : module_tree(module)) {
    for (const auto& [name, tensor] : node.parameters)
      parameters.push_back({node.path.empty() ? name : node.path + "." + name, tensor, node.type});
  }
  return parameters;
}

}  // namespace

bool is_same_memory(const at::Tensor& left, const at::Tensor& right) {
  if (left.is_same(right)) return true;
  return left.numel() > 0 && left.numel() == right.numel() && left.layout() == at::kStrided && right.layout() == at::kStrided &&
         left.data_ptr() == right.data_ptr();
}

std::vector<PrunableParameter> chosen_parameters(const std::vector<PrunableParameter>& candidates, const PruningTargets& targets) {
  require_matches(targets.include, candidates);
  require_matches(targets.exclude, candidates);
  struct Choice {
    PrunableParameter parameter;
    bool is_wanted, is_unwanted;
  };
  std::vector<Choice> choices;
  for (const PrunableParameter& candidate : candidates) {
    const bool by_default = targets.include.empty();
    const bool is_wanted = by_default ? is_weight_of_layer(candidate) && is_prunable_type(candidate.tensor.scalar_type())
                                      : matches_any(targets.include, candidate.name);
    const bool is_unwanted = matches_any(targets.exclude, candidate.name) || (by_default && is_embedding_or_norm(candidate.module_type));
    const auto same = std::find_if(choices.begin(), choices.end(),
                                   [&](const Choice& choice) { return is_same_memory(choice.parameter.tensor, candidate.tensor); });
    if (same == choices.end()) {
      choices.push_back({candidate, is_wanted, is_unwanted});
    } else {
      same->is_wanted |= is_wanted;
      same->is_unwanted |= is_unwanted;
    }
  }
  std::vector<PrunableParameter> chosen;
  for (Choice& choice : choices) {
    if (!choice.is_wanted || choice.is_unwanted) continue;
    const at::Tensor& tensor = choice.parameter.tensor;
    if (tensor.layout() != at::kStrided || !is_prunable_type(tensor.scalar_type())) {
      throw std::invalid_argument("'" + choice.parameter.name + "' is of type " + c10::toString(tensor.scalar_type()) +
                                  "; what can be pruned are dense tensors of float32, float64, float16 and bfloat16");
    }
    chosen.push_back(std::move(choice.parameter));
  }
  if (chosen.empty()) {
    throw std::invalid_argument(
        candidates.empty() ? "the model has no parameters to prune"
                           : "no parameter is chosen to be pruned: by default those of two dimensions with \"weight\" in the last part of "
                             "their names; include others by patterns");
  }
  return chosen;
}

std::vector<PrunableParameter> parameters_with_types(const torch::nn::Module& module) { return parameters_of(module); }
std::vector<PrunableParameter> parameters_with_types(const torch::jit::Module& module) { return parameters_of(module); }

std::vector<PrunableParameter> prunable_parameters(const torch::nn::Module& module, const PruningTargets& targets) {
  return chosen_parameters(parameters_with_types(module), targets);
}

}  // namespace vigil
