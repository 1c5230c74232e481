#include "vigil/inspection/model_tensor.h"

namespace vigil {

std::uint64_t element_count(const ModelTensor& tensor) noexcept {
  std::uint64_t count = 1;
  for (const std::int64_t size : tensor.sizes) count *= static_cast<std::uint64_t>(size);
  return count;
}

}  // namespace vigil
