// Inputs for one forward pass of a saved model, from what a user writes on the command line.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/ivalue.h>

namespace vigil::model_tools {

/// One tensor a spec, in their order: `1,3,224,224` or `1x3x224x224` (float32), `1,128:int64`, `1,128:int64:50257`. Sizes are 1 to 10⁹ each
/// and separated by commas or x, the type is one of float32, float64, float16, bfloat16, int64, int32 and bool. Floating-point tensors hold
/// a standard normal distribution; whole numbers are evenly spread from 0 to below the number behind the second colon, and 0 without it,
/// which every embedding has; `bool` is all true, as a mask that hides nothing. The same specs always give the same values, and libtorch's
/// own generators stay as they are.
/// @throws std::invalid_argument that quotes the spec and says what is expected
std::vector<c10::IValue> example_inputs(const std::vector<std::string>& specs);

}  // namespace vigil::model_tools
