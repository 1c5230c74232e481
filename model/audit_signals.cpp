#include "vigil/model/audit_signals.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include "vigil/model/audit_weights.h"

namespace vigil {
namespace {

// Inputs beyond which the derivative is below 1 % of its largest.
constexpr double kTanhLinear = 2.99, kSigmoidLinear = 5.99;
// Values of a unit without which nothing is said of whether it is dead.
constexpr std::int64_t kLeastOfAUnit = 8;

bool is_activation(std::string_view operation) {
  constexpr std::array<std::string_view, 17> kActivations{"relu", "leaky_relu", "tanh",        "sigmoid", "gelu",       "silu",
                                                          "elu",  "selu",       "celu",        "prelu",   "hardtanh",   "hardswish",
                                                          "mish", "softplus",   "hardsigmoid", "softmax", "log_softmax"};
  return std::find(kActivations.begin(), kActivations.end(), operation) != kActivations.end();
}

TensorPlaces::NamedTensors named(const std::vector<LayerParameter>& parameters) {
  TensorPlaces::NamedTensors tensors;
  for (const LayerParameter& parameter : parameters) tensors.emplace_back(parameter.path, parameter.tensor);
  return tensors;
}

std::uint64_t count_beyond(const at::Tensor& tensor, double bound) {
  return static_cast<std::uint64_t>(tensor.detach().abs().gt(bound).sum().item<std::int64_t>());
}

bool has_figures(const at::Tensor& tensor) { return tensor.is_floating_point() && tensor.layout() == at::kStrided; }

}  // namespace

SignalProbe::SignalProbe(const std::vector<LayerParameter>& parameters, const TensorPlaces::NamedTensors& buffers)
    : parameters_(parameters), places_(named(parameters), buffers), attribution_(places_) {
  if (!observer_.attach(*this)) {
    throw std::runtime_error("too many observers of operators are attached; audit while no monitor looks at activations");
  }
}

std::vector<ProbedLayer> SignalProbe::end() {
  const std::uint64_t failures = observer_.failures();
  observer_.detach();
  if (failures > 0) throw std::runtime_error("the output of " + std::to_string(failures) + " operators could not be looked at");
  std::vector<ProbedLayer> layers;
  for (Layer& layer : layers_) {
    merge(layer.earlier, layer.latest);
    layer.signal.output = layer.earlier;
    layers.push_back(std::move(static_cast<ProbedLayer&>(layer)));
  }
  return layers;
}

int SignalProbe::layer_index(const std::string& path, LayerKind kind) {
  const auto [known, is_new] = by_path_.try_emplace(path, static_cast<int>(layers_.size()));
  if (is_new) {
    layers_.emplace_back();
    layers_.back().path = path;
    layers_.back().kind = kind;
    layers_.back().signal.input_std = std::numeric_limits<double>::quiet_NaN();
  }
  return known->second;
}

std::unique_ptr<OperatorCall> SignalProbe::on_start(const OperatorStart& start, const OperatorCall* parent, bool in_backward) {
  auto call = std::make_unique<Call>();
  if (parent != nullptr || in_backward) return call;
  const std::lock_guard lock(mutex_);
  call->place = attribution_.place(start.name, start.inputs);
  call->operation = std::string(short_operation(start.name));
  call->is_in_place = start.name.back() == '_';
  if (call->place.role == OperatorPlace::Role::outside || call->place.role == OperatorPlace::Role::weights) return call;
  std::optional<at::Tensor> data;
  for_each_tensor(start.inputs, [&](const at::Tensor& tensor) {
    if (places_.find(tensor) != TensorPlaces::kNone) return;
    if (!data) data = tensor;
    if (const auto origin = origins_.find(memory_of(tensor)); origin != origins_.end())
      call->origin = std::max(call->origin, origin->second);
  });
  if (!data) return call;
  call->first_data = memory_of(*data);
  call->input_std = std::numeric_limits<double>::quiet_NaN();
  const at::NoGradGuard no_grad;
  if (!has_figures(*data)) return call;
  if (call->place.role == OperatorPlace::Role::layer) call->input_std = standard_deviation(moments_of(*data));
  if (call->operation == "tanh" || call->operation == "sigmoid") {
    call->values = static_cast<std::uint64_t>(data->numel());
    call->saturated = count_beyond(*data, call->operation == "tanh" ? kTanhLinear : kSigmoidLinear);
  }
  return call;
}

void SignalProbe::on_end(OperatorCall& ended, c10::ArrayRef<c10::IValue> outputs) {
  auto& call = static_cast<Call&>(ended);
  if (call.parent != nullptr || call.in_backward) return;
  const std::lock_guard lock(mutex_);
  attribution_.follow(call.place, outputs);
  std::optional<at::Tensor> output;
  for_each_tensor(outputs, [&](const at::Tensor& tensor) {
    kept_.push_back(tensor);
    if (!output) output = tensor;
  });
  if (!output || call.place.role == OperatorPlace::Role::outside || call.place.role == OperatorPlace::Role::weights) return;
  if (is_activation(call.operation)) {
    take_activation(call, *output);
  } else if (call.place.role == OperatorPlace::Role::layer) {
    take_output(call, *output);
    return;
  }
  for_each_tensor(outputs, [&](const at::Tensor& tensor) {
    if (call.origin >= 0) origins_[memory_of(tensor)] = call.origin;
  });
}

void SignalProbe::take_output(const Call& call, const at::Tensor& output) {
  LayerKind kind = LayerKind::other;
  if (call.place.parameter >= 0) kind = parameters_[static_cast<std::size_t>(call.place.parameter)].kind;
  // A table that is tied to the last layer has that one's product, too.
  if (kind == LayerKind::embedding && call.operation.find("embedding") == std::string::npos) return;
  const int index = layer_index(call.place.layer, kind);
  Layer& layer = layers_[static_cast<std::size_t>(index)];
  if (!has_figures(output)) return;
  const bool goes_on = layer.has_latest && call.first_data == layer.memory;  // a bias that is added to its product
  if (layer.has_latest && !goes_on) merge(layer.earlier, layer.latest);
  if (!layer.has_latest) layer.signal.input_std = call.input_std;
  if (!layer.has_latest && kind == LayerKind::normalisation) layer.after = call.origin;
  layer.latest = moments_of(output);
  layer.has_latest = true;
  layer.memory = memory_of(output);
  if (goes_on && !layer.outputs.empty()) layer.outputs.pop_back();
  if (output.requires_grad()) layer.outputs.push_back(output);
  origins_[layer.memory] = index;
}

void SignalProbe::take_activation(const Call& call, const at::Tensor& output) {
  if (call.origin < 0) return;
  Layer& layer = layers_[static_cast<std::size_t>(call.origin)];
  const bool is_same = layer.signal.activation == call.operation;
  if (!layer.signal.activation.empty() && !is_same) return;  // softmax over what was activated before
  layer.signal.activation = call.operation;
  layer.signal.values += call.values;
  layer.signal.saturated_values += call.saturated;
  for (int before = layer.after; before >= 0; before = layers_[static_cast<std::size_t>(before)].after) {
    std::string& activation = layers_[static_cast<std::size_t>(before)].signal.activation;
    if (activation.empty()) activation = call.operation;
  }
  if (call.operation != "relu" || output.dim() < 2) return;
  const bool is_image = output.dim() > 3 || layer.kind == LayerKind::convolution || layer.kind == LayerKind::transposed_convolution;
  const std::int64_t unit_dimension = output.dim() == 2 || is_image ? 1 : output.dim() - 1, units = output.size(unit_dimension);
  if (units == 0 || output.numel() < kLeastOfAUnit * units) return;
  const at::NoGradGuard no_grad;
  std::vector<std::int64_t> others;
  for (std::int64_t d = 0; d < output.dim(); ++d) {
    if (d != unit_dimension) others.push_back(d);
  }
  layer.signal.units += static_cast<std::uint64_t>(units);
  layer.signal.dead_units += static_cast<std::uint64_t>(at::amax(output.detach(), others).le(0).sum().item<std::int64_t>());
}

}  // namespace vigil
