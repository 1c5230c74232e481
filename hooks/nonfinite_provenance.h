// Where a non-finite value comes from: the first operation on its way whose inputs were finite and whose output was not.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "vigil/hooks/operator_trace.h"

namespace vigil {

struct Provenance {
  /// As libtorch calls it ("aten::log", "LogBackward0"); or what else it is: "input data", "parameter", "buffer", "scalar argument of
  /// aten::mul", "code that is not an operator of libtorch".
  std::string operation;
  std::string forward_operation;  ///< of a node of the backward pass; empty when that is not known
  std::string layer;              ///< OperatorPlace::layer; of a node that of its forward operator; empty outside of the model's layers
  std::string tensor;             ///< the model's parameter or buffer that was not finite to begin with
  bool backward = false;
  std::vector<TracedTensor> operands;  ///< what went in: of a node, into the operator in it that made the first such value
  std::string message;                 ///< all of it in one sentence, without the step
};

/// Of a tensor that is not finite (the loss, or gradients of parameters, all of one backward pass) at the end of `trace`, back through what
/// the operators read and wrote; of several origins the earliest. Not blamed are infinities that are meant, as in a mask: written by an
/// operator that fills with a given number, or handed in as a mask of -Inf; an operator that makes a NaN of them is. Empty when `targets`
/// are finite. @throws std::bad_alloc
std::optional<Provenance> find_provenance(const OperatorTrace& trace, const std::vector<TracedTensor>& targets);

}  // namespace vigil
