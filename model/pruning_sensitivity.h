// Which layers a model can do without, and how much of them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "vigil/model/pruning.h"
#include "vigil/terminal/text_style.h"

namespace vigil {

struct PruningSensitivity {
  double baseline = 0;          ///< of the model as it is
  std::vector<double> amounts;  ///< shares pruned, 0 to 1
  struct Layer {
    std::string name;
    std::uint64_t elements = 0;
    std::vector<double> measured;  ///< with this layer alone pruned; one for each amount
  };
  std::vector<Layer> layers;
};

/// Prunes one parameter at a time, by each of `amounts`, and asks `evaluate` for a figure of the model, such as its accuracy. Afterwards
/// the weights are as before, bit by bit, also when `evaluate` throws. What else `evaluate` changes stays: put the module into evaluation
/// mode before. Calls it 1 + parameters * amounts times.
/// @throws std::invalid_argument as PruningMasks does; what `evaluate` throws
PruningSensitivity pruning_sensitivity(torch::nn::Module& module, const std::function<double()>& evaluate,
                                       const std::vector<double>& amounts, const PruningTargets& targets = {},
                                       const PruningMethod& method = {});

/// A table: a row for each layer, a column for each amount, with `digits` decimal places.
std::string sensitivity_text(const PruningSensitivity& sensitivity, const OutputPlace& place, int digits = 4);

}  // namespace vigil
