// All that the benchmarks call of vigil's reductions, in one place.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "vigil/hooks/tensor_pass.h"
#include "vigil/monitor/dtype.h"
#include "vigil/monitor/magnitude_histogram.h"
#include "vigil/monitor/moments.h"

namespace vigil::bench {

/// Slowest first.
constexpr std::array<std::string_view, 5> kKernels{"portable", "vector128", "avx2", "avx512", "avx512_bf16"};

/// From now on the reductions use this kernel. False, and nothing has changed, when this build has none of that name or the CPU cannot run
/// it.
bool force_kernel(std::string_view name);

/// From now on the reductions use what vigil would choose.
void use_automatic_kernel();

/// The name of what vigil would choose, which is in use from now on.
std::string_view automatic_kernel();

/// One kernel's call on the calling thread. `histogram` may be null.
Moments compute(DType dtype, const void* data, std::size_t count, MagnitudeHistogram* histogram);
FiniteNorm compute_norm(DType dtype, const void* data, std::size_t count);

/// The pass of the hooks over many tensors.
class HooksPass {
 public:
  /// What `watch()` does; not measured. `counts_magnitudes`: a histogram for each tensor.
  explicit HooksPass(std::vector<at::Tensor> tensors, bool counts_magnitudes = false);

  /// What a sample does, with at::get_num_threads() threads.
  const std::vector<Moments>& run();
  /// Of the latest run, by tensor.
  const std::vector<MagnitudeHistogram>& histograms() const { return histograms_; }

 private:
  std::vector<at::Tensor> tensors_;
  std::unique_ptr<TensorPass> pass_;  // it cannot be moved
  std::vector<Moments> results_;
  std::vector<MagnitudeHistogram> histograms_;
};

}  // namespace vigil::bench
