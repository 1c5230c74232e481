#include "vigil/model/quantisation.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/modules/container/sequential.h>

#include "vigil/config/name_pattern.h"
#include "vigil/model/module_tree.h"
#include "vigil/model/prunable_parameters.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

constexpr std::uint64_t kBytesPerChannel = 8;

// Of transposed convolutions the outputs are the second dimension.
std::int64_t channels_at(const ModuleNode& module) {
  constexpr std::string_view kTransposed = "ConvTranspose";
  return module.of_torch && module.type.compare(0, kTransposed.size(), kTransposed) == 0 ? 1 : 0;
}

struct FoundWeight {
  at::Tensor tensor;
  QuantisedWeight row;
  QuantisationParameters parameters;
  const void* module = nullptr;
  bool is_shared = false;  // with another module
};

// What the program has asked for, and whether it fitted anything.
class WantedWeights {
 public:
  explicit WantedWeights(const ModelQuantisation& how) : kinds_(how.kinds), include_(how.include), exclude_(how.exclude) {}

  bool operator()(const std::string& name, const std::string& kind) {
    bool is_wanted = kinds_.fits(kind, [](const std::string& asked, const std::string& is) { return asked == is; });
    is_wanted = include_.fits(name, matches_pattern) && is_wanted;
    return !(exclude_.fits(name, matches_pattern) && !exclude_.asked.empty()) && is_wanted;
  }
  /// @throws std::invalid_argument
  void require_all_fitted() const {
    for (const Asked* list : {&kinds_, &include_, &exclude_}) {
      for (std::size_t i = 0; i < list->asked.size(); ++i) {
        if (list->has_fitted[i]) continue;
        throw std::invalid_argument(list == &kinds_ ? "no weights to quantise are of a '" + list->asked[i] + "'"
                                                    : "no weight to quantise is named '" + list->asked[i] + "'");
      }
    }
  }

 private:
  struct Asked {
    explicit Asked(const std::vector<std::string>& all) : asked(all), has_fitted(all.size()) {}
    template <class Fit>
    bool fits(const std::string& name, Fit fit) {
      bool any = asked.empty();
      for (std::size_t i = 0; i < asked.size(); ++i) {
        if (!fit(asked[i], name)) continue;
        has_fitted[i] = any = true;
      }
      return any;
    }
    const std::vector<std::string>& asked;
    std::vector<bool> has_fitted;
  };

  Asked kinds_, include_, exclude_;
};

FoundWeight measured(const ModuleNode& module, const std::string& name, const at::Tensor& tensor, const ModelQuantisation& how,
                     WantedWeights& wanted) {
  FoundWeight weight;
  weight.tensor = tensor;
  weight.module = module.object;
  QuantisedWeight& row = weight.row;
  row.name = module.path.empty() ? name : module.path + "." + name;
  row.kind = module.type;
  row.sizes = tensor.sizes().vec();
  row.channels_at = channels_at(module);
  row.bytes_before = row.bytes_after = tensor.nbytes();
  if (!wanted(row.name, row.kind)) {
    row.is_kept = true;
    row.execution = "kept";
    return weight;
  }
  // As float32, in which 1e300 is Inf.
  require_finite(tensor.detach().to(at::kFloat), row.name);
  try {
    weight.parameters = parameters_for(tensor, how.layer.grid, row.channels_at);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(row.name + ": " + error.what());
  }
  row.error = quantisation_error(tensor, weight.parameters);
  row.scheme = grid_text(how.layer.grid);
  row.execution = "rounded in place, float arithmetic";
  row.bytes_after =
      static_cast<std::uint64_t>(tensor.numel()) + kBytesPerChannel * static_cast<std::uint64_t>(weight.parameters.scale.numel());
  return weight;
}

// With the error of each, so that a fault of any comes before a change of one.
std::vector<FoundWeight> weights_to_quantise(const std::vector<ModuleNode>& tree, const ModelQuantisation& how) {
  std::vector<FoundWeight> found;
  WantedWeights wanted(how);
  for (const ModuleNode& module : tree) {
    for (const auto& [name, tensor] : module.parameters) {
      if (tensor.dim() < 2 || !at::isFloatingType(tensor.scalar_type()) || tensor.layout() != at::kStrided) continue;
      const auto same = std::find_if(found.begin(), found.end(),
                                     [&tensor = tensor](const FoundWeight& other) { return is_same_memory(other.tensor, tensor); });
      if (same == found.end()) {
        found.push_back(measured(module, name, tensor, how, wanted));
      } else {
        same->is_shared = true;
      }
    }
  }
  wanted.require_all_fitted();
  return found;
}

void round_in_place(const FoundWeight& weight) {
  if (weight.row.is_kept) return;
  const at::NoGradGuard no_grad;
  at::Tensor(weight.tensor).copy_(quantised(weight.tensor, weight.parameters).dequantize());
}

QuantisationReport report_of(const std::vector<ModuleNode>& tree, const std::vector<FoundWeight>& weights) {
  QuantisationReport report;
  std::vector<at::Tensor> seen;
  for (const ModuleNode& module : tree) {
    for (const auto* tensors : {&module.parameters, &module.buffers}) {
      for (const auto& named : *tensors) {
        const at::Tensor& tensor = named.second;
        if (std::any_of(seen.begin(), seen.end(), [&](const at::Tensor& other) { return is_same_memory(other, tensor); })) continue;
        seen.push_back(tensor);
        report.model_bytes_before += tensor.nbytes();
      }
    }
  }
  report.model_bytes_after = report.model_bytes_before;
  for (const FoundWeight& weight : weights) {
    report.model_bytes_after += weight.row.bytes_after;
    report.model_bytes_after -= weight.row.bytes_before;
    report.weights.push_back(weight.row);
  }
  return report;
}

// The layers of a Sequential that have a quantised form, by what they were.
class Exchange {
 public:
  explicit Exchange(const ModelQuantisation& how) : how_(how) {}

  template <class Float, class Quantised>
  bool offer(torch::nn::AnyModule& slot, const std::shared_ptr<torch::nn::Module>& module, std::vector<FoundWeight>& weights) {
    const auto layer = std::dynamic_pointer_cast<Float>(module);
    if (layer == nullptr) return false;
    std::vector<FoundWeight*> its;
    for (FoundWeight& weight : weights) {
      if (weight.module == static_cast<const void*>(module.get())) its.push_back(&weight);
    }
    // Another layer that shares the weight would go on with the float one.
    const auto has_to_stay = [](const FoundWeight* weight) { return weight->row.is_kept || weight->is_shared; };
    if (its.empty() || std::any_of(its.begin(), its.end(), has_to_stay)) return false;
    std::shared_ptr<Quantised> quantised_layer;
    try {
      quantised_layer = std::make_shared<Quantised>(*layer, how_.layer);
    } catch (const std::invalid_argument& error) {
      for (FoundWeight* weight : its) weight->row.execution += std::string(": ") + error.what();
      return false;
    }
    quantised_layer->train(layer->is_training());
    for (FoundWeight* weight : its) {
      weight->row.execution = quantised_layer->execution();
      weight->row.uses_kernel = quantised_layer->uses_kernel();
      exchanged_.insert(weight->tensor.unsafeGetTensorImpl());
    }
    slot = torch::nn::AnyModule(quantised_layer);
    return true;
  }

  void visit(torch::nn::SequentialImpl& sequential, std::vector<FoundWeight>& weights) {
    for (const auto& child : sequential.named_children()) {
      // A class derived from it may have children that it does not call.
      const auto found =
          std::find_if(sequential.begin(), sequential.end(), [&](const torch::nn::AnyModule& one) { return one.ptr() == child.value(); });
      if (found == sequential.end()) continue;
      torch::nn::AnyModule& slot = *found;
      if (offer<torch::nn::LinearImpl, QuantisedLinearImpl>(slot, child.value(), weights) ||
          offer<torch::nn::LSTMImpl, QuantisedLSTMImpl>(slot, child.value(), weights)) {
        sequential.replace_module(child.key(), slot.ptr());
      }
    }
  }

  bool has_exchanged(const FoundWeight& weight) const { return exchanged_.count(weight.tensor.unsafeGetTensorImpl()) != 0; }

 private:
  const ModelQuantisation& how_;
  std::set<const void*> exchanged_;
};

std::string sizes_text(const std::vector<std::int64_t>& sizes) {
  std::string text;
  for (const std::int64_t size : sizes) text += (text.empty() ? "" : "x") + std::to_string(size);
  return text;
}

std::string fixed_text(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

QuantisationReport measured_only(const std::vector<ModuleNode>& tree, const ModelQuantisation& how) {
  QuantisationReport report = report_of(tree, weights_to_quantise(tree, how));
  for (QuantisedWeight& weight : report.weights) {
    if (!weight.is_kept) weight.execution.clear();
  }
  return report;
}

QuantisationReport rounded(const std::vector<ModuleNode>& tree, const ModelQuantisation& how) {
  const std::vector<FoundWeight> weights = weights_to_quantise(tree, how);
  QuantisationReport report = report_of(tree, weights);
  for (const FoundWeight& weight : weights) round_in_place(weight);
  return report;
}

}  // namespace

QuantisationReport quantisation_report(const torch::nn::Module& module, const ModelQuantisation& how) {
  return measured_only(module_tree(module), how);
}
QuantisationReport quantisation_report(const torch::jit::Module& module, const ModelQuantisation& how) {
  return measured_only(module_tree(module), how);
}
QuantisationReport quantise_weights(torch::nn::Module& module, const ModelQuantisation& how) { return rounded(module_tree(module), how); }
QuantisationReport quantise_weights(torch::jit::Module& module, const ModelQuantisation& how) { return rounded(module_tree(module), how); }

QuantisationReport quantise_dynamic(torch::nn::Module& module, const ModelQuantisation& given) {
  const std::vector<ModuleNode> tree = module_tree(module);
  ModelQuantisation how = given;
  if (how.kinds.empty()) {
    for (const char* kind : {"Linear", "LSTM"}) {
      const auto is_of_kind = [kind](const ModuleNode& node) { return node.type == kind; };
      if (std::any_of(tree.begin(), tree.end(), is_of_kind)) how.kinds.emplace_back(kind);
    }
    if (how.kinds.empty()) throw std::invalid_argument("the model has no Linear and no LSTM layer");
  }
  std::vector<FoundWeight> weights = weights_to_quantise(tree, how);
  // Before layers are exchanged, as their parameters are then no more the model's.
  QuantisationReport report = report_of(tree, weights);
  const std::vector<std::shared_ptr<torch::nn::Module>> modules = module.modules(false);
  Exchange exchange(how);
  if (auto* root = module.as<torch::nn::Sequential>()) exchange.visit(*root, weights);
  for (const auto& inner : modules) {
    if (auto* sequential = inner->as<torch::nn::Sequential>()) exchange.visit(*sequential, weights);
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!exchange.has_exchanged(weights[i])) round_in_place(weights[i]);
    report.weights[i] = weights[i].row;
  }
  return report;
}

std::string quantisation_table(const QuantisationReport& report, const OutputPlace& place) {
  const bool has_outputs =
      std::any_of(report.weights.begin(), report.weights.end(), [](const QuantisedWeight& weight) { return weight.outputs.has_value(); });
  std::vector<TableColumn> heads{{"weight", false, 0, 12},  {"kind", false, 3, 0}, {"size", false, 2, 0},
                                 {"before", true, 1, 0},    {"after", true, 1, 0}, {"SQNR", true, 0, 0},
                                 {"max error", true, 0, 0}, {"now 0", true, 4, 0}, {"computes", false, 1, 10}};
  if (has_outputs) heads.insert(heads.end() - 1, {"top-1", true, 0, 0});
  std::vector<TableRow> rows;
  for (const QuantisedWeight& weight : report.weights) {
    TableRow row;
    const std::string before = bytes_text(weight.bytes_before), after = bytes_text(weight.bytes_after);
    row.cells = {printable(weight.name),     printable(weight.kind), sizes_text(weight.sizes), before, after, "", "", "",
                 printable(weight.execution)};
    if (!weight.is_kept) {
      const double sqnr = weight.error.sqnr_db();
      row.cells[5] = std::isinf(sqnr) ? "exact" : fixed_text(sqnr, 1) + " dB";
      row.cells[6] = short_number(weight.error.largest_error);
      row.cells[7] = grouped(weight.error.zeroed);
    }
    if (has_outputs) row.cells.insert(row.cells.end() - 1, weight.outputs ? fixed_text(100 * weight.outputs->top1(), 2) + " %" : "");
    rows.push_back(std::move(row));
  }
  if (std::all_of(rows.begin(), rows.end(), [](const TableRow& row) { return row.cells.back().empty(); })) {
    heads.pop_back();
    for (TableRow& row : rows) row.cells.pop_back();
  }
  const double share = report.model_bytes_before == 0
                           ? 100
                           : 100.0 * static_cast<double>(report.model_bytes_after) / static_cast<double>(report.model_bytes_before);
  std::string schemes;
  for (const QuantisedWeight& weight : report.weights) {
    if (schemes.empty()) schemes = weight.scheme;
  }
  return table_text(heads, rows, place) + counted(report.weights.size(), "weight") + (schemes.empty() ? "" : ", " + schemes) + "; model " +
         bytes_text(report.model_bytes_before) + ", as integers " + bytes_text(report.model_bytes_after) + " (" + fixed_text(share, 1) +
         " %)\n";
}

Agreement agreement(const at::Tensor& reference, const at::Tensor& other) {
  const at::NoGradGuard no_grad;
  if (reference.sizes() != other.sizes() || reference.dim() == 0 || !at::isFloatingType(reference.scalar_type()) ||
      !at::isFloatingType(other.scalar_type())) {
    throw std::invalid_argument("outputs to compare are floating point, of the same sizes, with classes in the last dimension");
  }
  Agreement found;
  if (reference.numel() == 0) return found;
  const std::int64_t classes = reference.size(-1);
  const at::Tensor a = reference.detach().to(at::kCPU, at::kDouble).reshape({-1, classes});
  const at::Tensor b = other.detach().to(at::kCPU, at::kDouble).reshape({-1, classes});
  const at::Tensor is_finite = at::isfinite(a).all(1).logical_and(at::isfinite(b).all(1));
  const at::Tensor same = a.argmax(1).eq(b.argmax(1)).logical_and(is_finite);
  found.examples = static_cast<std::uint64_t>(a.size(0));
  found.agreeing = static_cast<std::uint64_t>(same.sum().item<std::int64_t>());
  found.nonfinite = found.examples - static_cast<std::uint64_t>(is_finite.sum().item<std::int64_t>());
  const at::Tensor rows = is_finite.nonzero().flatten();
  if (rows.numel() == 0) return found;
  const at::Tensor finite = a.index_select(0, rows), difference = finite - b.index_select(0, rows);
  found.largest_difference = difference.abs().max().item<double>();
  found.signal = finite.square().sum().item<double>();
  found.noise = difference.square().sum().item<double>();
  return found;
}

Agreement agreement(const Forward& reference, const Forward& other, const std::vector<at::Tensor>& inputs) {
  const at::NoGradGuard no_grad;
  Agreement sum;
  for (const at::Tensor& input : inputs) {
    const Agreement one = agreement(reference(input.clone()), other(input.clone()));
    sum.examples += one.examples;
    sum.agreeing += one.agreeing;
    sum.nonfinite += one.nonfinite;
    sum.largest_difference = std::max(sum.largest_difference, one.largest_difference);
    sum.signal += one.signal;
    sum.noise += one.noise;
  }
  return sum;
}

}  // namespace vigil
