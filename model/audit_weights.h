// Measures weights as they are, and finds the scheme that they may come from.
#pragma once

#include <string>
#include <vector>

#include "vigil/model/initialisation_audit.h"

namespace vigil {

/// Exact counts; figures of the finite elements. Float8, complex and integral tensors are converted to float64, their real part.
Moments moments_of(const at::Tensor& tensor);

/// `is_transformer`: N(0, 0.02²) is among the schemes.
WeightAudit audited_weight(const LayerParameter& parameter, bool is_transformer);

/// The scheme for what follows a layer: "kaiming_normal (fan in, relu)", and its std.
struct AdvisedScheme {
  std::string text;
  double std = 0;
};
AdvisedScheme advised_scheme(const Fans& fans, const std::string& activation);

}  // namespace vigil
