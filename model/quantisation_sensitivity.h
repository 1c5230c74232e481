// What each weight, quantised alone, does to the outputs of a model.
#pragma once

#include <cstddef>
#include <functional>

#include <torch/nn/module.h>

#include "vigil/model/quantisation.h"

namespace vigil {

/// How many weights are done, of how many.
using SensitivityProgress = std::function<void(std::size_t done, std::size_t all)>;

/// quantisation_report(), with `outputs` of each weight that is not kept: rounds one at a time, as quantise_weights() would, runs
/// `forward`, and compares with what it gave before any was rounded. Afterwards weights and buffers are as before, bit by bit, also when
/// `forward` throws; buffers are so before each run, too. The module is to be in eval mode. Runs `forward` 1 + weights times, without
/// gradients, on this thread.
/// @param forward  the model's output for the same inputs each time, classes in the last dimension
/// @throws as quantisation_report() and agreement(), and what `forward` throws
QuantisationReport quantisation_sensitivity(torch::nn::Module& module, const std::function<at::Tensor()>& forward,
                                            const ModelQuantisation& how = {}, const SensitivityProgress& progress = {});

/// Each run is of a copy of the module, so that nothing that its code keeps comes from one into the next.
QuantisationReport quantisation_sensitivity(const torch::jit::Module& module, const std::function<at::Tensor(torch::jit::Module&)>& forward,
                                            const ModelQuantisation& how = {}, const SensitivityProgress& progress = {});

}  // namespace vigil
