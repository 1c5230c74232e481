#include "vigil/inspection/model_tensor.h"

namespace vigil {

std::uint64_t element_count(const ModelTensor& tensor) noexcept {
  std::uint64_t count = 1;
  for (const std::int64_t size : tensor.sizes) count *= static_cast<std::uint64_t>(size);
  return count;
}

std::string shape_text(const std::vector<std::int64_t>& sizes) {
  std::string text = "[";
  for (const std::int64_t size : sizes) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

}  // namespace vigil
