// From memory to statistics: the reductions, and which implementation of them, which kernel, runs.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "vigil/monitor/dtype.h"
#include "vigil/monitor/magnitude_histogram.h"
#include "vigil/monitor/moments.h"

namespace vigil {

// All reductions read `count` elements at `data` (any alignment; null when `count` is 0) once, in blocks of 4096 elements or four of these
// together; a block that leaves the range of their arithmetic (non-finite elements, squares beyond float) is looked at again. They allocate
// nothing and throw nothing. On x86-64 and aarch64 they compute in the default floating-point environment whatever the caller's is, which
// they leave as it was. Any thread.

/// Reduces the elements to their Moments, and adds them to `histogram` unless it is null.
///
/// The portable kernel is the specification: sums in double, squared deviations from the block's own mean, blocks merged by Chan, Golub and
/// LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979); relative error of std, L1 and L2 below
/// 1e-12. The others sum float32 and narrower types in float, at most 16 terms to a sum and four such sums to each other before they go on
/// in double, and relative to the mean where that is as large as the deviations: the error of the mean (against std), std, L1 and L2 is
/// below 1e-6 (that of a sum of magnitudes provably at most 18 · 2⁻²⁴, whatever the data). Counts and histograms are exact in all, and so
/// are min and max, up to the sign of a zero.
Moments compute_moments(DType dtype, const void* data, std::size_t count, MagnitudeHistogram* histogram = nullptr) noexcept;

/// What changed in a tensor.
struct MomentsAndUpdate {
  Moments moments;         ///< of the tensor as it is
  double update_norm = 0;  ///< sqrt(sum of (x - previous)²) over the elements that are finite now and then
};

/// Compares the elements with those at `previous`, of the same type and count, while it reduces them: one pass over the two. With `keep`,
/// what is there now becomes the previous. Adds them to `histogram` unless it is null.
MomentsAndUpdate compute_moments_and_update(DType dtype, const void* data, void* previous, std::size_t count, bool keep,
                                            MagnitudeHistogram* histogram = nullptr) noexcept;

/// The guard's reduction: a fraction of the work of `compute_moments`.
FiniteNorm compute_finite_norm(DType dtype, const void* data, std::size_t count) noexcept;

/// Names of the kernels that this machine can run, the slowest first: "portable", on x86-64 and aarch64 "vector128", then, on x86-64, those
/// of "avx2", "avx512" and "avx512_bf16" that the processor has.
std::vector<std::string_view> available_kernels();

/// Has all reductions of the process use this kernel; "auto" is the fastest available, as it is from the start. False, and nothing changes,
/// for a name that is not available here. Reductions under way in other threads end with the kernel that they began with.
bool use_kernel(std::string_view name) noexcept;

/// The name of the kernel in use, never "auto".
std::string_view kernel_in_use() noexcept;

}  // namespace vigil
