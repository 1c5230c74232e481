// The ranges of a model's activations, from forward passes over examples, and the model with activations rounded to them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "vigil/model/quantisation_grid.h"
#include "vigil/model/range_observers.h"
#include "vigil/terminal/text_style.h"

namespace vigil {

struct CalibrationOptions {
  QuantisationGrid grid = kActivationGrid;  ///< per tensor
  ObserverKind observer = ObserverKind::histogram;
};

/// What one operator of the model takes or makes, named as vigil names activations: "conv1", and of what follows without parameters
/// "conv1/relu". The calls of a module that runs several times, or several operators with parameters of its own, count together.
struct CalibratedActivation {
  std::string name;
  bool is_input = false;           ///< what the layer takes, not what it makes
  std::uint64_t observed = 0;      ///< values, NaN and Inf among them
  std::uint64_t nan = 0, inf = 0;  ///< which have no part in the range
  float least = 0, most = 0;       ///< of the finite ones
  QuantisationParameters parameters;
};

/// In the order of the first pass.
using Calibration = std::vector<CalibratedActivation>;

/// Observes what `forward` computes with the module's parameters, without gradients; it runs the module once or many times, on this thread.
/// The module is to be in eval mode, or dropout is calibrated too. Activations without any finite value are left out.
/// @throws std::invalid_argument for a grid per channel, std::runtime_error when operators cannot be observed, and what `forward` throws
Calibration calibrate(const torch::nn::Module& module, const std::function<void()>& forward, const CalibrationOptions& options = {});

/// Runs `forward` with each calibrated output rounded to its grid before the next operator sees it. That is nearly what static int8 would
/// compute, once quantise_weights() has rounded the weights: the model's own input stays as it is. Its parameters and buffers do, too.
/// @throws as calibrate()
void with_quantised_activations(const torch::nn::Module& module, const std::function<void()>& forward, const Calibration& calibration);

/// A line for each activation.
std::string calibration_table(const Calibration& calibration, const OutputPlace& place);

}  // namespace vigil
