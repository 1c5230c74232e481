// What smaller number formats would lose of a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "vigil/tools/model_file.h"

namespace vigil::tools {

/// Shares, 0 to 1, of the finite values that are not zero, over all floating-point tensors that are wider than the format.
struct PrecisionLoss {
  std::string_view format;
  double overflow = 0;                         ///< would become infinite
  std::optional<double> underflow, subnormal;  ///< would become 0; would have fewer bits; none: magnitudes are not counted so far down
  double worst = 0;                            ///< the largest share that one tensor would lose to infinity or 0
  std::optional<std::size_t> worst_tensor;     ///< index of that tensor, where it loses any
};

/// From the readings alone; none where no tensor is wider.
std::vector<PrecisionLoss> precision_losses(const ModelFile& file);

}  // namespace vigil::tools
