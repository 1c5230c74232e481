// Tensors of a model in the memory of a test.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vigil/inspection/model_tensor.h"

namespace vigil {

/// In pieces that are no multiple of anything.
template <class Element>
class ElementsOfVector : public TensorElements {
 public:
  explicit ElementsOfVector(std::vector<Element> values) : values_(std::move(values)) {}

  void for_each_piece(const std::function<void(const void*, std::size_t)>& use) const override {
    for (std::size_t done = 0; done < values_.size(); done += kPiece) use(values_.data() + done, std::min(kPiece, values_.size() - done));
  }

 private:
  static constexpr std::size_t kPiece = 10'007;
  std::vector<Element> values_;
};

template <class Element>
ModelTensor memory_tensor(std::string name, ElementType type, std::vector<Element> values) {
  ModelTensor tensor;
  tensor.name = std::move(name);
  tensor.type = type;
  tensor.sizes = {static_cast<std::int64_t>(values.size())};
  tensor.elements = std::make_shared<ElementsOfVector<Element>>(std::move(values));
  return tensor;
}

}  // namespace vigil
