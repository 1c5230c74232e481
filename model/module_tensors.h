// The tensors of a module, for what inspection/ does with them.
#pragma once

#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <torch/nn/module.h>

#include "vigil/inspection/model_tensor.h"
#include "vigil/operators/tensor_types.h"

namespace vigil {

/// Parameters, then buffers, in the order of named_parameters() and named_buffers(), each under all of its names. They refer to the
/// module's memory as it is when they are read; a tensor that is not contiguous or not on the CPU is copied then, as a whole. Undefined and
/// sparse ones are left out. @throws std::bad_alloc
std::vector<ModelTensor> tensors_of(const torch::nn::Module& module);

/// The gradients, under the names of their parameters; those that have none are left out.
std::vector<ModelTensor> gradients_of(const torch::nn::Module& module);

/// The first tensor of a result, in tuples, lists and dictionaries, too; nothing where there is none.
std::optional<at::Tensor> first_tensor_in(const c10::IValue& value);

}  // namespace vigil
