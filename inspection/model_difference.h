// What differs between the tensors of two models.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/inspection/model_tensor.h"
#include "vigil/inspection/tensor_reading.h"

namespace vigil {

struct TensorDifference {
  enum class Kind : std::uint8_t {
    unchanged,  ///< bit by bit; so a NaN equals itself, and 0 does not equal -0
    changed,
    sizes,  ///< other sizes: no elements are compared
    type,   ///< the same sizes, and another element type: likewise
    only_in_a,
    only_in_b,
    unreadable,  ///< in one of them, see `error`
  };
  Kind kind = Kind::unchanged;
  std::string name;
  std::optional<std::size_t> a, b;  ///< indices into the lists that were compared
  std::string error;

  // Of changed ones.
  std::uint64_t elements = 0, changed_elements = 0;  ///< changed: not the same bits
  std::uint64_t nonfinite_a = 0, nonfinite_b = 0;    ///< elements that are NaN or infinite
  std::uint64_t changed_nonfinite = 0;               ///< changed ones that are so in one of the two, or in both
  // Over the elements that are finite in both.
  double largest = 0;      ///< max |b - a|
  double relative_l2 = 0;  ///< ‖b − a‖ / ‖a‖; +Inf where a is zero and b is not
  double l2 = 0;           ///< ‖b − a‖
  double cosine = 1;       ///< a·b / (‖a‖ ‖b‖), -1 to 1; NaN where one of the two is zero
};
inline constexpr std::array<std::string_view, 7> kTensorDifferenceNames{"unchanged", "changed",   "sizes",     "type",
                                                                        "only_in_a", "only_in_b", "unreadable"};

/// Tensors of the same name compared, in the order of `a`, and then what is only in `b`. Both are read once, piece by piece and in step,
/// several tensors at once; no more of them is in memory than a piece for each thread and model. Of several tensors of the same name in a
/// model the first is compared with the first, and so on. Differences are those of the conversion to double. @throws std::bad_alloc
std::vector<TensorDifference> compare_models(const std::vector<ModelTensor>& a, const std::vector<ModelTensor>& b,
                                             const ReadingOptions& options = {});

}  // namespace vigil
