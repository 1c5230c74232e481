#include "vigil/hooks/model_fingerprint.h"

#include <stdexcept>

#include "vigil/inspection/fingerprint.h"
#include "vigil/operators/tensor_types.h"

namespace vigil {

std::string model_fingerprint(const std::vector<PartTensors>& parts) {
  std::vector<ModelTensor> tensors;
  const auto add = [&](const PartTensors& part, const NamedTensors& named, ModelTensor::Role role) {
    const std::string prefix = parts.size() == 1 && !part.name.empty() ? part.name + "." : "";
    for (const auto& [name, tensor] : named) {
      if (!tensor.defined() || tensor.layout() != at::kStrided) continue;
      ModelTensor described;
      described.name = name.compare(0, prefix.size(), prefix) == 0 ? name.substr(prefix.size()) : name;
      described.role = role;
      described.type = element_type_of(tensor.scalar_type());
      described.sizes = tensor.sizes().vec();
      tensors.push_back(std::move(described));
    }
  };
  try {
    for (const PartTensors& part : parts) {
      add(part, part.parameters, ModelTensor::Role::parameter);
      add(part, part.buffers, ModelTensor::Role::buffer);
    }
  } catch (const std::invalid_argument&) {
    return {};
  }
  return architecture_fingerprint(tensors);
}

}  // namespace vigil
