#include "vigil/model/initialisation_audit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/core/Generator.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>

#include "vigil/model/audit_signals.h"
#include "vigil/model/audit_verdict.h"
#include "vigil/model/audit_weights.h"
#include "vigil/model/mode_keeper.h"
#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// Of libtorch's default generators on the devices of the model.
class GeneratorKeeper {
 public:
  explicit GeneratorKeeper(const std::vector<LayerParameter>& parameters) {
    std::set<std::pair<int, int>> seen;
    const auto keep = [&](const at::Device& device) {
      if (!seen.emplace(static_cast<int>(device.type()), device.index()).second) return;
      at::Generator generator = at::globalContext().defaultGenerator(device);
      const std::lock_guard lock(generator.mutex());
      kept_.emplace_back(generator, generator.get_state());
    };
    keep(at::Device(at::kCPU));
    for (const LayerParameter& parameter : parameters) {
      if (parameter.tensor.is_cuda()) keep(parameter.tensor.device());
    }
  }
  ~GeneratorKeeper() {
    try {
      for (auto& [generator, state] : kept_) {
        const std::lock_guard lock(generator.mutex());
        generator.set_state(state);
      }
    } catch (...) {
      // Its own state; a generator that refuses it is left as it is.
    }
  }
  GeneratorKeeper(const GeneratorKeeper&) = delete;
  GeneratorKeeper& operator=(const GeneratorKeeper&) = delete;

 private:
  std::vector<std::pair<at::Generator, at::Tensor>> kept_;
};

// A forward pass in training writes running statistics.
class BufferKeeper {
 public:
  explicit BufferKeeper(const NamedTensors& buffers) {
    const at::NoGradGuard no_grad;
    for (const auto& [name, tensor] : buffers) {
      if (tensor.defined()) kept_.emplace_back(tensor, tensor.detach().clone());
    }
  }
  ~BufferKeeper() {
    try {
      const at::NoGradGuard no_grad;
      for (auto& [tensor, copy] : kept_) tensor.copy_(copy);
    } catch (...) {
      // Its own values, of its own sizes; nothing better can be done.
    }
  }
  BufferKeeper(const BufferKeeper&) = delete;
  BufferKeeper& operator=(const BufferKeeper&) = delete;

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> kept_;
};

bool is_depth_layer(const LayerAudit& layer) {
  return layer.kind == LayerKind::linear || layer.kind == LayerKind::convolution || layer.kind == LayerKind::transposed_convolution ||
         (layer.kind == LayerKind::other && !layer.weights.empty());
}

// `figures` in the order of the way that the signal takes.
DepthTrend trend_of(const std::vector<double>& figures) {
  DepthTrend trend;
  std::vector<double> logarithms;
  for (const double figure : figures) {
    if (figure > 0 && is_finite_bits(figure)) logarithms.push_back(std::log(figure));
  }
  const std::size_t n = logarithms.size();
  if (n < 3) return trend;
  double mean = 0;
  for (const double y : logarithms) mean += y / static_cast<double>(n);
  double products = 0, squares = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double x = static_cast<double>(i) - static_cast<double>(n - 1) / 2;
    products += x * (logarithms[i] - mean);
    squares += x * x;
  }
  trend.layers = n;
  trend.factor = std::exp(products / squares);
  trend.total = std::exp(products / squares * static_cast<double>(n - 1));
  return trend;
}

void take_variances(InitialisationAudit& audit) {
  double least = std::numeric_limits<double>::infinity(), most = 0, least_scaled = least, most_scaled = 0;
  for (const LayerAudit& layer : audit.layers) {
    if (layer.kind == LayerKind::embedding || layer.kind == LayerKind::normalisation) continue;
    for (const WeightAudit& weight : layer.weights) {
      const double std = standard_deviation(weight.moments);
      if (!(std > 0) || !weight.fans) continue;
      const double scaled = std * std * static_cast<double>(weight.fans->in);
      least = std::min(least, std * std);
      most = std::max(most, std * std);
      least_scaled = std::min(least_scaled, scaled);
      most_scaled = std::max(most_scaled, scaled);
    }
  }
  if (most > 0) audit.variance_ratio = most / least;
  if (most_scaled > 0) audit.scaled_variance_ratio = most_scaled / least_scaled;
}

at::Tensor loss_of(const at::Tensor& output, const AuditOptions& options) {
  if (options.loss) return options.loss(output);
  return (output.is_floating_point() ? output : output.to(at::kFloat)).square().mean();
}

// Gradients of the layers' outputs and of the weights, without a trace in the model.
void run_backward(const at::Tensor& output, const std::vector<LayerParameter>& parameters, std::vector<ProbedLayer>& probed,
                  std::map<std::string, Moments>& of_weights, InitialisationAudit& audit, const AuditOptions& options) {
  if (!output.defined() || !output.requires_grad()) {
    audit.backward_problem = "the forward pass gave nothing that has a gradient";
    return;
  }
  try {
    const at::Tensor loss = loss_of(output, options);
    if (!loss.defined() || loss.numel() != 1) throw std::runtime_error("the loss is not one number");
    torch::autograd::variable_list inputs;
    for (const ProbedLayer& layer : probed) inputs.insert(inputs.end(), layer.outputs.begin(), layer.outputs.end());
    const std::size_t outputs = inputs.size();
    std::vector<const LayerParameter*> weights;
    for (const LayerParameter& parameter : parameters) {
      if (!parameter.tensor.requires_grad() || parameter.tensor.dim() < 2) continue;
      inputs.push_back(parameter.tensor);
      weights.push_back(&parameter);
    }
    if (inputs.empty()) throw std::runtime_error("no layer has a gradient");
    const auto gradients = torch::autograd::grad({loss}, inputs, {}, /*retain_graph=*/false, /*create_graph=*/false, /*allow_unused=*/true);
    std::size_t next = 0;
    for (ProbedLayer& layer : probed) {
      for (std::size_t i = 0; i < layer.outputs.size(); ++i, ++next) {
        if (!gradients[next].defined()) continue;
        if (!layer.signal.gradient) layer.signal.gradient.emplace();
        merge(*layer.signal.gradient, moments_of(gradients[next]));
      }
    }
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (gradients[outputs + i].defined()) of_weights[weights[i]->path] = moments_of(gradients[outputs + i]);
    }
    audit.has_backward = true;
  } catch (const c10::Error& error) {
    audit.backward_problem = error.what_without_backtrace();
  } catch (const std::exception& error) {
    audit.backward_problem = error.what();
  }
}

std::vector<LayerAudit> layers_of(const std::vector<LayerParameter>& parameters) {
  bool is_transformer = false;
  for (const LayerParameter& parameter : parameters) {
    is_transformer |= parameter.kind == LayerKind::embedding || parameter.kind == LayerKind::attention;
  }
  std::vector<LayerAudit> layers;
  std::map<std::string, std::size_t> by_path;
  for (const LayerParameter& parameter : parameters) {
    const auto [known, is_new] = by_path.try_emplace(parameter.module, layers.size());
    if (is_new) {
      layers.emplace_back();
      layers.back().path = parameter.module;
      layers.back().type = parameter.type;
      layers.back().kind = parameter.kind;
    }
    LayerAudit& layer = layers[known->second];
    if (!parameter.tensor.is_floating_point()) continue;
    if (parameter.tensor.dim() >= 2) layer.weights.push_back(audited_weight(parameter, is_transformer));
    if (parameter.parameter.find("bias") != std::string::npos) layer.bias_mean = moments_of(parameter.tensor).mean;
  }
  return layers;
}

// In the order in which they ran.
void add_signals(std::vector<LayerAudit>& layers, std::vector<ProbedLayer>& probed, const std::map<std::string, Moments>& of_weights) {
  std::vector<LayerAudit> ordered;
  for (ProbedLayer& one : probed) {
    const auto at = std::find_if(layers.begin(), layers.end(), [&](const LayerAudit& layer) { return layer.path == one.path; });
    LayerAudit layer;
    if (at != layers.end()) {
      layer = std::move(*at);
      layers.erase(at);
    } else {
      layer.path = one.path;  // an operator with parameters of the root
    }
    layer.signal = std::move(one.signal);
    ordered.push_back(std::move(layer));
  }
  for (LayerAudit& layer : layers) ordered.push_back(std::move(layer));
  for (LayerAudit& layer : ordered) {
    for (WeightAudit& weight : layer.weights) {
      if (const auto gradient = of_weights.find(weight.path); gradient != of_weights.end()) weight.gradient = gradient->second;
    }
  }
  layers = std::move(ordered);
}

NamedTensors buffers_of(const torch::nn::Module& module) {
  NamedTensors buffers;
  for (const auto& item : module.named_buffers()) buffers.emplace_back(item.key(), item.value());
  return buffers;
}

}  // namespace

InitialisationAudit audit_initialisation(const std::vector<LayerParameter>& parameters, const NamedTensors& buffers,
                                         const std::function<at::Tensor()>& forward, const AuditOptions& options) {
  InitialisationAudit audit;
  audit.layers = layers_of(parameters);
  if (forward) {
    const BufferKeeper kept_buffers(buffers);
    const GeneratorKeeper kept_generators(parameters);
    const at::AutoGradMode with_gradients(options.backward);
    SignalProbe probe(parameters, buffers);
    const at::Tensor output = forward();
    std::vector<ProbedLayer> probed = probe.end();
    audit.has_forward = true;
    std::map<std::string, Moments> of_weights;
    if (options.backward) run_backward(output, parameters, probed, of_weights, audit, options);
    add_signals(audit.layers, probed, of_weights);
    std::vector<double> stds, norms;
    for (const LayerAudit& layer : audit.layers) {
      if (!is_depth_layer(layer) || !layer.signal) continue;
      stds.push_back(standard_deviation(layer.signal->output));
      if (layer.signal->gradient) norms.insert(norms.begin(), l2_norm(*layer.signal->gradient));
    }
    audit.signal = trend_of(stds);
    audit.gradient = trend_of(norms);
  }
  take_variances(audit);
  judge(audit, options);
  return audit;
}

InitialisationAudit audit_initialisation(torch::nn::Module& module, const std::function<at::Tensor()>& forward,
                                         const AuditOptions& options) {
  const ModeKeeper kept_modes(module);
  return audit_initialisation(layer_parameters(module), buffers_of(module), forward, options);
}

InitialisationAudit audit_initialisation(const torch::nn::Module& module, const AuditOptions& options) {
  return audit_initialisation(layer_parameters(module), buffers_of(module), {}, options);
}

}  // namespace vigil
