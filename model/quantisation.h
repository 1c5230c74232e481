// Quantises the weights of a model, says what each layer loses, and compares what comes out.
//
// What runs on integers and what only rounds: in a torch::nn::Sequential, Linear and LSTM layers are exchanged for QuantisedLinear and
// QuantisedLSTM, which run libtorch's int8 kernels where this build has them (quantised_layers.h). Members of a user's own class are of a
// concrete type and cannot be exchanged from outside; their weights are rounded to the grid in place, stay float in memory, and, where of
// float32 or float64, compute with exactly the values that int8 weights have, so that the accuracy measured is theirs; float16 and
// bfloat16 round these values once more. The report says for each layer which it was.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "vigil/model/quantisation_grid.h"
#include "vigil/model/quantised_layers.h"
#include "vigil/terminal/text_style.h"

namespace torch {
namespace jit {
struct Module;
}
}  // namespace torch

namespace vigil {

/// What is quantised, and how: floating-point parameters of two dimensions or more that all of these lists admit. By channel they go by
/// their outputs, which of transposed convolutions are the second dimension.
struct ModelQuantisation {
  LayerQuantisation layer;
  /// Of the modules that own them, {"Linear", "Conv2d"}; empty: all, for quantise_dynamic() Linear and LSTM. The modules of a file that
  /// torch::save wrote have no kinds.
  std::vector<std::string> kinds;
  /// Patterns as a shell's of full names, "encoder.*.weight"; a `*` goes over dots. What matches one of them; empty: all.
  std::vector<std::string> include;
  std::vector<std::string> exclude;  ///< what matches one of them stays as it is; often the first and the last layer
};

/// How far two outputs agree.
struct Agreement {
  std::uint64_t examples = 0;     ///< rows: all dimensions but the last
  std::uint64_t agreeing = 0;     ///< those whose largest value is at the same place, the first of equals
  std::uint64_t nonfinite = 0;    ///< rows of either with NaN or Inf; they never agree
  double largest_difference = 0;  ///< of finite rows
  double signal = 0, noise = 0;   ///< of finite rows: Σa², Σ(a − b)²

  double top1() const noexcept { return examples == 0 ? 1 : static_cast<double>(agreeing) / static_cast<double>(examples); }
  double sqnr_db() const noexcept { return vigil::sqnr_db(signal, noise, largest_difference); }
};

/// One weight.
struct QuantisedWeight {
  std::string name;  ///< of the parameter: "fc1.weight"
  std::string kind;  ///< of its module: "Linear"
  std::vector<std::int64_t> sizes;
  std::int64_t channels_at = 0;  ///< the dimension of its outputs
  std::string scheme;            ///< grid_text(); empty when it was kept
  /// "int8 kernel (QNNPACK)", "rounded in place, float arithmetic", "saved as integers", "kept"; empty where it was only measured.
  std::string execution;
  bool uses_kernel = false;
  bool is_kept = false;
  std::uint64_t bytes_before = 0;    ///< as it was in memory
  std::uint64_t bytes_after = 0;     ///< as integers, with 4 bytes of scale and 4 of zero point for each channel; as before when kept
  QuantisationError error;           ///< of the weight; all 0 when kept
  std::optional<Agreement> outputs;  ///< of the model, with this weight alone rounded: quantisation_sensitivity.h
};

struct QuantisationReport {
  std::vector<QuantisedWeight> weights;  ///< in the order of named_parameters(); shared ones once
  /// Of all parameters and buffers, shared ones once; after: with the quantised weights as integers, whether they are in memory or not.
  std::uint64_t model_bytes_before = 0, model_bytes_after = 0;
};

/// The report without touching the model.
/// @throws std::invalid_argument for NaN and Inf, naming the parameter and counting them; for a kind or pattern that fits nothing; for a
/// grid
///         that there is not
QuantisationReport quantisation_report(const torch::nn::Module& module, const ModelQuantisation& how = {});
QuantisationReport quantisation_report(const torch::jit::Module& module, const ModelQuantisation& how = {});

/// Rounds the weights to the grid, in place, at their type; gradients and optimizers stay. All or nothing. @throws as quantisation_report()
QuantisationReport quantise_weights(torch::nn::Module& module, const ModelQuantisation& how = {});
QuantisationReport quantise_weights(torch::jit::Module& module, const ModelQuantisation& how = {});

/// Linear and LSTM layers, unless `how` says otherwise: those directly in a Sequential are exchanged, for inference from then on; others
/// are rounded as by quantise_weights(). A program that holds an exchanged layer by another name still holds the float one. Layers whose
/// weight others share, or that have no kernel's form, are rounded, too; the report says which. All or nothing. Packing sets libtorch's
/// engine for the moment, so no other thread may set or use it then. @throws as quantisation_report()
QuantisationReport quantise_dynamic(torch::nn::Module& module, const ModelQuantisation& how = {});

/// The table that a terminal shows, a line per weight, and the totals below. "now 0": weights that became 0; "top-1": of `outputs`, when
/// any has them.
std::string quantisation_table(const QuantisationReport& report, const OutputPlace& place);

/// @param reference, other  floating point, the same sizes, classes in the last dimension; no elements agree. @throws std::invalid_argument
Agreement agreement(const at::Tensor& reference, const at::Tensor& other);

using Forward = std::function<at::Tensor(const at::Tensor&)>;

/// Sums over the inputs, without gradients; each model is given a copy of them. The models are to be in eval mode, or dropout is what
/// disagrees.
Agreement agreement(const Forward& reference, const Forward& other, const std::vector<at::Tensor>& inputs);

/// Writes the model with integers for weights, everything else as torch::save() does: qint8 tensors under the names of the parameters. The
/// file is written whole or not at all. @throws as quantisation_report(), and std::runtime_error that names the file
QuantisationReport save_quantised(const torch::nn::Module& module, const std::filesystem::path& path, const ModelQuantisation& how = {});

/// Puts the integers in the place of the weights of a module that torch::save() wrote, to be saved and read by load_quantised().
/// @throws std::invalid_argument for one with code, which computes with floats; as quantisation_report()
QuantisationReport store_integers(torch::jit::Module& module, const ModelQuantisation& how = {});

/// Reads such a file, or one of torch::save(), into a float model: integers become the numbers they stand for.
/// Nothing is changed when anything is missing or of another shape, a parameter is not finite, or the model has a QuantisedLinear or
/// QuantisedLSTM, which torch::load() fills. @throws std::runtime_error that says which
void load_quantised(torch::nn::Module& module, const std::filesystem::path& path);

}  // namespace vigil
