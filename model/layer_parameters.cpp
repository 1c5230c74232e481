#include "vigil/model/layer_parameters.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <torch/csrc/jit/api/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/rnn.h>

#include "vigil/model/module_tree.h"

namespace vigil {
namespace {

bool begins(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }

LayerKind kind_of(std::string_view type) {
  if (type == "Linear" || type == "NonDynamicallyQuantizableLinear") return LayerKind::linear;
  if (type == "Bilinear") return LayerKind::bilinear;
  if (begins(type, "ConvTranspose")) return LayerKind::transposed_convolution;
  if (type == "Conv1d" || type == "Conv2d" || type == "Conv3d") return LayerKind::convolution;
  if (type == "Embedding" || type == "EmbeddingBag") return LayerKind::embedding;
  if (type.find("Norm") != std::string_view::npos) return LayerKind::normalisation;
  for (const char* recurrent : {"LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"}) {
    if (type == recurrent) return LayerKind::recurrent;
  }
  return type == "MultiheadAttention" ? LayerKind::attention : LayerKind::other;
}

// A module as both kinds of them tell of it.
struct Owner {
  std::string path, type;
  std::int64_t groups = 1;
  std::optional<std::int64_t> padding;
  bool has_running_mean = false;
  std::vector<std::pair<std::string, at::Tensor>> parameters;  // its own
};

const at::Tensor* find_parameter(const Owner& owner, std::string_view start) {
  for (const auto& [name, tensor] : owner.parameters) {
    if (begins(name, start) && tensor.defined()) return &tensor;
  }
  return nullptr;
}

std::string guessed_type(const Owner& owner) {
  if (const at::Tensor* state = find_parameter(owner, "weight_hh"); state != nullptr && state->dim() == 2) {
    const at::Tensor* projection = find_parameter(owner, "weight_hr");
    const std::int64_t hidden = projection != nullptr ? projection->size(projection->dim() - 1) : state->size(1);
    const std::int64_t gates = hidden > 0 ? state->size(0) / hidden : 0;
    return gates == 4 ? "LSTM" : gates == 3 ? "GRU" : "RNN";
  }
  if (find_parameter(owner, "in_proj_weight") != nullptr) return "MultiheadAttention";
  const at::Tensor* weight = find_parameter(owner, "weight");
  if (weight == nullptr) return "";
  if (weight->dim() == 1) return owner.has_running_mean ? "BatchNorm" : "LayerNorm";
  if (weight->dim() == 2) return "Linear";
  return weight->dim() <= 5 ? "Conv" + std::to_string(weight->dim() - 2) + "d" : "";
}

std::int64_t blocks_of(const Owner& owner, LayerKind kind, std::string_view name) {
  if (kind == LayerKind::attention) return begins(name, "in_proj") ? 3 : 1;
  if (kind != LayerKind::recurrent || begins(name, "weight_hr")) return 1;
  return begins(owner.type, "LSTM") ? 4 : begins(owner.type, "GRU") ? 3 : 1;
}

class ParameterList {
 public:
  void add(Owner owner) {
    const LayerKind kind = kind_of(owner.type);
    for (const auto& [name, tensor] : owner.parameters) {
      if (!tensor.defined()) continue;
      const std::string path = owner.path.empty() ? name : owner.path + "." + name;
      const auto [known, is_new] = known_.try_emplace(tensor.unsafeGetTensorImpl(), all.size());
      LayerParameter* const first = is_new ? nullptr : &all[known->second];
      if (first != nullptr && (first->kind != LayerKind::other || kind == LayerKind::other)) {
        first->other_paths.push_back(path);
        continue;
      }
      LayerParameter parameter;
      parameter.path = path;
      parameter.module = owner.path;
      parameter.type = owner.type;
      parameter.parameter = name;
      parameter.kind = kind;
      parameter.tensor = tensor;
      parameter.groups = owner.groups;
      parameter.blocks = blocks_of(owner, kind, name);
      if (kind == LayerKind::recurrent) {
        if (const at::Tensor* gates = find_parameter(owner, "weight_ih"); gates != nullptr && gates->dim() == 2) {
          parameter.hidden = gates->size(0) / blocks_of(owner, kind, "weight_ih");
        }
      }
      if (kind == LayerKind::embedding && name == "weight") parameter.padding = owner.padding;
      if (const at::Tensor* weight = find_parameter(owner, "weight"); weight != nullptr && name == "bias") parameter.weight = *weight;
      if (first == nullptr) {
        all.push_back(std::move(parameter));
      } else {
        parameter.other_paths = std::move(first->other_paths);
        parameter.other_paths.push_back(first->path);
        *first = std::move(parameter);
      }
    }
  }

  std::vector<LayerParameter> all;

 private:
  std::unordered_map<const void*, std::size_t> known_;
};

template <class Layer>
bool take_groups(const torch::nn::Module& module, const char* type, Owner& owner) {
  const auto* const layer = module.as<Layer>();
  if (layer == nullptr) return false;
  owner.groups = layer->options.groups();
  if (kind_of(owner.type) == LayerKind::other) owner.type = type;  // a class of the program's that derives from it
  return true;
}

void take_options(const torch::nn::Module& module, Owner& owner) {
  using namespace torch::nn;
  if (take_groups<Conv1dImpl>(module, "Conv1d", owner) || take_groups<Conv2dImpl>(module, "Conv2d", owner) ||
      take_groups<Conv3dImpl>(module, "Conv3d", owner) || take_groups<ConvTranspose1dImpl>(module, "ConvTranspose1d", owner) ||
      take_groups<ConvTranspose2dImpl>(module, "ConvTranspose2d", owner) ||
      take_groups<ConvTranspose3dImpl>(module, "ConvTranspose3d", owner)) {
    return;
  }
  if (const auto* const table = module.as<EmbeddingImpl>()) {
    if (const auto row = table->options.padding_idx()) owner.padding = *row;
  }
}

// An attribute of a scripted module; a traced one has none.
std::optional<std::int64_t> whole_attribute(const torch::jit::Module& module, const std::string& name) {
  if (!module.hasattr(name)) return std::nullopt;
  const c10::IValue value = module.attr(name);
  return value.isInt() ? std::optional(value.toInt()) : std::nullopt;
}

void add_scripted(const torch::jit::Module& module, const std::string& path, ParameterList& list) {
  Owner owner;
  owner.path = path;
  const auto type = module.type();
  owner.type = type->name() ? short_module_type(type->name()->qualifiedName()) : "";
  // What torch::save() writes has the same class for all.
  const bool is_archive = owner.type.empty() || owner.type == "Module" || begins(owner.type, "___torch_mangle");
  for (std::size_t i = 0; i < type->numAttributes(); ++i) {
    const std::string& name = type->getAttributeName(i);
    const c10::IValue value = module.attr(name);
    if (!value.isTensor() || !value.toTensor().defined()) continue;
    const at::Tensor tensor = value.toTensor();
    if (name == "running_mean") owner.has_running_mean = true;
    if (type->is_parameter(i)) owner.parameters.emplace_back(name, tensor);
  }
  if (is_archive) owner.type = guessed_type(owner);
  owner.groups = std::max<std::int64_t>(whole_attribute(module, "groups").value_or(1), 1);
  owner.padding = whole_attribute(module, "padding_idx");
  list.add(std::move(owner));
  for (const auto& child : module.named_children()) add_scripted(child.value, path.empty() ? child.name : path + "." + child.name, list);
}

}  // namespace

std::vector<LayerParameter> layer_parameters(const torch::nn::Module& module) {
  ParameterList list;
  const auto add = [&](const std::string& path, const torch::nn::Module& owner_module) {
    Owner owner;
    owner.path = path;
    owner.type = short_module_type(owner_module.name());
    take_options(owner_module, owner);
    for (const auto& item : owner_module.named_parameters(/*recurse=*/false)) owner.parameters.emplace_back(item.key(), item.value());
    list.add(std::move(owner));
  };
  add("", module);
  for (const auto& item : module.named_modules({}, /*include_self=*/false)) add(item.key(), *item.value());
  return std::move(list.all);
}

std::vector<LayerParameter> layer_parameters(const torch::jit::Module& module) {
  ParameterList list;
  add_scripted(module, "", list);
  return std::move(list.all);
}

std::optional<Fans> fans_of(const LayerParameter& parameter) {
  const at::Tensor& tensor = parameter.tensor;
  if (tensor.dim() < 2) return std::nullopt;
  const std::int64_t rows = tensor.size(0) / std::max<std::int64_t>(parameter.blocks, 1), columns = tensor.size(1);
  std::int64_t positions = 1;
  for (std::int64_t d = 2; d < tensor.dim(); ++d) positions *= tensor.size(d);
  switch (parameter.kind) {
    case LayerKind::convolution: return Fans{columns * positions, rows / parameter.groups * positions};
    case LayerKind::transposed_convolution: return Fans{rows / parameter.groups * positions, columns * positions};
    case LayerKind::embedding: return Fans{1, columns};
    case LayerKind::bilinear: return Fans{columns * positions, rows};
    default: return Fans{columns * positions, rows * positions};
  }
}

}  // namespace vigil
