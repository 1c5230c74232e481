// Whether the parameters of a module are fit to be used.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "vigil/inspection/tensor_checks.h"

namespace vigil {

/// What validate_parameters() does not let pass. NaN, infinities and what cannot be read are never let pass.
struct ValidationOptions {
  bool buffers = true;      ///< judge them as well
  bool zeros = false;       ///< weights and scales that are all zero
  bool constants = false;   ///< weights that are constant, scales that are constant and not 1
  bool denormals = false;   ///< tensors of many denormals
  bool duplicates = false;  ///< weights that are copies of others
  bool variances = true;    ///< a `running_var` below 0
  CheckLimits limits;
};

class ModelValidationError : public std::runtime_error {
 public:
  explicit ModelValidationError(std::vector<TensorFinding> findings);

  /// All offenders, in the order of the module's tensors; at least one.
  const std::vector<TensorFinding>& findings() const noexcept { return findings_; }

 private:
  std::vector<TensorFinding> findings_;
};

/// Looks at all parameters and buffers once, several at a time, as `vigil verify` does with a file; docs/models/inspection.md has the
/// rules. Costs about what copying them costs. Not while another thread changes them.
/// @throws ModelValidationError that names every offender: "1 tensor is not fit to be used:", and a line for
/// each: "  conv1.weight: 3 of 9,408 elements are NaN, the first at [0, 0, 3, 1]"; std::bad_alloc
void validate_parameters(const torch::nn::Module& module, const ValidationOptions& options = {});

}  // namespace vigil
