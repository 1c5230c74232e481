// Short names of what a model is built like, and of what it has learned.
#pragma once

#include <string>
#include <vector>

#include "vigil/inspection/model_tensor.h"
#include "vigil/inspection/tensor_reading.h"

namespace vigil {

// Both are 32 hexadecimal digits (XXH3-128), the same on every machine, for a module in memory, its torch::save file and its TorchScript
// file, whatever libtorch wrote it; a difference is certain to mean something, equality is beyond doubt unless somebody made it on purpose.
// They go over parameters and buffers in the order of their names; in a file that does not tell what is one (a state_dict of Python), over
// all tensors. Roles and `requires_grad` do not go into them, since such a file does not know them.

/// Of names, element types and sizes; looks at no element. @throws std::bad_alloc
std::string architecture_fingerprint(const std::vector<ModelTensor>& tensors);

/// Of these and of all elements, bit by bit. `readings` are read_tensors(tensors). Empty when one of them has an error. @throws
/// std::bad_alloc
std::string value_fingerprint(const std::vector<ModelTensor>& tensors, const std::vector<TensorReading>& readings);

}  // namespace vigil
