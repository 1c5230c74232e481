// Gives the parameters of a model their first values, by the rules of a policy. docs/models/initialisation.md has the formulas.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Generator.h>

#include "vigil/config/initialisation.h"
#include "vigil/model/layer_parameters.h"
#include "vigil/terminal/text_style.h"

namespace vigil {

/// What was done with one tensor.
struct InitialisedTensor {
  std::string path, type;
  std::vector<std::int64_t> sizes;
  std::vector<std::string> other_paths;  ///< of the same tensor, which was initialised once
  InitialisationScheme scheme = InitialisationScheme::keep;
  std::string rule;          ///< which decided; empty: none matched, and it stayed as it was
  std::string kept_because;  ///< of one that stayed as it was although a rule matched; else empty
  std::optional<Fans> fans;  ///< of one block
  std::int64_t blocks = 1;   ///< drawn one by one
  std::optional<double> gain;
  /// Of the distribution that the values were drawn from; NaN of what stayed as it was. Of an orthogonal matrix gain/√max(rows, columns).
  double mean = 0, std = 0;
};

struct InitialisationReport {
  std::vector<InitialisedTensor> tensors;  ///< all parameters of the model
  std::vector<std::string> unmatched;      ///< paths of those that no rule matched
  std::vector<std::string> unused_rules;   ///< rules that decided nothing, those of presets left out
  std::int64_t residual_tensors = 0;       ///< N of `residual`
};

/// Initialises every parameter in place: gradients, requires_grad, buffers, devices and types stay. A tensor that stands under several
/// names is initialised once, as that of the first layer of a known kind. Recurrent and attention weights are initialised gate by gate
/// (query, key, value); the padding row of an embedding becomes 0. Values are drawn on the CPU, in float64 for float64 tensors and else in
/// float32, so that a seed means the same on every device. They are those of torch::nn::init with the same generator where it has the
/// scheme and counts the same fans.
///
/// They come from `generator` (of the CPU), else from a new one with the policy's seed, else from libtorch's default one. Parameters of
/// other types than float16, bfloat16, float32 and float64, and sparse ones, stay as they are, as the report says.
///
/// @throws ConfigError for a policy that validate() refuses; std::invalid_argument that names every tensor whose rule cannot be applied,
/// with
///         the reason. Then nothing has changed.
InitialisationReport initialise(torch::nn::Module& module, const InitialisationPolicy& policy,
                                std::optional<at::Generator> generator = std::nullopt);

/// The same for parameters from elsewhere.
InitialisationReport initialise(const std::vector<LayerParameter>& parameters, const InitialisationPolicy& policy,
                                std::optional<at::Generator> generator = std::nullopt);

/// A table of what was done, and below it what no rule matched and which rules decided nothing.
std::string initialisation_text(const InitialisationReport& report, const OutputPlace& place);

}  // namespace vigil
