#include "vigil/hooks/watched_model.h"

#include <algorithm>
#include <set>
#include <sstream>
#include <stdexcept>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "vigil/config/name_pattern.h"
#include "vigil/hooks/optimizer_state.h"
#include "vigil/hooks/tensor_reduction.h"

namespace vigil {
namespace {

void list_unmatched(const char* setting, const std::vector<std::string>& patterns, const std::vector<std::string>& names,
                    std::vector<std::string>& unmatched) {
  for (const std::string& pattern : patterns) {
    const auto is_match = [&](const std::string& name) { return matches_pattern(pattern, name); };
    if (std::none_of(names.begin(), names.end(), is_match)) unmatched.push_back(std::string(setting) + ": '" + pattern + "'");
  }
}

bool is_sampled(const SamplingConfig& sampling, const std::string& name) {
  return matches_any(sampling.include, name) && !matches_any(sampling.exclude, name);
}

// Tells tied tensors: the same TensorImpl under two names, or two that view the same memory in the same way.
class SeenTensors {
 public:
  bool insert(const at::Tensor& tensor) {
    if (!tensors_.insert(tensor.unsafeGetTensorImpl()).second) return false;
    if (tensor.layout() != at::kStrided || tensor.numel() == 0 || !tensor.has_storage()) return true;
    return views_.emplace(tensor.storage().unsafeGetStorageImpl(), tensor.storage_offset(), tensor.sizes().vec(), tensor.strides().vec())
        .second;
  }
  bool contains(const at::Tensor& tensor) const { return tensors_.count(tensor.unsafeGetTensorImpl()) > 0; }

 private:
  std::unordered_set<const void*> tensors_;
  std::set<std::tuple<const void*, std::int64_t, std::vector<std::int64_t>, std::vector<std::int64_t>>> views_;
};

std::string shape_of(const at::Tensor& tensor) {
  std::ostringstream text;
  text << tensor.sizes();
  return text.str();
}

RowSchema row_schema(TensorKind kind, const std::string& name, const at::Tensor& tensor) {
  RowSchema row;
  row.kind = kind;
  row.name = name;
  row.layer = layer_of(name);
  row.shape = shape_of(tensor);
  row.element_count = static_cast<std::uint64_t>(tensor.numel());
  row.dtype = *dtype_of(tensor.scalar_type());
  return row;
}

void add_size(ModelSize& size, const at::Tensor& tensor) {
  size.elements += static_cast<std::uint64_t>(tensor.numel());
  size.bytes += static_cast<std::uint64_t>(tensor.numel()) * tensor.element_size();
}

int append_row(Schema& schema, const SamplingConfig& sampling, TensorKind kind, const std::string& name, const at::Tensor& tensor) {
  RowSchema row = row_schema(kind, name, tensor);
  if (matches_any(sampling.histogram, name)) row.histogram = static_cast<std::int32_t>(schema.histograms++);
  schema.rows.push_back(std::move(row));
  return static_cast<int>(schema.rows.size()) - 1;
}

// Room for copies of tensors, that runs out.
class CopyBudget {
 public:
  CopyBudget(std::int64_t bytes, std::vector<std::string>& without) : left_(static_cast<std::uint64_t>(bytes)), without_(without) {}

  bool take(const RowSchema& row) {
    const std::uint64_t bytes = row.element_count * element_size(row.dtype);
    if (bytes > left_) {
      without_.push_back(row.name);
      return false;
    }
    left_ -= bytes;
    return true;
  }

 private:
  std::uint64_t left_;
  std::vector<std::string>& without_;
};

// Has measured of the sampled parameters what the settings name: in the model's order, as long as there is room for copies.
void choose_measures(WatchedModel& model, const std::vector<PartTensors>& parts, const SamplingConfig& sampling) {
  CopyBudget updates(sampling.update_ratio_bytes, model.without_update), others(sampling.copy_bytes, model.without_copy);
  for (WatchedTensor& watched : model.parameters) {
    const bool is_dense = dense_memory(watched.tensor).has_value();
    if (watched.row != WatchedTensor::kNoRow) {
      RowSchema& row = model.schema.rows[static_cast<std::size_t>(watched.row)];
      if (is_dense && matches_any(sampling.update_ratio, row.name) && updates.take(row)) row.has_update = watched.has_update = true;
      if (is_dense && matches_any(sampling.distance, row.name) && others.take(row)) row.has_distance = true;
      if (matches_any(sampling.optimizer_state, row.name)) row.optimizer_state = state_names(*parts[watched.part].optimizer);
    }
    if (watched.gradient_row != WatchedTensor::kNoRow && is_dense) {
      RowSchema& row = model.schema.rows[static_cast<std::size_t>(watched.gradient_row)];
      if (matches_any(sampling.gradient_cosine, row.name) && others.take(row)) row.has_cosine = true;
    }
  }
  for (const PartTensors& part : parts) {
    if (!sampling.optimizer_state.empty() && state_names(*part.optimizer).empty()) model.without_state.push_back(part.name);
  }
}

// Tells of each parameter whose it is, and by which rate it learns.
void assign_parts_and_rates(WatchedModel& model, const std::vector<PartTensors>& parts) {
  std::unordered_map<const void*, std::int32_t> rates;  // by the tensor itself
  std::int32_t rate = 0;
  for (const PartTensors& part : parts) {
    for (const auto& group : part.optimizer->param_groups()) {
      for (const at::Tensor& tensor : group.params()) rates.emplace(tensor.unsafeGetTensorImpl(), rate);
      ++rate;
    }
  }
  for (const WatchedTensor& watched : model.parameters) {
    const auto found = rates.find(watched.tensor.unsafeGetTensorImpl());
    for (const int row : {watched.row, watched.gradient_row}) {
      if (row == WatchedTensor::kNoRow) continue;
      RowSchema& schema = model.schema.rows[static_cast<std::size_t>(row)];
      schema.part = static_cast<std::int32_t>(watched.part);
      if (found != rates.end()) schema.learning_rate = found->second;
    }
  }
}

void check_parameter(const std::string& name, const at::Tensor& tensor, std::set<std::string>& names) {
  if (name.empty()) throw std::invalid_argument("watch: a parameter of shape " + shape_of(tensor) + " has no name; give it one");
  if (!names.insert(name).second) {
    throw std::invalid_argument("watch: two parameters are called '" + name +
                                "'; give each a name of its own, e.g. with its model in front");
  }
  // libtorch warns on stderr whenever the gradient of such a tensor is asked for.
  if (!tensor.is_leaf() && !tensor.retains_grad()) {
    throw std::invalid_argument("watch: '" + name +
                                "' is computed from other tensors (no leaf), so it has no gradient; pass what it is "
                                "computed from");
  }
}

void check_optimizer(const torch::optim::Optimizer& optimizer, const SeenTensors& known, std::size_t parameters) {
  std::size_t total = 0, foreign = 0;
  std::string first;
  for (std::size_t g = 0; g < optimizer.param_groups().size(); ++g) {
    const auto& group = optimizer.param_groups()[g].params();
    for (std::size_t p = 0; p < group.size(); ++p) {
      ++total;
      if (known.contains(group[p])) continue;
      if (foreign++ == 0) {
        first = "parameter " + std::to_string(p) + " of group " + std::to_string(g) + ", shape " + shape_of(group[p]);
      }
    }
  }
  if (total == 0) throw std::invalid_argument("watch: the optimizer holds no parameter; create it from model.parameters() first");
  if (foreign > 0) {
    throw std::invalid_argument("watch: " + std::to_string(foreign) + " of the optimizer's " + std::to_string(total) +
                                " parameters are not among the model's " + std::to_string(parameters) + " (first: " + first +
                                "); pass the model that the optimizer was created from");
  }
}

}  // namespace

WatchedModel watch_tensors(const std::vector<PartTensors>& parts, const SamplingConfig& sampling) {
  WatchedModel model;
  model.parts = parts.size();
  Schema& schema = model.schema;
  SeenTensors seen;
  std::set<std::string> layers, names;
  std::vector<std::string> with_statistics;  // a tied tensor under its first name only
  for (std::size_t part = 0; part < parts.size(); ++part) {
    for (const auto& [name, tensor] : parts[part].parameters) {
      if (!tensor.defined() || !seen.insert(tensor)) continue;
      check_parameter(name, tensor, names);
      layers.insert(layer_of(name));
      add_size(tensor.requires_grad() ? schema.trainable : schema.frozen, tensor);
      schema.parameters.push_back(name);
      WatchedTensor& watched = model.parameters.emplace_back();
      watched.tensor = tensor;
      watched.part = part;
      if (!dtype_of(tensor.scalar_type())) {
        model.left_out.push_back(name + " (" + std::string(tensor.dtype().name()) + ")");
        continue;
      }
      with_statistics.push_back(name);
      if (!is_sampled(sampling, name)) continue;
      if (sampling.parameters) watched.row = append_row(schema, sampling, TensorKind::parameter, name, tensor);
      // A frozen parameter gets a row too: it may be thawed later.
      if (sampling.gradients) watched.gradient_row = append_row(schema, sampling, TensorKind::gradient, name, tensor);
    }
  }
  if (model.parameters.empty()) {
    throw std::invalid_argument("watch: the model has no parameter; register its modules and parameters before watch()");
  }
  for (const PartTensors& part : parts) {
    check_optimizer(*part.optimizer, seen, model.parameters.size());
    const std::size_t groups = part.optimizer->param_groups().size();
    schema.learning_rates += groups;
    for (std::size_t group = 0; parts.size() > 1 && group < groups; ++group) {
      schema.groups.push_back(part.name + "/" + std::to_string(group));
    }
  }

  for (const PartTensors& part : parts) {
    for (const auto& [name, tensor] : part.buffers) {
      if (!tensor.defined() || !seen.insert(tensor)) continue;
      add_size(schema.buffers, tensor);
      // Integer buffers (BatchNorm's num_batches_tracked) are no news: they have no statistics and need no line.
      if (!dtype_of(tensor.scalar_type()) || !sampling.buffers) continue;
      with_statistics.push_back(name);
      WatchedTensor& watched = model.buffers.emplace_back();
      watched.tensor = tensor;
      if (tensor.layout() == at::kStrided) watched.infinite = static_cast<std::uint64_t>(tensor.detach().isinf().sum().item().toLong());
      if (!is_sampled(sampling, name)) continue;
      watched.row = append_row(schema, sampling, TensorKind::buffer, name, tensor);
      schema.rows.back().infinite = watched.infinite;
    }
  }
  assign_parts_and_rates(model, parts);
  list_unmatched("sampling.include", sampling.include, with_statistics, model.unmatched);
  list_unmatched("sampling.exclude", sampling.exclude, with_statistics, model.unmatched);
  // Of tensors that are left out these measure nothing.
  std::vector<std::string> sampled, weights, gradients;
  for (const RowSchema& row : schema.rows) {
    sampled.push_back(row.name);
    if (row.kind == TensorKind::parameter) weights.push_back(row.name);
    if (row.kind == TensorKind::gradient) gradients.push_back(row.name);
  }
  list_unmatched("sampling.histogram", sampling.histogram, sampled, model.unmatched);
  list_unmatched("sampling.update_ratio", sampling.update_ratio, weights, model.unmatched);
  list_unmatched("sampling.distance", sampling.distance, weights, model.unmatched);
  list_unmatched("sampling.gradient_cosine", sampling.gradient_cosine, gradients, model.unmatched);
  list_unmatched("sampling.optimizer_state", sampling.optimizer_state, weights, model.unmatched);
  choose_measures(model, parts, sampling);
  schema.layers = layers.size();
  schema.activations = sampling.activations_every_steps > 0 ? static_cast<std::size_t>(sampling.max_activations) : 0;
  return model;
}

}  // namespace vigil
