#include "vigil/hooks/step_recorder.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "vigil/hooks/device_memory.h"
#include "vigil/hooks/tensor_reduction.h"
#include "vigil/monitor/clock.h"
#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

// 0 for less than that: calls out of order.
std::uint64_t nanoseconds(std::chrono::steady_clock::duration duration) noexcept {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, nanoseconds_in(duration)));
}

NonfiniteCounts& nonfinite_values(StepRecord& record, NonfiniteIn where) noexcept {
  return record.totals.nonfinite_values[static_cast<std::size_t>(where)];
}

void add(NonfiniteCounts& counts, const NonfiniteCounts& more) noexcept {
  counts.nan += more.nan;
  counts.inf += more.inf;
}

TensorPlaces places_of(const std::vector<PartTensors>& parts) {
  NamedTensors parameters, buffers;
  for (const PartTensors& part : parts) {
    parameters.insert(parameters.end(), part.parameters.begin(), part.parameters.end());
    buffers.insert(buffers.end(), part.buffers.begin(), part.buffers.end());
  }
  return {parameters, buffers};
}

std::vector<at::Tensor> buffers_of(const std::vector<PartTensors>& parts) {
  std::vector<at::Tensor> buffers;
  for (const PartTensors& part : parts) {
    for (const auto& [name, tensor] : part.buffers) buffers.push_back(tensor);
  }
  return buffers;
}

std::size_t parameters_in(const torch::optim::Optimizer& optimizer) {
  std::size_t count = 0;
  for (const auto& group : optimizer.param_groups()) count += group.params().size();
  return count;
}

}  // namespace

StepRecorder::StepRecorder(RunChannel& channel, WatchedModel model, const std::vector<PartTensors>& parts, const SamplingConfig& sampling,
                           const GuardConfig& guard, bool can_replay)
    : channel_(channel),
      boundary_(channel),
      sampling_(sampling),
      guard_(guard),
      places_(places_of(parts)),
      tensors_(channel.schema(), std::move(model), boundary_),
      measures_(channel.schema(), tensors_.model(), parts),
      activations_(channel, places_),
      trace_(places_),
      scalars_(channel.scalar_capacity(), std::numeric_limits<double>::quiet_NaN()),
      last_end_(Clock::now()) {
  for (const WatchedTensor& watched : tensors_.model().parameters) {
    if (device_.is_cpu()) device_ = watched.tensor.device();
  }
  std::size_t rate = 0;
  for (const PartTensors& part : parts) {
    const std::size_t rates = part.optimizer->param_groups().size();
    parts_.push_back({part.name, part.optimizer, rate, rates, parameters_in(*part.optimizer), part.name + "/loss"});
    rate += rates;
  }
  // Those of a part that has no turn for long are known all the same.
  try {
    for (Part& part : parts_) read_learning_rates(part);
  } catch (...) {
    // Its turn will tell, and count it.
  }
  reserve_for_origins();
  if (can_replay && guard.replay) {
    std::vector<at::Tensor> parameters;
    for (const WatchedTensor& watched : tensors_.model().parameters) parameters.push_back(watched.tensor);
    replay_.emplace(places_, std::move(parameters), buffers_of(parts));
  }
  observe_next();
}

void StepRecorder::count_misuse(Hook hook, std::string_view text) noexcept {
  ++record_.totals.hook_errors[static_cast<std::size_t>(hook)];
  channel_.note(hook).write_first(text);
}

bool StepRecorder::is_observed(std::uint64_t step) const noexcept {
  const std::int64_t every = sampling_.activations_every_steps;
  return every > 0 && sampling_.max_activations > 0 && (step == 1 || static_cast<std::int64_t>(step) % every == 0);
}

bool StepRecorder::is_scheduled(std::uint64_t step) const noexcept {
  return step == 1 || static_cast<std::int64_t>(step) % sampling_.every_steps == 0 || is_observed(step);
}

// Attaches what the next step is to be watched with.
void StepRecorder::observe_next() noexcept {
  if (is_observed(record_.step + 1)) {
    boundary_.attempt(Hook::activations, activation_failures_, [this] {
      activations_.begin(record_.step + 1, 0, false);
      return true;
    });
  }
  if (trace_left_ > 0) {
    --trace_left_;
    boundary_.attempt(Hook::provenance, provenance_failures_, [this] {
      trace_.begin();
      return true;
    });
  }
}

void StepRecorder::end_activations() noexcept {
  if (!activations_.is_observing()) return;
  boundary_.attempt(Hook::activations, activation_failures_, [this] {
    activations_.end();
    return true;
  });
  record_.totals.overhead_ns += activations_.overhead_ns();
  record_.totals.layers_dropped = activations_.layers_dropped();
  add(nonfinite_values(record_, NonfiniteIn::activation), activations_.nonfinite());
}

void StepRecorder::begin_step(bool to_replay) noexcept {
  const Clock::time_point now = Clock::now();
  forward_begin_ = now;
  has_begun_ = true;
  remembered_ = false;
  if (!to_replay || !replay_) return;
  remembered_ = boundary_.attempt(Hook::provenance, provenance_failures_, [this] {
    replay_->remember();
    return true;
  });
  record_.totals.overhead_ns += nanoseconds(Clock::now() - now);
}

std::size_t StepRecorder::part_of(const torch::optim::Optimizer* stepping) noexcept {
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (stepping == nullptr || parts_[i].optimizer == stepping) return i;
  }
  count_misuse(Hook::optimizer, "a step was made with another optimizer than those given to watch(), whose learning rates are shown");
  return 0;
}

void StepRecorder::end_before(const torch::optim::Optimizer& stepping) noexcept {
  for (const Part& part : parts_) {
    if (parts_.size() > 1 && part.optimizer == &stepping && part.is_done && pending_) after_step();
  }
}

bool StepRecorder::all_parts_done() const noexcept {
  return std::all_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.is_done; });
}

void StepRecorder::begin_turn(Part& part, Clock::time_point now) noexcept {
  if (pending_ && part.is_done) {
    count_misuse(Hook::sequence,
                 "after_backward was called again without after_step in between; call after_step once after each optimizer.step()");
    publish_step();
  }
  part.is_done = true;
  turn_nonfinite_ = false;
  if (pending_) return;
  channel_.beat(nanoseconds_in(now.time_since_epoch()));
  if (record_.step == 0) channel_.live().state.store(RunState::running, std::memory_order_relaxed);  // a lone word
  ++record_.step;
  record_.flags = (record_.flags & (StepRecord::has_parameter_norm | StepRecord::has_device_memory)) | std::exchange(marks_, 0);
  record_.data_ns = 0;
  record_.forward_backward_ns = nanoseconds(now - last_end_);
  if (has_begun_) {
    record_.data_ns = nanoseconds(forward_begin_ - last_end_);
    record_.forward_backward_ns = nanoseconds(now - forward_begin_);
    if (record_.step > 1) record_.flags |= StepRecord::has_data_time;
  }
  record_.optimizer_ns = record_.total_ns = record_.vigil_ns = 0;
  pending_ = true;
  stopped_ = false;
  sampled_ = is_scheduled(record_.step);
  frame_pending_ = false;
  norm_complete_ = true;
  gradient_norm_ = {};
}

double StepRecorder::read_loss(const at::Tensor& loss) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  has_turn_loss_ = false;
  if (!loss.defined()) {
    count_misuse(Hook::loss, "the loss is an undefined tensor; pass the tensor that backward() was called on");
    return kNone;
  }
  if (loss.numel() != 1) {
    count_misuse(Hook::loss, "the loss has more or less than one element; pass the reduced loss, e.g. loss.mean()");
    return kNone;
  }
  if (!at::isFloatingType(loss.scalar_type())) {
    count_misuse(Hook::loss, "the loss is not of a floating-point type; pass the tensor that backward() was called on");
    return kNone;
  }
  const double value = read_scalar(loss);
  has_turn_loss_ = true;
  if (!is_finite_bits(value)) {
    NonfiniteCounts& counts = nonfinite_values(record_, NonfiniteIn::loss);
    ++(is_nan_bits(value) ? counts.nan : counts.inf);
  }
  return value;
}

void StepRecorder::micro_batch(const at::Tensor& loss) noexcept {
  const Clock::time_point begin = Clock::now();
  if (phase_ != 0) {
    count_misuse(Hook::sequence, "micro_batch was called in an evaluation phase; call phase(\"train\") first");
    return;
  }
  boundary_.attempt(Hook::loss, loss_failures_, [&] {
    const double value = read_loss(loss);
    ++micro_batches_;
    ++record_.totals.micro_batches;
    micro_loss_ += value;
    if (has_turn_loss_ && !is_finite_bits(value) && nonfinite_micro_batch_ == 0) nonfinite_micro_batch_ = micro_batches_;
    return true;
  });
  record_.totals.overhead_ns += nanoseconds(Clock::now() - begin);
}

// The loss of a step is the mean of those of its micro-batches.
void StepRecorder::take_loss(const Part& part, const at::Tensor& loss) {
  turn_loss_ = read_loss(loss);
  if (has_turn_loss_ && micro_batches_ > 0) turn_loss_ = (micro_loss_ + turn_loss_) / static_cast<double>(micro_batches_ + 1);
  if (&part != &parts_.front()) {
    if (has_turn_loss_) set_scalar(part.loss_name, turn_loss_);
    return;
  }
  record_.loss = turn_loss_;
  if (has_turn_loss_) record_.flags |= StepRecord::has_loss;
}

void StepRecorder::read_learning_rates(Part& part) {
  const auto& groups = part.optimizer->param_groups();
  const std::size_t count = std::min(groups.size(), part.rates);
  for (std::size_t i = 0; i < count; ++i) scalars_[part.first_rate + i] = groups[i].options().get_lr();
  if (groups.size() == part.rates || std::exchange(part.rates_told, true)) return;
  count_misuse(Hook::optimizer,
               "the optimizer has other parameter groups than at watch(); their parameters are guarded, but their learning rates and "
               "statistics are not shown: call watch() after the last add_param_group()");
}

void StepRecorder::look_for_late_parameters(std::size_t index) {
  Part& part = parts_[index];
  const std::size_t now = parameters_in(*part.optimizer);
  if (now == part.known_parameters) return;
  part.known_parameters = now;
  std::vector<at::Tensor> late;
  const auto& groups = part.optimizer->param_groups();
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (std::size_t p = 0; p < groups[g].params().size(); ++p) {
      const at::Tensor& tensor = groups[g].params()[p];
      const auto& known = tensors_.model().parameters;
      if (std::any_of(known.begin(), known.end(), [&](const WatchedTensor& watched) { return watched.tensor.is_same(tensor); })) continue;
      late.push_back(tensor);
      late_names_.push_back((parts_.size() > 1 ? part.name + " " : "") + "group " + std::to_string(g) + " parameter " + std::to_string(p));
    }
  }
  tensors_.add_late(index, late);
  reserve_for_origins();
}

void StepRecorder::reserve_for_origins() {
  origin_parameters_.reserve(tensors_.model().parameters.size());
  gradients_.reserve(tensors_.model().parameters.size());
}

void StepRecorder::sample(std::size_t part, bool gradients_done) noexcept {
  // The guard has already counted this step's non-finite values: the pass for the rows must not count them again.
  if (!gradients_done) tensors_.reduce_gradients(part, true);
  measures_.measure_gradients(part, tensors_.rows());
  if (frame_pending_) return;  // an earlier turn of the step has done the rest
  if (sampling_.parameters) {
    const TensorSampler::Weights weights = tensors_.reduce_parameters(is_scheduled(record_.step + 1));
    add(nonfinite_values(record_, NonfiniteIn::parameter), weights.nonfinite);
    record_.flags &= ~std::uint64_t{StepRecord::has_parameter_norm};
    if (weights.complete) {
      record_.parameter_norm = weights.norm.value();
      record_.flags |= StepRecord::has_parameter_norm;
    }
  }
  int failures = 0;
  boundary_.attempt(Hook::parameters, failures, [this] {
    measures_.measure_weights(tensors_.rows());
    return true;
  });
  add(nonfinite_values(record_, NonfiniteIn::parameter), tensors_.reduce_buffers().nonfinite);
  read_memory();
  ++record_.totals.samples;
  frame_pending_ = true;
}

void StepRecorder::read_memory() noexcept {
  const auto memory = read_device_memory(device_);
  if (!memory) return;
  record_.flags |= StepRecord::has_device_memory;
  record_.device_allocated = memory->allocated;
  record_.device_reserved = memory->reserved;
  record_.device_peak = memory->peak;
  record_.device_retries = memory->allocation_retries;
  record_.device_out_of_memory = memory->out_of_memory;
}

void StepRecorder::publish_frame() noexcept {
  if (!std::exchange(frame_pending_, false)) return;
  channel_.publish(FrameHeader{record_.step, wall_time_ns(), activations_.layers()}, tensors_.rows().data(), tensors_.histograms().data(),
                   activations_.rows().data());
}

Verdict StepRecorder::after_backward(const at::Tensor& loss, const torch::optim::Optimizer* stepping, const LossClosure* again) noexcept {
  if (phase_ != 0) {
    count_misuse(Hook::sequence, "after_backward was called in an evaluation phase; call phase(\"train\") first");
    return Verdict::proceed;
  }
  const Clock::time_point begin = Clock::now();
  end_activations();
  const std::size_t index = part_of(stepping);
  Part& part = parts_[index];
  begin_turn(part, begin);
  const auto step = static_cast<std::int64_t>(record_.step);

  boundary_.attempt(Hook::loss, loss_failures_, [&] {
    take_loss(part, loss);
    return true;
  });
  boundary_.attempt(Hook::optimizer, optimizer_failures_, [&] {
    read_learning_rates(part);
    look_for_late_parameters(index);
    return true;
  });
  const bool loss_nonfinite = (has_turn_loss_ && !is_finite_bits(turn_loss_)) || nonfinite_micro_batch_ > 0;
  const bool starts_with_loss = loss_nonfinite && !part.in_streak;
  if (sampled_ && !frame_pending_) tensors_.clear_gradient_rows();
  bool sampled = sampled_ || starts_with_loss;
  bool guarded = sampled || (guard_.every_steps > 0 && step % guard_.every_steps == 0);
  TensorSampler::Gradients gradients;
  if (guarded) {
    gradients = tensors_.reduce_gradients(index, sampled);
    gradient_norm_.add(gradients.norm.value());
    add(nonfinite_values(record_, NonfiniteIn::gradient), gradients.nonfinite);
    guarded = gradients.looked;
  }
  norm_complete_ &= gradients.has_norm;
  record_.flags &= ~std::uint64_t{StepRecord::has_gradient_norm};
  if (norm_complete_) {
    record_.gradient_norm = gradient_norm_.value();
    record_.flags |= StepRecord::has_gradient_norm;
  }
  if (clip_norm_ && norm_complete_) {
    record_.clip_ratio = std::min(1.0, *clip_norm_ / (record_.gradient_norm + 1e-6));  // as torch::nn::utils::clip_grad_norm_
    record_.flags |= StepRecord::has_clip_ratio;
  }

  // Steps with a finite loss whose gradients were not looked at, or not at all of them, tell nothing: they end no streak.
  turn_nonfinite_ = loss_nonfinite || !gradients.all_finite;
  const bool starts_streak = turn_nonfinite_ && !part.in_streak;
  if (turn_nonfinite_) {
    if (!record_.has(StepRecord::nonfinite)) ++record_.totals.nonfinite_steps;
    record_.flags |= StepRecord::nonfinite;
    ++part.nonfinite_in_row;
    part.in_streak = true;
  } else if (guarded) {
    part.in_streak = false;
    part.nonfinite_in_row = 0;
  }
  if (sampled || starts_streak) {
    sample(index, sampled);
  } else if (is_scheduled(record_.step + 1)) {
    tensors_.keep_weights();
  }
  if (parts_.size() == 1 || all_parts_done()) publish_frame();
  if (turn_nonfinite_) note_streak(index, starts_streak);
  if (trace_.is_tracing() || starts_streak) explain(index, loss, starts_streak ? again : nullptr);
  batches_ = micro_batches_ + 1;
  micro_batches_ = nonfinite_micro_batch_ = 0;
  micro_loss_ = 0;

  const Verdict verdict = judge(part);
  boundary_.count_into(record_.totals);
  verdict_time_ = Clock::now();
  record_.totals.overhead_ns += nanoseconds(verdict_time_ - begin);
  if (verdict == Verdict::stop) {
    // The loop ends here, perhaps without after_step and without destructors: the record must be out.
    publish_step();
    stopped_ = true;
  }
  return verdict;
}

void StepRecorder::after_step() noexcept {
  const Clock::time_point begin = Clock::now();
  if (!pending_) {
    if (!stopped_ && phase_ == 0) count_misuse(Hook::sequence, "after_step was called without after_backward before it");
    return;
  }
  if (!record_.has(StepRecord::skipped)) {
    record_.optimizer_ns = nanoseconds(begin - verdict_time_);
    record_.flags |= StepRecord::has_optimizer_time;
  }
  publish_step();
  observe_next();
  save_if_asked();
}

void StepRecorder::publish_step() noexcept {
  publish_frame();
  const Clock::time_point now = Clock::now();
  if (activations_.examples() > 0) examples_seen_ = activations_.examples();
  if (activations_.multiply_accumulates() > 0) record_.multiply_accumulates = activations_.multiply_accumulates();
  record_.examples = examples_told_ > 0 ? std::exchange(examples_told_, 0) : examples_seen_ * batches_;
  record_.totals.examples += record_.examples;
  record_.vigil_ns = record_.totals.overhead_ns - overhead_before_step_ns_;
  // The first step's times hold what happened between watch() and the loop.
  if (record_.step > 1) {
    record_.total_ns = nanoseconds(now - last_end_);
    record_.flags |= StepRecord::has_total_time;
    record_.totals.loop_ns = nanoseconds(now - loop_begin_);
    record_.totals.loop_overhead_ns = record_.totals.overhead_ns - overhead_before_loop_ns_;
  }
  last_end_ = now;
  channel_.beat(nanoseconds_in(now.time_since_epoch()));
  pending_ = has_begun_ = remembered_ = false;
  for (Part& part : parts_) part.is_done = false;
  scalars_unpublished_ = false;
  record_.wall_time_ns = wall_time_ns();
  record_.user_scalars = channel_.scalar_names().size();
  channel_.publish(record_, scalars_.data());
  record_.totals.overhead_ns += nanoseconds(Clock::now() - now);
  overhead_before_step_ns_ = record_.totals.overhead_ns;
  if (record_.step == 1) {
    loop_begin_ = now;
    overhead_before_loop_ns_ = record_.totals.overhead_ns;
  }
}

void StepRecorder::finish(RunState state) noexcept {
  activations_.abandon();
  trace_.abandon();
  if (pending_) {
    publish_step();
  } else if ((scalars_unpublished_ || marks_ != 0) && record_.step > 0) {
    // Logged or saved after the last step (a test accuracy): once more the same record, marked, so that nothing is counted twice.
    record_.flags &= ~std::uint64_t{StepRecord::has_optimizer_time | StepRecord::has_total_time | StepRecord::has_data_time |
                                    StepRecord::saved_checkpoint | StepRecord::kPhaseMask};
    record_.flags |= StepRecord::again | marks_;
    record_.user_scalars = channel_.scalar_names().size();
    channel_.publish(record_, scalars_.data());
  }
  channel_.live().state.store(state, std::memory_order_relaxed);  // a lone word
}

}  // namespace vigil
