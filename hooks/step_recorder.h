// The loop's side of vigil: guards a step, samples it, and publishes what it saw into the channel.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/hooks/hook_boundary.h"
#include "vigil/hooks/norm_sum.h"
#include "vigil/hooks/tensor_pass.h"
#include "vigil/hooks/verdict.h"
#include "vigil/hooks/watched_model.h"
#include "vigil/monitor/run_channel.h"

namespace vigil {

/// All members run on the training thread. Nothing throws, locks, prints, or waits but for libtorch's own threads in a pass over the
/// tensors. Memory is allocated at construction only, but for tensors that ATen has to reduce (sparse gradients, other devices), and when the
/// number of libtorch's threads or the size of a gradient has changed.
class StepRecorder {
 public:
  /// `channel` was made from `model.schema`; it and `optimizer` outlive the recorder.
  StepRecorder(RunChannel& channel, WatchedModel model, const torch::optim::Optimizer& optimizer, const SamplingConfig& sampling,
               const GuardConfig& guard);

  Verdict after_backward(const at::Tensor& loss) noexcept;
  void after_step() noexcept;
  /// The loop steps with `stepping`: a misuse when that is not the optimizer watched.
  void note_optimizer(const torch::optim::Optimizer& stepping) noexcept;
  void log(std::string_view name, double value) noexcept;
  /// Publishes a step that after_step has not ended, or scalars that no record carries yet, and sets the last state of the run.
  void finish(RunState state) noexcept;

  std::optional<NonfiniteOrigin> nonfinite_origin() const;

 private:
  using Clock = std::chrono::steady_clock;

  Clock::time_point begin_step() noexcept;
  void read_loss(const at::Tensor& loss);
  void read_learning_rates();
  /// Looks at every gradient; with `sampled` fills its rows too. False when one could not be read, but for those given up.
  bool reduce_gradients(bool sampled) noexcept;
  /// Fills the rows of parameters or buffers and `weight_norm_`; with `keep` keeps the weights for the next step. False when one could not
  /// be read.
  bool reduce_weights(Hook hook, std::vector<WatchedTensor>& tensors, TensorPass& pass, bool keep) noexcept;
  bool run_pass(Hook hook, TensorPass& pass, TensorPass::Mode mode, bool keep = false) noexcept;
  static Moments reduce_strided(const at::Tensor& tensor, MagnitudeHistogram* histogram);
  void put_elsewhere(std::size_t index, const at::Tensor& tensor, MagnitudeHistogram* histogram);
  void keep_weights() noexcept;
  /// Whether the tensors of this step are sampled whatever happens in it.
  bool is_scheduled(std::uint64_t step) const noexcept;
  void account_gradient(std::size_t index, FiniteNorm norm, const Moments& moments) noexcept;
  void sample(bool gradients_done) noexcept;
  void note_nonfinite_step(bool guarded) noexcept;
  void publish_step() noexcept;

  /// Reduces `elsewhere_`, all at once or, when that fails, one by one; `account` takes index and moments. False when one failed.
  template <class Account>
  bool reduce_elsewhere_each(Hook hook, std::vector<WatchedTensor>& tensors, int WatchedTensor::*failures, Account account) noexcept;
  /// Counts a call that cannot be meant so. Costs nothing, so nothing is ever given up for it.
  void count_misuse(Hook hook, std::string_view text) noexcept;

  TensorRow* row_at(int index) noexcept { return index == WatchedTensor::kNoRow ? nullptr : &rows_[static_cast<std::size_t>(index)]; }

  MagnitudeHistogram* histogram_at(int row) noexcept;

  RunChannel& channel_;
  HookBoundary boundary_;
  WatchedModel model_;
  const torch::optim::Optimizer& optimizer_;
  const SamplingConfig sampling_;
  const GuardConfig guard_;

  StepRecord record_;
  std::vector<double> scalars_;
  std::vector<TensorRow> rows_;
  std::vector<MagnitudeHistogram> histograms_;
  bool groups_told_ = false;  // that the optimizer has more parameter groups than at watch()
  bool pending_ = false;      // between after_backward and after_step
  bool stopped_ = false;      // the last verdict was stop, its record is out
  bool scalars_unpublished_ = false;

  TensorPass gradients_, parameters_, buffers_;  // by the index of their tensors
  bool has_updates_ = false;                     // that some parameter's update is to be measured

  NormSum gradient_norm_, weight_norm_;
  bool gradients_finite_ = true;
  std::vector<std::uint8_t> gradient_nonfinite_;  // of this step, by parameter
  bool in_streak_ = false;                        // the latest guarded step was not finite
  std::vector<std::uint8_t> origin_nonfinite_;    // of the origin's step
  bool origin_loss_nonfinite_ = false;

  // Empty between two passes.
  std::vector<at::Tensor> elsewhere_;                      // tensors that cannot be read in place,
  std::vector<std::size_t> elsewhere_indices_;             // whose they are,
  std::vector<MagnitudeHistogram*> elsewhere_histograms_;  // and where their magnitudes are counted

  int loss_failures_ = 0, optimizer_failures_ = 0;  // in a row
  Clock::time_point last_end_, verdict_time_, loop_begin_;
  std::uint64_t overhead_before_loop_ns_ = 0;
};

}  // namespace vigil
