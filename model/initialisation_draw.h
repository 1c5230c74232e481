// Values of one tensor for one scheme.
#pragma once

#include <optional>
#include <string>

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include "vigil/config/initialisation.h"
#include "vigil/model/layer_parameters.h"

namespace vigil {

/// A scheme with all its numbers, for one tensor.
struct InitialisationDraw {
  InitialisationScheme scheme = InitialisationScheme::keep;
  std::optional<Fans> fans;
  std::int64_t blocks = 1;
  std::optional<double> gain;
  double mean = 0, std = 0;  ///< of the values
  /// Of the distribution that is drawn from: of a normal one before truncation, of a uniform one its bounds.
  double center = 0, spread = 0, lower = 0, upper = 0;
  double sparsity = 0;
  std::optional<double> forget_bias;  ///< of the second block; that of `bias_hh` is 0
  bool has_normal_values = false;     ///< of the scheme torch, which may be any distribution: N(center, spread²)
  bool takes_whole = false;           ///< all blocks as one matrix
};

/// What `rule` means for this parameter; `residual_scale` multiplies std where the rule says so. A reason in `problem` where it cannot be
/// applied. Of the scheme torch on a layer that it does not know the scheme is `keep`.
InitialisationDraw plan_draw(const LayerParameter& parameter, const InitialisationRule& rule, const InitialisationPolicy& policy,
                             double residual_scale, std::string& problem);

/// A tensor on the CPU of the parameter's sizes, float64 or float32.
at::Tensor drawn_values(const LayerParameter& parameter, const InitialisationDraw& draw, const at::Generator& generator);

}  // namespace vigil
