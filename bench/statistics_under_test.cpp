#include "bench/statistics_under_test.h"

#include <utility>

#include "vigil/hooks/tensor_reduction.h"
#include "vigil/monitor/reduction.h"

namespace vigil::bench {

bool force_kernel(std::string_view name) { return use_kernel(name); }

void use_automatic_kernel() { use_kernel("auto"); }

std::string_view automatic_kernel() {
  use_automatic_kernel();
  return kernel_in_use();
}

Moments compute(DType dtype, const void* data, std::size_t count, MagnitudeHistogram* histogram) {
  return compute_moments(dtype, data, count, histogram);
}

FiniteNorm compute_norm(DType dtype, const void* data, std::size_t count) { return compute_finite_norm(dtype, data, count); }

HooksPass::HooksPass(std::vector<at::Tensor> tensors, bool counts_magnitudes)
    : tensors_(std::move(tensors)),
      pass_(std::make_unique<TensorPass>(tensors_.size())),
      results_(tensors_.size()),
      histograms_(counts_magnitudes ? tensors_.size() : 0) {
  for (std::size_t i = 0; i < histograms_.size(); ++i) pass_->set_histogram(i, &histograms_[i]);
}

const std::vector<Moments>& HooksPass::run() {
  for (std::size_t i = 0; i < tensors_.size(); ++i) pass_->set(i, *dense_memory(tensors_[i]));
  pass_->run(TensorPass::Mode::moments);
  for (std::size_t i = 0; i < tensors_.size(); ++i) results_[i] = pass_->moments(i);
  return results_;
}

}  // namespace vigil::bench
