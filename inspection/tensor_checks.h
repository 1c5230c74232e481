// What is wrong with the tensors of a model, told from their readings.
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

enum class TensorCheck : std::uint8_t {
  unreadable,         ///< the elements could not be read; nothing else is known of the tensor
  nan,                ///< elements are NaN
  infinite,           ///< elements are infinite
  negative_variance,  ///< a `running_var` has elements below 0
  all_zero,           ///< all elements are zero, of two or more
  constant,           ///< all elements have the same value, of two or more, and it is not zero
  denormal,           ///< too many of the elements that are not zero are denormal
  duplicate,          ///< has the values of a tensor before it, which are not all the same, and shares no memory with it
};
inline constexpr std::array<std::string_view, 8> kTensorCheckNames{"unreadable", "nan",      "inf",      "negative_variance",
                                                                   "all_zero",   "constant", "denormal", "duplicate"};

/// A note is what healthy models have as well.
enum class FindingLevel : std::uint8_t { note, fault };
inline constexpr std::array<std::string_view, 2> kFindingLevelNames{"note", "fault"};

struct TensorFinding {
  TensorCheck check = TensorCheck::nan;
  FindingLevel level = FindingLevel::fault;
  std::string tensor;                  ///< its name, as it stands in the model
  std::string other;                   ///< of a duplicate: the tensor that has the values as well
  std::uint64_t count = 0;             ///< elements that it is about; 0 for unreadable
  std::optional<std::uint64_t> first;  ///< of NaN and infinite ones the first, in row-major order from 0
  std::string text;                    ///< "3 of 1,024 elements are NaN, the first at [0, 17]": what follows the name; may hold names
};

/// Shares, 0 to 1, of the elements that are not zero; from here on their being denormal is a fault.
struct CheckLimits {
  double denormals = 0.01;          ///< float32, float64, bfloat16: arithmetic with them is many times slower on most processors
  double float16_denormals = 0.10;  ///< float16, whose normal numbers end at 6.1e-5: they have fewer bits, down to one
};

/// Faults and notes in the order of the tensors; those that share memory are judged once, under the first of their names. `readings` are
/// read_tensors(tensors).
///
/// What is constant is judged by what the tensor is. A *buffer* is one by its role; a *bias* is a parameter with "bias" in the last part of
/// its name; a *scale* is any other parameter of at most one dimension, or with a bias of its own sizes beside it (LayerNorm, BatchNorm,
/// PReLU); a *weight* is any other parameter. Where the role is not told, tensors with "weight" or "bias" in the last part of their name
/// are parameters, and all others buffers.
/// - Fault: a weight or scale that is all zero; a weight that is constant; a scale that is constant and not 1.
/// - Note: a scale of 1, a bias that is zero or constant (as initialised), a floating-point buffer that is zero or constant.
/// - Nothing: a single element, buffers of integers and bool.
/// NaN is a fault anywhere, and so are infinities, but a buffer that has nothing else than them and zeros is a mask, or an observer that
/// has seen nothing: a note. Duplicates are a fault among
/// floating-point weights, and a note else: scales and biases of a few elements are equal by chance (after Adam's first step, 1 plus or
/// minus the learning rate), masks and tables of positions by design.
std::vector<TensorFinding> check_tensors(const std::vector<ModelTensor>& tensors, const std::vector<TensorReading>& readings,
                                         const CheckLimits& limits = {});

/// "[0, 17]": the index in each dimension of element `position`, row-major from 0; "[]" of a scalar.
std::string index_text(const std::vector<std::int64_t>& sizes, std::uint64_t position);

}  // namespace vigil
