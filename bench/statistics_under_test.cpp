#include "bench/statistics_under_test.h"

#include <utility>

#include "vigil/hooks/tensor_reduction.h"

namespace vigil::bench {

bool force_kernel(std::string_view name) { return name == "portable"; }

void use_automatic_kernel() {}

bool has_histogram() { return false; }

Moments compute(DType dtype, const void* data, std::size_t count, MagnitudeHistogram*) { return compute_moments(dtype, data, count); }

FiniteNorm compute_norm(DType dtype, const void* data, std::size_t count) { return compute_finite_norm(dtype, data, count); }

HooksPass::HooksPass(std::vector<at::Tensor> tensors) : tensors_(std::move(tensors)), results_(tensors_.size()) {}

const std::vector<Moments>& HooksPass::run() {
  for (std::size_t i = 0; i < tensors_.size(); ++i) results_[i] = reduce_in_place(tensors_[i]);
  return results_;
}

}  // namespace vigil::bench
