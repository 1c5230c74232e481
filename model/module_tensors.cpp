#include "vigil/model/module_tensors.h"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>

#include <ATen/Functions.h>

#include "vigil/operators/torch_version.h"

namespace vigil {
namespace {

class ElementsInMemory : public TensorElements {
 public:
  explicit ElementsInMemory(at::Tensor tensor) : tensor_(std::move(tensor)) {}

  void for_each_piece(const std::function<void(const void*, std::size_t)>& use) const override {
    const at::NoGradGuard no_grad;
    const at::Tensor values = tensor_.detach().cpu().resolve_neg().resolve_conj().contiguous();
    const auto* data = static_cast<const char*>(read_pointer(values));
    const auto bytes = static_cast<std::size_t>(values.element_size());
    const std::size_t piece = kPieceBytes / bytes;
    for (auto left = static_cast<std::size_t>(values.numel()); left > 0;) {
      const std::size_t count = std::min(left, piece);
      use(data, count);
      data += count * bytes;
      left -= count;
    }
  }

 private:
  static constexpr std::size_t kPieceBytes = std::size_t{256} << 10;

  at::Tensor tensor_;
};

ModelTensor described(const std::string& name, const at::Tensor& tensor, ModelTensor::Role role) {
  ModelTensor described;
  described.name = name;
  described.role = role;
  described.requires_grad = tensor.requires_grad();
  described.type = element_type_of(tensor.scalar_type());
  described.sizes = tensor.sizes().vec();
  described.memory = reinterpret_cast<std::uintptr_t>(tensor.unsafeGetTensorImpl());
  described.elements = std::make_shared<ElementsInMemory>(tensor);
  return described;
}

bool is_dense(const at::Tensor& tensor) { return tensor.defined() && tensor.layout() == at::kStrided; }

}  // namespace

std::vector<ModelTensor> tensors_of(const torch::nn::Module& module) {
  std::vector<ModelTensor> tensors;
  std::unordered_map<std::uint64_t, std::shared_ptr<const TensorElements>> known;
  const auto add = [&](const auto& named, ModelTensor::Role role) {
    for (const auto& item : named) {
      if (!is_dense(item.value())) continue;
      tensors.push_back(described(item.key(), item.value(), role));
      // A tensor of several names has the same elements under all, so that a reader can tell and reads them once.
      tensors.back().elements = known.try_emplace(tensors.back().memory, tensors.back().elements).first->second;
    }
  };
  add(module.named_parameters(), ModelTensor::Role::parameter);
  add(module.named_buffers(), ModelTensor::Role::buffer);
  return tensors;
}

std::vector<ModelTensor> gradients_of(const torch::nn::Module& module) {
  std::vector<ModelTensor> gradients;
  for (const auto& item : module.named_parameters()) {
    const at::Tensor& gradient = item.value().grad();
    if (is_dense(gradient)) gradients.push_back(described(item.key(), gradient, ModelTensor::Role::other));
  }
  return gradients;
}

std::optional<at::Tensor> first_tensor_in(const c10::IValue& value) {
  if (value.isTensor()) return value.toTensor();
  if (value.isTuple()) {
    for (const c10::IValue& element : value.toTupleRef().elements()) {
      if (auto tensor = first_tensor_in(element)) return tensor;
    }
  } else if (value.isList()) {
    for (const c10::IValue& element : value.toListRef()) {
      if (auto tensor = first_tensor_in(element)) return tensor;
    }
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) {
      if (auto tensor = first_tensor_in(entry.value())) return tensor;
    }
  }
  return std::nullopt;
}

}  // namespace vigil
