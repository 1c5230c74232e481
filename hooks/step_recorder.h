// The loop's side of vigil: guards a step, has it sampled, and publishes what was seen into the channel.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/hooks/activation_sampler.h"
#include "vigil/hooks/hook_boundary.h"
#include "vigil/hooks/loss_closure.h"
#include "vigil/hooks/norm_sum.h"
#include "vigil/hooks/origin_event.h"
#include "vigil/hooks/progress_measures.h"
#include "vigil/hooks/step_replay.h"
#include "vigil/hooks/tensor_sampler.h"
#include "vigil/hooks/verdict.h"
#include "vigil/hooks/watched_model.h"
#include "vigil/monitor/run_channel.h"
#include "vigil/operators/layer_attribution.h"

namespace vigil {

/// All members run on the training thread. Nothing throws, locks, prints, or waits but for libtorch's own threads in a pass over the
/// tensors. Memory is allocated at construction only, but for what TensorSampler says, on steps that are observed operator by operator, and
/// at the first step of a streak of non-finite ones.
class StepRecorder {
 public:
  /// `channel` was made from `model.schema`, and that from `parts`; it and the optimizers outlive the recorder. With `can_replay` batches
  /// may be run again, which other ranks would have to do at the same time. @throws std::bad_alloc, c10::Error
  StepRecorder(RunChannel& channel, WatchedModel model, const std::vector<PartTensors>& parts, const SamplingConfig& sampling,
               const GuardConfig& guard, bool can_replay);

  /// The data are there, the forward pass begins. With `to_replay` the step may be asked to be run again.
  void begin_step(bool to_replay) noexcept;
  void micro_batch(const at::Tensor& loss) noexcept;
  /// `stepping` is the optimizer of the part whose turn it is; null: the only one's, or the first's. `again` makes the loss of the same
  /// batch once more; null when there is no way.
  Verdict after_backward(const at::Tensor& loss, const torch::optim::Optimizer* stepping, const LossClosure* again) noexcept;
  void after_step() noexcept;
  /// Whether every part has had its turn in the step under way.
  bool all_parts_done() const noexcept;
  /// Ends the step under way where the part that `stepping` steps has had its turn in it.
  void end_before(const torch::optim::Optimizer& stepping) noexcept;

  void log(std::string_view name, double value) noexcept;
  void examples(std::uint64_t count) noexcept { examples_told_ += count; }
  void clip_norm(double max_norm) noexcept { clip_norm_ = max_norm; }
  void phase(std::string_view name) noexcept;
  std::string_view phase() const noexcept { return channel_.phase_names().at(phase_); }
  void set_rollback(std::function<std::uint64_t()> restore) { restore_ = std::move(restore); }
  void set_checkpoint(std::function<void(std::uint64_t step)> save) { save_ = std::move(save); }
  void checkpoint_saved() noexcept { marks_ |= StepRecord::saved_checkpoint; }
  /// Publishes a step that after_step has not ended, or scalars that no record carries yet, and sets the last state of the run.
  void finish(RunState state) noexcept;

  /// True while a batch is run again: calls of the loop mean nothing then.
  bool is_replaying() const noexcept { return is_replaying_; }
  std::optional<NonfiniteOrigin> nonfinite_origin() const;

 private:
  using Clock = std::chrono::steady_clock;

  // What one optimizer steps.
  struct Part {
    std::string name;
    const torch::optim::Optimizer* optimizer;
    std::size_t first_rate, rates;  // of its learning rates among the scalars
    std::size_t known_parameters;   // in the optimizer's groups
    std::string loss_name;          // user scalar for its loss; the first part's is the record's
    bool is_done = false;           // has had its turn in this step
    bool in_streak = false;         // its latest guarded turn was not finite
    std::int64_t nonfinite_in_row = 0;
    bool rates_told = false;
  };

  std::size_t part_of(const torch::optim::Optimizer* stepping) noexcept;
  void begin_turn(Part& part, Clock::time_point now) noexcept;
  double read_loss(const at::Tensor& loss);
  void take_loss(const Part& part, const at::Tensor& loss);
  void read_learning_rates(Part& part);
  void look_for_late_parameters(std::size_t part);
  void reserve_for_origins();
  void end_activations() noexcept;
  void sample(std::size_t part, bool gradients_done) noexcept;
  void read_memory() noexcept;
  void publish_frame() noexcept;
  void note_streak(std::size_t part, bool starts) noexcept;
  void explain(std::size_t part, const at::Tensor& loss, const LossClosure* again) noexcept;
  std::string_view name_of(std::size_t parameter) const noexcept;
  void publish_origin(const NonfiniteEvent& event) noexcept;
  Verdict judge(Part& part) noexcept;
  bool roll_back() noexcept;
  void save_if_asked() noexcept;
  void publish_step() noexcept;
  void observe_next() noexcept;
  void set_scalar(std::string_view name, double value) noexcept;
  /// Whether the tensors of this step are sampled whatever happens in it.
  bool is_scheduled(std::uint64_t step) const noexcept;
  bool is_observed(std::uint64_t step) const noexcept;
  /// Counts a call that cannot be meant so. Costs nothing, so nothing is ever given up for it.
  void count_misuse(Hook hook, std::string_view text) noexcept;
  std::vector<at::Tensor> parameters_of(std::size_t part) const;

  RunChannel& channel_;
  HookBoundary boundary_;
  const SamplingConfig sampling_;
  const GuardConfig guard_;
  TensorPlaces places_;
  TensorSampler tensors_;
  ProgressMeasures measures_;
  ActivationSampler activations_;
  TracedStep trace_;
  std::optional<StepReplay> replay_;
  std::vector<Part> parts_;
  c10::Device device_ = c10::kCPU;       // of the first parameter that is not on the CPU
  std::vector<std::string> late_names_;  // of the parameters that came after watch()
  std::function<std::uint64_t()> restore_;
  std::function<void(std::uint64_t)> save_;
  std::uint64_t saves_done_ = 0;  // of those that were asked for

  StepRecord record_;
  std::vector<double> scalars_;
  bool pending_ = false;  // between the first after_backward of a step and after_step
  bool stopped_ = false;  // the last verdict was stop, its record is out
  bool scalars_unpublished_ = false;
  std::uint32_t phase_ = 0;
  std::uint64_t marks_ = 0;  // for the flags of the next record: what happened since the latest one

  // Of the step under way.
  bool sampled_ = false, frame_pending_ = false;
  bool norm_complete_ = false;
  bool turn_nonfinite_ = false;
  bool remembered_ = false;  // that the replay knows where the step began
  NormSum gradient_norm_;
  bool has_begun_ = false;  // begin_step() was called
  std::uint64_t micro_batches_ = 0, nonfinite_micro_batch_ = 0;
  double micro_loss_ = 0;
  double turn_loss_ = 0;
  bool has_turn_loss_ = false;
  std::uint64_t examples_told_ = 0, examples_seen_ = 0;
  std::uint64_t batches_ = 1;  // of the latest turn: its micro-batches and the last one
  std::optional<double> clip_norm_;

  std::optional<NonfiniteEvent> origin_;
  std::vector<std::size_t> origin_parameters_;  // whose gradients were not finite in the origin's step
  std::vector<SeenGradient> gradients_;         // of a turn, while its event is made
  std::int64_t trace_left_ = 0;
  bool is_replaying_ = false;

  int loss_failures_ = 0, optimizer_failures_ = 0, activation_failures_ = 0, provenance_failures_ = 0;  // in a row
  Clock::time_point last_end_, verdict_time_, loop_begin_, forward_begin_, phase_begin_;
  std::uint64_t overhead_before_loop_ns_ = 0, overhead_before_step_ns_ = 0;
};

}  // namespace vigil
