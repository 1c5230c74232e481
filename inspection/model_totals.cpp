#include "vigil/inspection/model_totals.h"

#include <algorithm>
#include <unordered_set>

namespace vigil {

ModelTotals totals_of(const std::vector<ModelTensor>& tensors) {
  ModelTotals totals;
  std::unordered_set<std::uint64_t> seen;
  for (const ModelTensor& tensor : tensors) {
    const std::uint64_t elements = element_count(tensor), bytes = elements * element_size(tensor.type);
    const auto add = [&](TotalOfTensors& total) {
      ++total.tensors;
      total.elements += elements;
      total.bytes += bytes;
    };
    if (tensor.memory != 0 && !seen.insert(tensor.memory).second) {
      add(totals.shared);
      continue;
    }
    switch (tensor.role) {
      case ModelTensor::Role::parameter: add(tensor.requires_grad ? totals.trainable : totals.frozen); break;
      case ModelTensor::Role::buffer: add(totals.buffers); break;
      case ModelTensor::Role::other: add(totals.others); break;
    }
    auto of_type = std::find_if(totals.types.begin(), totals.types.end(), [&](const auto& one) { return one.type == tensor.type; });
    if (of_type == totals.types.end()) of_type = totals.types.insert(of_type, {tensor.type, {}});
    add(of_type->total);
  }
  std::stable_sort(totals.types.begin(), totals.types.end(), [](const auto& a, const auto& b) { return a.total.bytes > b.total.bytes; });
  return totals;
}

}  // namespace vigil
