// A tensor of a model to look at, be it in memory or in a file, without libtorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "vigil/inspection/element_type.h"

namespace vigil {

/// Where the elements of a tensor come from.
class TensorElements {
 public:
  virtual ~TensorElements() = default;
  /// Calls `use` with all elements in row-major order, piece by piece, `count` elements each, aligned for their type; a piece is small
  /// enough for the cache. Any thread, several at once. @throws std::runtime_error that says what is wrong with a file; what `use` throws
  virtual void for_each_piece(const std::function<void(const void* data, std::size_t count)>& use) const = 0;
};

struct ModelTensor {
  enum class Role : std::uint8_t {
    parameter,
    buffer,
    other,  ///< a constant, an attribute, or a tensor of a file that does not say
  };

  std::string name;  ///< full path: "conv1.weight". From a file: any bytes
  Role role = Role::parameter;
  bool requires_grad = false;  ///< a parameter without is frozen
  ElementType type = ElementType::float32;
  std::vector<std::int64_t> sizes;  ///< empty: one element
  /// Tensors with the same number share memory, so they are counted once; 0: shares with none.
  std::uint64_t memory = 0;
  std::shared_ptr<const TensorElements> elements;  ///< the same for all names of a tensor
};

/// Product of its sizes.
std::uint64_t element_count(const ModelTensor& tensor) noexcept;

/// "[64, 3, 7, 7]"; "[]" for none.
std::string shape_text(const std::vector<std::int64_t>& sizes);

}  // namespace vigil
