// How large a model is.
#pragma once

#include <cstdint>
#include <vector>

#include "vigil/inspection/model_tensor.h"

namespace vigil {

struct TotalOfTensors {
  std::uint64_t tensors = 0, elements = 0, bytes = 0;
};

/// Tensors that share memory count once, where they stand first.
struct ModelTotals {
  TotalOfTensors trainable, frozen;  ///< parameters with requires_grad, and without
  TotalOfTensors buffers;
  TotalOfTensors others;  ///< constants, attributes, and all tensors of a file that does not say what they are
  TotalOfTensors shared;  ///< those that are counted under another name

  struct OfType {
    ElementType type = ElementType::float32;
    TotalOfTensors total;
  };
  std::vector<OfType> types;  ///< the most bytes first
};

ModelTotals totals_of(const std::vector<ModelTensor>& tensors);

}  // namespace vigil
