#include "vigil/model/quantisation_training.h"

#include <stdexcept>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <torch/enum.h>
#include <torch/nn/functional/conv.h>

namespace vigil {
namespace {

at::Tensor rounded_weight(const at::Tensor& weight, const QuantisationGrid& grid) {
  // Of a weight that is not finite there is no grid: the loss is to show it.
  if (!at::isfinite(weight.detach()).all().item<bool>()) return weight;
  return fake_quantise(weight, parameters_for(weight, grid));
}

}  // namespace

FakeQuantiseImpl::FakeQuantiseImpl(ObserverKind observer, const QuantisationGrid& grid, std::int64_t axis)
    : scale(register_buffer("scale", at::zeros({1}))),
      zero_point(register_buffer("zero_point", at::zeros({1}, at::kInt))),
      observer_(make_observer(observer, grid, axis)),
      axis_(axis) {}

at::Tensor FakeQuantiseImpl::forward(const at::Tensor& values) {
  if (observer_->grid().per_channel && axis_ < 0 && axis_ + values.dim() >= 0) axis_ += values.dim();
  if (is_training() && is_observing_) {
    observer_->observe(values);
    if (observer_->observed() > observer_->nan() + observer_->inf()) {
      const at::NoGradGuard no_grad;
      const QuantisationParameters found = observer_->parameters();
      scale.set_data(found.scale.to(scale.device()));
      zero_point.set_data(found.zero_point.to(zero_point.device()));
    }
  }
  return is_enabled_ && has_range() ? fake_quantise(values, parameters()) : values;
}

QuantisationParameters FakeQuantiseImpl::parameters() const {
  if (!has_range()) throw std::logic_error("no range was observed yet");
  const QuantisationGrid& grid = observer_->grid();
  if (grid.per_channel && axis_ < 0) throw std::logic_error("the dimension of the channels counts from the end of what forward() is given");
  QuantisationParameters used;
  used.scale = scale.to(at::kCPU, at::kFloat);
  used.zero_point = zero_point.to(at::kCPU, at::kInt);
  used.axis = grid.per_channel ? axis_ : -1;
  used.least = grid.least();
  used.most = grid.most();
  used.is_signed = grid.is_signed;
  return used;
}

QuantisationAwareLinearImpl::QuantisationAwareLinearImpl(torch::nn::Linear layer, const TrainingQuantisation& how)
    : linear(register_module("linear", std::move(layer))),
      input(register_module("input", FakeQuantise(how.observer, how.activations))),
      how_(how) {}

at::Tensor QuantisationAwareLinearImpl::forward(const at::Tensor& values) {
  return at::linear(input->forward(values), rounded_weight(linear->weight, how_.weights), linear->bias);
}

QuantisationAwareConv2dImpl::QuantisationAwareConv2dImpl(torch::nn::Conv2d layer, const TrainingQuantisation& how)
    : conv(register_module("conv", std::move(layer))),
      input(register_module("input", FakeQuantise(how.observer, how.activations))),
      how_(how) {
  if (torch::enumtype::get_enum_name(conv->options.padding_mode()) != "kZeros") {
    throw std::invalid_argument("a Conv2d whose padding is not of zeros is not trained with quantisation");
  }
}

at::Tensor QuantisationAwareConv2dImpl::forward(const at::Tensor& values) {
  const auto& options = conv->options;
  return torch::nn::functional::detail::conv2d(input->forward(values), rounded_weight(conv->weight, how_.weights), conv->bias,
                                               options.stride(), options.padding(), options.dilation(), options.groups());
}

QuantisedLinear quantise(const QuantisationAwareLinear& layer, LayerQuantisation how) {
  how.grid = layer->how().weights;
  return QuantisedLinear(*layer->linear, how);
}

}  // namespace vigil
