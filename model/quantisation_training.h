// Quantisation-aware training: layers that compute with rounded weights and activations, and learn as if they were not rounded.
//
//     vigil::QuantisationAwareLinear fc1(model->fc1);        // shares model->fc1's parameters, so optimizers stay as they are
//     ... train with fc1->forward(x) in the place of model->fc1->forward(x) ...
//     vigil::QuantisedLinear int8 = vigil::quantise(fc1);    // for inference
#pragma once

#include <memory>
#include <utility>

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include "vigil/model/quantised_layers.h"
#include "vigil/model/range_observers.h"

namespace vigil {

/// Observes what it is given while training, and rounds it to the observed range. The range is in buffers (scale, zero_point), so it is
/// saved and loaded; the observer's memory of earlier values is not. A histogram seeks its range anew in each forward that observes, which
/// takes tens of milliseconds: observe(false) once it has seen enough, or take a moving average.
class FakeQuantiseImpl : public torch::nn::Module {
 public:
  /// @param axis  of the channels when grid.per_channel, negative: from the end of what forward() is given first
  explicit FakeQuantiseImpl(ObserverKind observer = ObserverKind::moving_average, const QuantisationGrid& grid = kActivationGrid,
                            std::int64_t axis = 0);

  /// The type and device of `values`, with straight-through gradients (fake_quantise()). Before a range is known, `values`.
  /// @throws std::invalid_argument for values that span more than float32 does, as there is no scale for them
  at::Tensor forward(const at::Tensor& values);

  /// In eval mode nothing is observed in any case.
  void observe(bool on) noexcept { is_observing_ = on; }
  void enable(bool on) noexcept { is_enabled_ = on; }
  bool has_range() const { return scale.gt(0).all().item<bool>(); }
  /// @throws std::logic_error before a range is known, and for a negative axis before a forward()
  QuantisationParameters parameters() const;
  const RangeObserver& observer() const noexcept { return *observer_; }

  at::Tensor scale;       ///< float32; 0 before a range is known
  at::Tensor zero_point;  ///< int32

 private:
  std::unique_ptr<RangeObserver> observer_;
  std::int64_t axis_;
  bool is_observing_ = true, is_enabled_ = true;
};
TORCH_MODULE(FakeQuantise);

struct TrainingQuantisation {
  QuantisationGrid weights;                        ///< of the present extremes, anew in each forward
  QuantisationGrid activations = kActivationGrid;  ///< of what the layer takes
  ObserverKind observer = ObserverKind::moving_average;
};

/// y = q(x)·q(W)ᵀ + b.
class QuantisationAwareLinearImpl : public torch::nn::Module {
 public:
  explicit QuantisationAwareLinearImpl(torch::nn::Linear layer, const TrainingQuantisation& how = {});
  /// As torch::nn::Linear.
  at::Tensor forward(const at::Tensor& values);

  torch::nn::Linear linear;
  FakeQuantise input;
  const TrainingQuantisation& how() const noexcept { return how_; }

 private:
  TrainingQuantisation how_;
};
TORCH_MODULE(QuantisationAwareLinear);

/// y = q(x) ∗ q(W) + b. @throws std::invalid_argument for a padding mode other than zeros
class QuantisationAwareConv2dImpl : public torch::nn::Module {
 public:
  explicit QuantisationAwareConv2dImpl(torch::nn::Conv2d layer, const TrainingQuantisation& how = {});
  /// As torch::nn::Conv2d.
  at::Tensor forward(const at::Tensor& values);

  torch::nn::Conv2d conv;
  FakeQuantise input;

 private:
  TrainingQuantisation how_;
};
TORCH_MODULE(QuantisationAwareConv2d);

/// The trained layer with int8 weights of the same grid. Activations are quantised anew by each call, not to the range observed in
/// training.
QuantisedLinear quantise(const QuantisationAwareLinear& layer, LayerQuantisation how = {});

}  // namespace vigil
