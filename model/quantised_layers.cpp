#include "vigil/model/quantised_layers.h"

#include <algorithm>
#include <ostream>
#include <stdexcept>
#include <utility>

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include "vigil/model/quantised_kernels.h"

namespace vigil {
namespace {

constexpr const char* kNoKernels = "the program wants no kernels";

bool saturates(at::QEngine engine) { return engine != at::QEngine::QNNPACK && !adds_in_32_bits(); }

std::string execution_text(bool uses_kernel, const QuantisedKernels& kernels) {
  if (!uses_kernel) return "int8 weights, float arithmetic: " + kernels.unavailable;
  return "int8 kernel (" + engine_name(*kernels.engine) + (kernels.reduce_range ? ", 7-bit activations)" : ")");
}

void check_grid(const LayerQuantisation& how) {
  if (!how.grid.is_signed) throw std::invalid_argument("weights are quantised to signed integers");
}

void check_input(const at::Tensor& input, std::int64_t features, const char* layer) {
  if (!at::isFloatingType(input.scalar_type()) || input.dim() == 0 || input.size(-1) != features) {
    throw std::invalid_argument(std::string("the input of ") + layer + " is to be floating point, with " + std::to_string(features) +
                                " features in its last dimension");
  }
}

// Anew of each input, as libtorch's kernels quantise it.
at::Tensor activations_rounded(const at::Tensor& input, bool reduce_range) {
  const auto [least, most] = at::aminmax(input);
  const auto [scale, zero_point] = at::_choose_qparams_per_tensor(at::stack({least, most}).cpu(), reduce_range);
  return at::fake_quantize_per_tensor_affine(input, scale, zero_point, 0, 255);
}

at::Tensor dequantised(const at::Tensor& integers, const at::Tensor& scale, const at::Tensor& zero_point) {
  return (integers.to(at::kFloat) - zero_point.to(at::kFloat).unsqueeze(1)) * scale.to(at::kFloat).unsqueeze(1);
}

// What a kernel packs. Buffers may have been moved or converted with the rest of a model.
at::Tensor as_quantised(const at::Tensor& integers, const at::Tensor& scale, const at::Tensor& zero_point) {
  const at::Tensor on_cpu = integers.to(at::kCPU, at::kChar).contiguous();
  if (scale.numel() == 1) return at::_make_per_tensor_quantized_tensor(on_cpu, scale.item<double>(), zero_point.item<std::int64_t>());
  return at::_make_per_channel_quantized_tensor(on_cpu, scale.to(at::kCPU, at::kDouble), zero_point.to(at::kCPU, at::kLong), 0);
}

at::Tensor bias_for_kernel(const at::Tensor& bias) {
  return bias.defined() ? bias.detach().to(at::kCPU, at::kFloat).contiguous() : at::Tensor();
}

std::uint64_t bytes_of(const torch::nn::Module& module) {
  std::uint64_t bytes = 0;
  for (const at::Tensor& buffer : module.buffers(false)) bytes += buffer.nbytes();
  return bytes;
}

// What was loaded stays only when all of it fits.
template <class Load>
void load_or_keep(const torch::nn::Module& module, Load load) {
  const std::vector<at::Tensor> buffers = module.buffers(false);
  std::vector<at::Tensor> before;
  for (const at::Tensor& buffer : buffers) before.push_back(buffer.detach());
  try {
    load();
  } catch (...) {
    for (std::size_t i = 0; i < buffers.size(); ++i) buffers[i].set_data(before[i]);
    throw;
  }
}

std::string wrong_grid(const LayerQuantisation& how, at::QEngine engine) {
  if (!how.grid.is_symmetric && engine == at::QEngine::ONEDNN) return "oneDNN's kernels take symmetric weights";
  return {};
}

}  // namespace

std::string engine_name(at::QEngine engine) { return c10::toString(engine); }

QuantisedKernels quantised_kernels(const LayerQuantisation& how) {
  QuantisedKernels kernels;
  if (!how.use_kernels) {
    kernels.unavailable = kNoKernels;
    return kernels;
  }
  const std::vector<at::QEngine>& supported = at::globalContext().supportedQEngines();
  const auto is_supported = [&](at::QEngine engine) {
    return engine != at::QEngine::NoQEngine && std::find(supported.begin(), supported.end(), engine) != supported.end();
  };
  if (how.engine) {
    if (is_supported(*how.engine)) {
      kernels.engine = how.engine;
    } else {
      kernels.unavailable = "this libtorch has no engine " + engine_name(*how.engine);
    }
  } else if (const at::QEngine current = at::globalContext().qEngine(); is_supported(current)) {
    kernels.engine = current;
  } else {
    const auto first = std::find_if(supported.begin(), supported.end(), is_supported);
    if (first != supported.end()) {
      kernels.engine = *first;
    } else {
      kernels.unavailable = "this libtorch has no engine for quantised kernels";
    }
  }
  if (kernels.engine) {
    kernels.reduce_range = saturates(*kernels.engine);
    if (std::string wrong = wrong_grid(how, *kernels.engine); !wrong.empty()) return {{}, std::move(wrong), false};
  }
  return kernels;
}

QuantisedLinearImpl::QuantisedLinearImpl(std::int64_t in_features, std::int64_t out_features, bool has_bias, const LayerQuantisation& how)
    : in_features_(in_features), out_features_(out_features), how_(how) {
  check_grid(how);
  if (in_features < 0 || out_features < 0) throw std::invalid_argument("a Linear of fewer than 0 features");
  const QuantisationParameters empty = parameters_for(at::zeros({out_features, in_features}), how.grid);
  weight = at::zeros({out_features, in_features}, at::kChar);
  scale = empty.scale;
  zero_point = empty.zero_point;
  if (has_bias) bias = at::zeros({out_features});
  reset();
}

QuantisedLinearImpl::QuantisedLinearImpl(const torch::nn::LinearImpl& linear, const LayerQuantisation& how)
    : in_features_(linear.weight.size(1)), out_features_(linear.weight.size(0)), how_(how) {
  check_grid(how);
  require_finite(linear.weight, "the weight");
  const QuantisationParameters chosen = parameters_for(linear.weight, how.grid);
  weight = quantised(linear.weight, chosen).int_repr();
  scale = chosen.scale;
  zero_point = chosen.zero_point;
  if (linear.bias.defined()) bias = linear.bias.detach().to(at::kCPU, at::kFloat);
  reset();
}

void QuantisedLinearImpl::reset() {
  // Copies: what clone() copies afterwards goes into these, and not into those of the module that is cloned.
  weight = register_buffer("weight", weight.clone());
  scale = register_buffer("scale", scale.clone());
  zero_point = register_buffer("zero_point", zero_point.clone());
  if (bias.defined()) bias = register_buffer("bias", bias.clone());
  pack();
}

void QuantisedLinearImpl::load(torch::serialize::InputArchive& archive) {
  load_or_keep(*this, [&] {
    torch::nn::Module::load(archive);
    const bool fits = weight.dim() == 2 && weight.size(0) == out_features_ && weight.size(1) == in_features_ &&
                      (scale.numel() == 1 || scale.numel() == out_features_) && zero_point.numel() == scale.numel() &&
                      (!bias.defined() || bias.numel() == out_features_);
    if (!fits)
      throw std::runtime_error("the file's Linear is not one of " + std::to_string(in_features_) + " to " + std::to_string(out_features_));
  });
  pack();
}

void QuantisedLinearImpl::pack() {
  kernel_ = {};
  kernels_ = quantised_kernels(how_);
  if (!kernels_.engine) return;
  if (weight.numel() == 0) {
    kernels_.unavailable = "it has no weights";
    return;
  }
  try {
    kernel_ = packed_linear(*kernels_.engine, as_quantised(weight, scale, zero_point), bias_for_kernel(bias));
  } catch (const std::runtime_error& error) {
    kernels_.unavailable = error.what();
  }
}

at::Tensor QuantisedLinearImpl::forward(const at::Tensor& input) {
  const at::NoGradGuard no_grad;
  check_input(input, in_features_, "a quantised Linear");
  std::vector<std::int64_t> sizes = input.sizes().vec();
  sizes.back() = out_features_;
  if (input.numel() == 0) {
    const at::Tensor output = at::zeros(sizes, input.options().requires_grad(false));
    return bias.defined() ? output.add(bias.to(output.options())) : output;
  }
  require_finite(input, "the input of a quantised Linear");
  const at::Tensor rows = input.detach().to(at::kFloat).reshape({-1, in_features_}).contiguous();
  at::Tensor output;
  if (uses_kernel() && rows.is_cpu()) {
    output = dynamic_linear(rows, kernel_, kernels_.reduce_range);
  } else {
    const at::Tensor float_bias = bias.defined() ? bias.to(rows.options()) : bias;
    output = at::linear(activations_rounded(rows, kernels_.reduce_range), dequantised_weight().to(rows.device()), float_bias);
  }
  return output.reshape(sizes).to(input.scalar_type());
}

std::string QuantisedLinearImpl::execution() const { return execution_text(uses_kernel(), kernels_); }

QuantisationParameters QuantisedLinearImpl::parameters() const {
  QuantisationParameters used;
  used.scale = scale.to(at::kCPU, at::kFloat);
  used.zero_point = zero_point.to(at::kCPU, at::kInt);
  used.axis = scale.numel() == 1 && !how_.grid.per_channel ? -1 : 0;
  used.least = how_.grid.least();
  used.most = how_.grid.most();
  return used;
}

at::Tensor QuantisedLinearImpl::dequantised_weight() const {
  const at::NoGradGuard no_grad;
  return dequantised(weight, scale, zero_point);
}

std::uint64_t QuantisedLinearImpl::bytes() const { return bytes_of(*this); }

void QuantisedLinearImpl::pretty_print(std::ostream& stream) const {
  stream << "vigil::QuantisedLinear(" << in_features_ << " to " << out_features_ << ", " << grid_text(how_.grid) << ", " << execution()
         << ')';
}

QuantisedLSTMImpl::QuantisedLSTMImpl(const torch::nn::LSTMOptions& options, const LayerQuantisation& how)
    : QuantisedLSTMImpl(*torch::nn::LSTM(options), how) {}

QuantisedLSTMImpl::QuantisedLSTMImpl(const torch::nn::LSTMImpl& lstm, const LayerQuantisation& how) : options_(lstm.options), how_(how) {
  check_grid(how);
  if (options_.proj_size() != 0) throw std::invalid_argument("an LSTM with projections (proj_size) has no quantised kernel");
  const auto named = lstm.named_parameters(false);
  for (std::size_t cell = 0; cell < cell_count(); ++cell) {
    const std::size_t directions = options_.bidirectional() ? 2 : 1;
    const std::string suffix = "_l" + std::to_string(cell / directions) + (cell % directions == 1 ? "_reverse" : "");
    for (const char* kind : {"ih", "hh"}) {
      const std::string name = std::string("weight_") + kind + suffix;
      const at::Tensor& weight = named[name];
      require_finite(weight, name);
      const QuantisationParameters chosen = parameters_for(weight, how.grid);
      weights_.push_back({name, quantised(weight, chosen).int_repr(), chosen.scale, chosen.zero_point});
      biases_.push_back(options_.bias() ? named[std::string("bias_") + kind + suffix].detach().to(at::kCPU, at::kFloat)
                                        : at::zeros({weight.size(0)}));
    }
  }
  reset();
}

std::size_t QuantisedLSTMImpl::cell_count() const {
  return static_cast<std::size_t>(options_.num_layers() * (options_.bidirectional() ? 2 : 1));
}

void QuantisedLSTMImpl::reset() {
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    Weight& weight = weights_[i];
    weight.integers = register_buffer(weight.name, weight.integers.clone());
    weight.scale = register_buffer(weight.name + "_scale", weight.scale.clone());
    weight.zero_point = register_buffer(weight.name + "_zero_point", weight.zero_point.clone());
    if (options_.bias()) biases_[i] = register_buffer("bias" + weight.name.substr(std::string("weight").size()), biases_[i].clone());
  }
  pack();
}

void QuantisedLSTMImpl::load(torch::serialize::InputArchive& archive) {
  std::vector<std::vector<std::int64_t>> sizes;
  for (const Weight& weight : weights_) sizes.push_back(weight.integers.sizes().vec());
  load_or_keep(*this, [&] {
    torch::nn::Module::load(archive);
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      const Weight& weight = weights_[i];
      const bool fits = weight.integers.sizes().vec() == sizes[i] && biases_[i].numel() == sizes[i][0] &&
                        (weight.scale.numel() == 1 || weight.scale.numel() == sizes[i][0]) &&
                        weight.zero_point.numel() == weight.scale.numel();
      if (!fits) throw std::runtime_error("the file's '" + weight.name + "' is not of this LSTM's size");
    }
  });
  pack();
}

void QuantisedLSTMImpl::pack() {
  cells_ = {};
  kernels_ = quantised_kernels(how_);
  if (!kernels_.engine) return;
  try {
    std::vector<c10::IValue> cells;
    for (std::size_t i = 0; i + 1 < weights_.size(); i += 2) {
      const auto packable = [](const Weight& weight) { return as_quantised(weight.integers, weight.scale, weight.zero_point); };
      cells.push_back(packed_cell(*kernels_.engine, packable(weights_[i]), packable(weights_[i + 1]), bias_for_kernel(biases_[i]),
                                  bias_for_kernel(biases_[i + 1]), kernels_.reduce_range));
    }
    cells_ = list_of_cells(cells);
  } catch (const std::runtime_error& error) {
    cells_ = {};
    kernels_.unavailable = error.what();
  }
}

std::tuple<at::Tensor, QuantisedLSTMImpl::State> QuantisedLSTMImpl::forward(const at::Tensor& input, torch::optional<State> state) {
  const at::NoGradGuard no_grad;
  check_input(input, options_.input_size(), "a quantised LSTM");
  if (input.dim() != 2 && input.dim() != 3) throw std::invalid_argument("the input of a quantised LSTM is to have 2 or 3 dimensions");
  require_finite(input, "the input of a quantised LSTM");
  const bool is_batched = input.dim() == 3;
  const std::int64_t batch_at = options_.batch_first() ? 0 : 1;
  at::Tensor steps = input.detach().to(at::kFloat);
  if (!is_batched) steps = steps.unsqueeze(batch_at);
  const std::int64_t batch = steps.size(batch_at), time = steps.size(1 - batch_at), cells = static_cast<std::int64_t>(cell_count());
  const std::vector<std::int64_t> state_sizes{cells, batch, options_.hidden_size()};
  at::Tensor hidden, cell;
  if (state) {
    const auto taken = [&](const at::Tensor& given) {
      const at::Tensor shaped = is_batched ? given : given.unsqueeze(1);
      if (shaped.sizes() != at::IntArrayRef(state_sizes)) throw std::invalid_argument("a state that does not fit the LSTM and its input");
      require_finite(shaped, "the state of a quantised LSTM");
      return shaped.detach().to(steps.options()).contiguous();
    };
    hidden = taken(std::get<0>(*state));
    cell = taken(std::get<1>(*state));
  } else {
    hidden = at::zeros(state_sizes, steps.options());
    cell = at::zeros(state_sizes, steps.options());
  }
  at::Tensor output;
  const std::int64_t width = options_.hidden_size() * (options_.bidirectional() ? 2 : 1);
  if (batch == 0 || time == 0) {
    output =
        at::zeros(options_.batch_first() ? std::vector<std::int64_t>{batch, time, width} : std::vector<std::int64_t>{time, batch, width},
                  steps.options());
  } else if (uses_kernel() && steps.is_cpu()) {
    std::tie(output, hidden, cell) = dynamic_lstm(steps.contiguous(), hidden, cell, cells_, options_.num_layers(), options_.dropout(),
                                                  is_training(), options_.bidirectional(), options_.batch_first());
  } else {
    std::vector<at::Tensor> parameters;
    for (std::size_t i = 0; i < weights_.size(); i += 2) {
      for (const std::size_t at : {i, i + 1}) {
        const Weight& weight = weights_[at];
        parameters.push_back(dequantised(weight.integers, weight.scale, weight.zero_point).to(steps.device()));
      }
      for (const std::size_t at : {i, i + 1}) parameters.push_back(biases_[at].to(steps.options()));
    }
    std::tie(output, hidden, cell) = at::lstm(steps, {hidden, cell}, parameters, true, options_.num_layers(), options_.dropout(),
                                              is_training(), options_.bidirectional(), options_.batch_first());
  }
  const auto returned = [&](const at::Tensor& tensor, std::int64_t dimension) {
    return (is_batched ? tensor : tensor.squeeze(dimension)).to(input.scalar_type());
  };
  return {returned(output, batch_at), {returned(hidden, 1), returned(cell, 1)}};
}

std::string QuantisedLSTMImpl::execution() const { return execution_text(uses_kernel(), kernels_); }

std::uint64_t QuantisedLSTMImpl::bytes() const { return bytes_of(*this); }

void QuantisedLSTMImpl::pretty_print(std::ostream& stream) const {
  stream << "vigil::QuantisedLSTM(" << options_.input_size() << " to " << options_.hidden_size() << ", " << grid_text(how_.grid) << ", "
         << execution() << ')';
}

}  // namespace vigil
