// A run whose every figure follows from its step, so that whoever reads it can tell whether it is whole.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vigil/monitor/records.h"
#include "vigil/monitor/run_channel.h"
#include "vigil/monitor/schema.h"

namespace vigil::test {

/// The schema of a run of `tensors` parameters (with their gradients as many rows again) in layers of two.
Schema known_schema(const std::string& run, int rank, std::size_t tensors);

double known_loss(std::uint64_t step);
double known_gradient_norm(std::uint64_t step);
/// Of row `row` of the frame of `step`.
double known_mean(std::uint64_t step, std::size_t row);

/// Whether the record, or the frame, is what KnownRun publishes of its step.
bool is_known(const StepRecord& record, const double* scalars);
bool is_known(const FrameHeader& header, const std::vector<TensorRow>& rows);

/// Publishes it.
class KnownRun {
 public:
  explicit KnownRun(RunChannel& channel);
  /// A step of so many nanoseconds that ends now; with a frame in front of it if `is_sampled`.
  void step(bool is_sampled, std::uint64_t step_ns = 1'000'000);
  std::uint64_t steps() const noexcept { return step_; }

 private:
  RunChannel& channel_;
  std::uint64_t step_ = 0, samples_ = 0;
  std::vector<double> scalars_;
  std::vector<TensorRow> rows_;
};

}  // namespace vigil::test
