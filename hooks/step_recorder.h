// The loop's side of vigil: guards a step, samples it, and publishes what it saw into the channel.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/hooks/verdict.h"
#include "vigil/hooks/watched_model.h"
#include "vigil/monitor/run_channel.h"

namespace vigil {

/// All members run on the training thread. Nothing throws, locks, waits or prints; memory is allocated at construction only, but for
/// tensors that ATen has to reduce (sparse gradients, other devices).
class StepRecorder {
 public:
  /// `channel` was made from `model.schema`; it and `optimizer` outlive the recorder.
  StepRecorder(RunChannel& channel, WatchedModel model, const torch::optim::Optimizer& optimizer, const SamplingConfig& sampling,
               const GuardConfig& guard);

  Verdict after_backward(const at::Tensor& loss) noexcept;
  void after_step() noexcept;
  void log(std::string_view name, double value) noexcept;
  /// Publishes a step that after_step has not ended, or scalars that no record carries yet, and sets the last state of the run.
  void finish(RunState state) noexcept;

  std::optional<NonfiniteOrigin> nonfinite_origin() const;

 private:
  using Clock = std::chrono::steady_clock;

  void begin_step(Clock::time_point now) noexcept;
  void read_loss(const at::Tensor& loss);
  void read_learning_rates();
  void reduce_gradients(bool sampled) noexcept;
  void reduce_parameters() noexcept;
  void reduce_buffers() noexcept;
  void reduce_weights(Hook hook, const std::vector<WatchedTensor>& tensors) noexcept;
  void account_gradient(std::size_t index, FiniteNorm norm, const Moments& moments) noexcept;
  void sample(bool gradients_done) noexcept;
  void note_nonfinite_step(bool guarded) noexcept;
  void publish_step() noexcept;

  /// The boundary that nothing passes: runs `body`, counts what it throws as a failure of `hook`, and skips a hook that is off.
  template <class Body>
  bool attempt(Hook hook, Body body) noexcept;
  /// Counts a failure and keeps the first one's text for the export thread to log.
  void count_failure(Hook hook, std::string_view text) noexcept;

  // Accumulates a Euclidean norm from the norms of its parts; long double, so that squares of float64 norms stay in range.
  struct NormSum {
    long double squares = 0;
    bool nan = false, inf = false;
    void add(double norm) noexcept;
    double value() const noexcept;
  };

  RunChannel& channel_;
  WatchedModel model_;
  const torch::optim::Optimizer& optimizer_;
  const SamplingConfig sampling_;
  const GuardConfig guard_;

  StepRecord record_;
  std::vector<double> scalars_;
  std::vector<TensorRow> rows_;
  bool pending_ = false;         // between after_backward and after_step
  bool stopped_ = false;         // the last verdict was stop, its record is out
  bool scalars_unpublished_ = false;

  NormSum gradient_norm_, parameter_norm_;
  bool gradients_finite_ = true;
  std::vector<std::uint8_t> gradient_nonfinite_;  // of this step, by parameter
  bool in_streak_ = false;                        // the latest guarded step was not finite
  std::vector<std::uint8_t> origin_nonfinite_;    // of the origin's step
  bool origin_loss_nonfinite_ = false;

  std::vector<at::Tensor> elsewhere_;           // tensors that cannot be read in place,
  std::vector<std::size_t> elsewhere_indices_;  // and whose they are

  std::array<int, kHookNames.size()> failures_in_a_row_{};
  Clock::time_point watch_begin_, last_end_, verdict_time_;
};

}  // namespace vigil
