// Linear and LSTM layers with int8 weights, for inference.
//
// How a program with a model of its own class runs them: libtorch's C++ modules are members of concrete types, so a layer inside a user's
// class cannot be exchanged from outside. The program quantises the layers that it wants and calls them in its inference forward:
//
//     vigil::QuantisedLinear fc1 = vigil::quantise(model->fc1);   // model->fc1 is a torch::nn::Linear and stays what it is
//     vigil::QuantisedLinear fc2 = vigil::quantise(model->fc2);
//     const auto forward = [&](at::Tensor x) {
//       x = model->features(x).flatten(1);
//       return fc2->forward(fc1->forward(x).relu());
//     };
//     fc1->execution();                                           // "int8 kernel (QNNPACK)", or what is done instead, and why
//
// They are modules: a class may have them as members, torch::save() writes their int8 weights, torch::load() reads them into
// QuantisedLinear(in, out). Layers of a torch::nn::Sequential are exchanged by quantise_dynamic() (quantisation.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <ATen/core/ivalue.h>
#include <c10/core/QEngine.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>
#include <torch/nn/pimpl.h>

#include "vigil/model/quantisation_grid.h"

namespace vigil {

/// How a layer is quantised.
struct LayerQuantisation {
  /// Of the weights, by output channel when per_channel. Kernels take signed ones; those of oneDNN symmetric ones.
  QuantisationGrid grid;
  /// False: libtorch's quantised kernels are not used, and the arithmetic is in float; a Linear then quantises activations as these would,
  /// an LSTM does not.
  bool use_kernels = true;
  /// Which of libtorch's engines packs the weights; unset: at::globalContext().qEngine(), or the first supported one where that is none.
  std::optional<at::QEngine> engine;
};

/// The quantised kernels of this build of libtorch, on this machine.
struct QuantisedKernels {
  std::optional<at::QEngine> engine;  ///< unset: unavailable
  std::string unavailable;            ///< then why
  /// Activations are given 7 bits: on x86 without AVX512-VNNI, FBGEMM's and oneDNN's kernels add pairs of 8-bit products in 16 bits, which
  /// saturate (255·127·2 > 32767); with 7 bits they cannot (127·128·2 < 32768). QNNPACK's widen first and need it not.
  bool reduce_range = false;
};
QuantisedKernels quantised_kernels(const LayerQuantisation& how = {});

/// "FBGEMM", "QNNPACK", "ONEDNN", "X86".
std::string engine_name(at::QEngine engine);

/// y = x·Wᵀ + b with int8 W; x is quantised anew by each call, to 8 bits affine per tensor (7 with reduce_range). No gradients.
class QuantisedLinearImpl : public torch::nn::Cloneable<QuantisedLinearImpl> {
 public:
  /// Of zeros, to be loaded. @throws std::invalid_argument for sizes below 0 and as quantised()
  QuantisedLinearImpl(std::int64_t in_features, std::int64_t out_features, bool has_bias = true, const LayerQuantisation& how = {});
  /// Copies; `linear` may change afterwards. Packing sets libtorch's engine for the moment, so no other thread may set or use it then: in
  /// all constructors, load() and clone(), of a Linear and of an LSTM, and in quantise_dynamic().
  /// @throws std::invalid_argument for NaN and Inf (counted), unsigned grids
  explicit QuantisedLinearImpl(const torch::nn::LinearImpl& linear, const LayerQuantisation& how = {});

  /// @param input  floating point, [..., in_features], any leading dimensions, also none or of size 0; on the CPU for kernels, elsewhere
  ///               the arithmetic is in float
  /// @return [..., out_features], of the input's type
  /// @throws std::invalid_argument for another last dimension, and for NaN and Inf, which integers would hide
  /// Any thread, several at once.
  at::Tensor forward(const at::Tensor& input);

  /// "int8 kernel (QNNPACK)", "int8 kernel (ONEDNN, 7-bit activations)" or "int8 weights, float arithmetic: <why>".
  std::string execution() const;
  bool uses_kernel() const { return kernel_.isCustomClass(); }
  QuantisationParameters parameters() const;
  /// float32, [out_features, in_features].
  at::Tensor dequantised_weight() const;
  /// Bytes of weights, scales, zero points and bias.
  std::uint64_t bytes() const;

  void reset() override;
  /// Nothing is changed when the file does not fit. @throws std::runtime_error, and c10::Error for a file without its tensors
  void load(torch::serialize::InputArchive& archive) override;
  void pretty_print(std::ostream& stream) const override;

  at::Tensor weight;      ///< int8, [out_features, in_features]
  at::Tensor scale;       ///< float32, [1] or [out_features]
  at::Tensor zero_point;  ///< int32, likewise
  at::Tensor bias;        ///< float32, [out_features], or undefined

 private:
  void pack();

  std::int64_t in_features_, out_features_;
  LayerQuantisation how_;
  QuantisedKernels kernels_;
  c10::IValue kernel_;  // libtorch's packed weights
};
TORCH_MODULE(QuantisedLinear);

/// An LSTM with int8 weights. With kernels, all its products are of integers, activations quantised by each; without, the weights are
/// dequantised and all is float. Inference only. No projections (proj_size) and no packed sequences.
class QuantisedLSTMImpl : public torch::nn::Cloneable<QuantisedLSTMImpl> {
 public:
  using State = std::tuple<at::Tensor, at::Tensor>;

  /// @throws std::invalid_argument as QuantisedLinearImpl, and for a proj_size
  explicit QuantisedLSTMImpl(const torch::nn::LSTMOptions& options, const LayerQuantisation& how = {});
  explicit QuantisedLSTMImpl(const torch::nn::LSTMImpl& lstm, const LayerQuantisation& how = {});

  /// As torch::nn::LSTM: input [steps, batch, features], [batch, steps, features] with batch_first or [steps, features], and optionally the
  /// state (h, c). Returns (output, (h, c)) of the input's type. @throws std::invalid_argument as QuantisedLinear
  std::tuple<at::Tensor, State> forward(const at::Tensor& input, torch::optional<State> state = {});

  std::string execution() const;
  bool uses_kernel() const { return !cells_.isNone(); }
  std::uint64_t bytes() const;

  void reset() override;
  void load(torch::serialize::InputArchive& archive) override;
  void pretty_print(std::ostream& stream) const override;

 protected:
  // What makes a Sequential call it with the input alone.
  FORWARD_HAS_DEFAULT_ARGS({1, torch::nn::AnyValue(torch::optional<State>())})

 private:
  struct Weight {
    std::string name;  // "weight_ih_l0"
    at::Tensor integers, scale, zero_point;
  };
  std::size_t cell_count() const;
  void pack();

  torch::nn::LSTMOptions options_;
  LayerQuantisation how_;
  QuantisedKernels kernels_;
  std::vector<Weight> weights_;     // input and hidden of each cell, layer by layer, forward before backward
  std::vector<at::Tensor> biases_;  // likewise; zeros where the LSTM has none
  c10::IValue cells_;               // libtorch's packed cells
};
TORCH_MODULE(QuantisedLSTM);

/// @throws as the constructors
inline QuantisedLinear quantise(const torch::nn::Linear& linear, const LayerQuantisation& how = {}) {
  return QuantisedLinear(*linear, how);
}
inline QuantisedLSTM quantise(const torch::nn::LSTM& lstm, const LayerQuantisation& how = {}) { return QuantisedLSTM(*lstm, how); }

}  // namespace vigil
