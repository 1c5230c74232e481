// Multiply-accumulates of the operators that libtorch reports to observers (at::RecordFunction).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <ATen/core/ivalue.h>
#include <c10/util/ArrayRef.h>

namespace vigil {

/// Multiply-accumulates (MACs; a MAC is two FLOPs) of the matrix products, convolutions, recurrent layers and attention kernels that one
/// operator computes, those of the operators that it calls included. From its arguments alone: at::RecordFunction gives those when the
/// operator starts, and its results only when the arguments are gone.
///
/// `name` and `inputs` are RecordFunction::name() (`aten::addmm`) and inputs(). 0 for an operator that is not in counted_operators(), whose
/// arguments are not as expected, or not dense: sparse, nested and mkldnn tensors. Element-wise work, reductions, decompositions
/// (`linalg`), FFTs and quantised products are not counted. Complex products count as one each, and so do those with zeros of a padding, a
/// dropout or a causal mask, whether or not a kernel skips them.
///
/// Formulas: a product is rows * inner * columns; a convolution is its weights times the positions that they are applied at (torchinfo),
/// and its gradients for the input and for the weights each as many again; a recurrent layer is its weight matrices times its tokens, its
/// backward twice that; attention is Q*K^T and P*V, and its fused backward five products, since it computes Q*K^T anew (Dao et al. 2022,
/// FlashAttention, algorithm 4).
///
/// Any thread; takes about 20 ns, a convolution 100, without allocation. Sizes that are not numbers (symbolic ones) are 0.
std::uint64_t multiply_accumulates(std::string_view name, c10::ArrayRef<const c10::IValue> inputs) noexcept;

/// The names that multiply_accumulates() knows, without `aten::`, sorted. @throws std::bad_alloc
std::vector<std::string_view> counted_operators();

/// Multiply-accumulates of all operators that one thread runs, each product once. Operators call others that compute the same product, and
/// which ones do depends on sizes, on the version and on what libtorch was built with: `mv` calls `addmv_`, `baddbmm` without MKL calls
/// `addmm_` for each matrix, and under autocast `bmm` calls `bmm`. So only the outermost counted operator counts.
///
/// For one thread, between RecordFunction callbacks that see every operator, in both scopes (FUNCTION and BACKWARD_FUNCTION may be mixed).
/// Nothing throws or allocates.
class OutermostProducts {
 public:
  /// An operator starts. Its multiply_accumulates(); 0 inside of an operator that had some.
  std::uint64_t enter(std::string_view name, c10::ArrayRef<const c10::IValue> inputs) noexcept;
  /// The operator that was entered last and not left ends.
  void leave() noexcept;
  /// Forgets operators that were entered and never left, as when observing stopped in between.
  void clear() noexcept { depth_ = 0; }

 private:
  std::uint64_t depth_ = 0;  // operators entered since the outermost counted one, with it
};

}  // namespace vigil
