#include "vigil/hooks/step_recorder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "vigil/hooks/tensor_reduction.h"

namespace vigil {
namespace {

std::uint64_t nanoseconds(std::chrono::steady_clock::duration duration) noexcept {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count());
}

std::int64_t wall_time_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

NonfiniteCounts& nonfinite_values(StepRecord& record, NonfiniteIn where) noexcept {
  return record.totals.nonfinite_values[static_cast<std::size_t>(where)];
}

void add_nonfinite(NonfiniteCounts& counts, const Moments& moments) noexcept {
  counts.nan += moments.nan_count;
  counts.inf += moments.inf_count;
}

}  // namespace

StepRecorder::StepRecorder(RunChannel& channel, WatchedModel model, const torch::optim::Optimizer& optimizer,
                           const SamplingConfig& sampling, const GuardConfig& guard)
    : channel_(channel),
      boundary_(channel),
      model_(std::move(model)),
      optimizer_(optimizer),
      sampling_(sampling),
      guard_(guard),
      scalars_(channel.scalar_capacity(), std::numeric_limits<double>::quiet_NaN()),
      rows_(channel.schema().rows.size()),
      histograms_(channel.schema().histograms),
      gradients_(model_.parameters.size()),
      parameters_(model_.parameters.size()),
      buffers_(model_.buffers.size()),
      gradient_nonfinite_(model_.parameters.size()),
      origin_nonfinite_(model_.parameters.size()),
      last_end_(Clock::now()) {
  elsewhere_.reserve(model_.parameters.size() + model_.buffers.size());
  elsewhere_indices_.reserve(elsewhere_.capacity());
  elsewhere_histograms_.reserve(elsewhere_.capacity());
  for (std::size_t i = 0; i < model_.parameters.size(); ++i) {
    const WatchedTensor& watched = model_.parameters[i];
    gradients_.set_histogram(i, histogram_at(watched.gradient_row));
    parameters_.set_histogram(i, histogram_at(watched.row));
    if (!watched.has_update) continue;
    has_updates_ = true;
    parameters_.keep_previous(i, watched.tensor.nbytes());
  }
  for (std::size_t i = 0; i < model_.buffers.size(); ++i) buffers_.set_histogram(i, histogram_at(model_.buffers[i].row));
  // A gradient has the size of its parameter, whenever it comes.
  for (const auto& [pass, tensors] :
       {std::pair(&gradients_, &model_.parameters), std::pair(&parameters_, &model_.parameters), std::pair(&buffers_, &model_.buffers)}) {
    for (std::size_t i = 0; i < tensors->size(); ++i) {
      pass->set(i, dense_memory((*tensors)[i].tensor));
    }
    pass->prepare();
  }
}

MagnitudeHistogram* StepRecorder::histogram_at(int row) noexcept {
  if (row == WatchedTensor::kNoRow) return nullptr;
  const std::int32_t index = channel_.schema().rows[static_cast<std::size_t>(row)].histogram;
  return index == RowSchema::kNone ? nullptr : &histograms_[static_cast<std::size_t>(index)];
}

template <class Account>
bool StepRecorder::reduce_elsewhere_each(Hook hook, std::vector<WatchedTensor>& tensors, int WatchedTensor::*failures,
                                         Account account) noexcept {
  if (elsewhere_.empty()) return true;
  bool all = true;
  int failures_of_all = 0;
  const bool together = boundary_.attempt(hook, failures_of_all, [&] {
    const std::vector<Moments> reduced = reduce_elsewhere(elsewhere_, elsewhere_histograms_);
    for (std::size_t e = 0; e < reduced.size(); ++e) {
      tensors[elsewhere_indices_[e]].*failures = 0;
      account(elsewhere_indices_[e], reduced[e]);
    }
    return true;
  });
  // One of them failed; the others shall not suffer for it.
  for (std::size_t e = 0; !together && e < elsewhere_.size(); ++e) {
    all &= boundary_.attempt(hook, tensors[elsewhere_indices_[e]].*failures, [&] {
      if (elsewhere_histograms_[e] != nullptr) *elsewhere_histograms_[e] = MagnitudeHistogram{};
      account(elsewhere_indices_[e], reduce_elsewhere({elsewhere_[e]}, {elsewhere_histograms_[e]}).front());
      return true;
    });
  }
  elsewhere_.clear();  // nothing is kept alive beyond the call
  elsewhere_indices_.clear();
  elsewhere_histograms_.clear();
  return all;
}

void StepRecorder::count_misuse(Hook hook, std::string_view text) noexcept {
  ++record_.totals.hook_errors[static_cast<std::size_t>(hook)];
  channel_.note(hook).write_first(text);
}

StepRecorder::Clock::time_point StepRecorder::begin_step() noexcept {
  if (pending_) {
    count_misuse(Hook::sequence,
                 "after_backward was called again without after_step in between; call after_step once after each optimizer.step()");
    publish_step();
  }
  const Clock::time_point now = Clock::now();
  if (record_.step == 0) channel_.live().state.store(RunState::running, std::memory_order_relaxed);  // a lone word
  ++record_.step;
  record_.flags = record_.flags & StepRecord::has_parameter_norm;
  record_.forward_backward_ns = nanoseconds(now - last_end_);
  record_.optimizer_ns = record_.total_ns = 0;
  pending_ = true;
  stopped_ = false;
  return now;
}

void StepRecorder::read_loss(const at::Tensor& loss) {
  record_.loss = std::numeric_limits<double>::quiet_NaN();
  if (!loss.defined()) {
    count_misuse(Hook::loss, "the loss is an undefined tensor; pass the tensor that backward() was called on");
    return;
  }
  if (loss.numel() != 1) {
    count_misuse(Hook::loss, "the loss has more or less than one element; pass the reduced loss, e.g. loss.mean()");
    return;
  }
  if (!at::isFloatingType(loss.scalar_type())) {
    count_misuse(Hook::loss, "the loss is not of a floating-point type; pass the tensor that backward() was called on");
    return;
  }
  record_.loss = read_scalar(loss);
  record_.flags |= StepRecord::has_loss;
  if (is_finite_bits(record_.loss)) return;
  NonfiniteCounts& counts = nonfinite_values(record_, NonfiniteIn::loss);
  ++(is_nan_bits(record_.loss) ? counts.nan : counts.inf);
}

void StepRecorder::read_learning_rates() {
  const auto& groups = optimizer_.param_groups();
  const std::size_t count = std::min(groups.size(), channel_.schema().learning_rates);
  for (std::size_t i = 0; i < count; ++i) scalars_[i] = groups[i].options().get_lr();
  if (groups.size() == channel_.schema().learning_rates || std::exchange(groups_told_, true)) return;
  count_misuse(
      Hook::optimizer,
      "the optimizer has other parameter groups than at watch(); what was added is neither guarded nor shown: call watch() after the "
      "last add_param_group()");
}

void StepRecorder::note_optimizer(const torch::optim::Optimizer& stepping) noexcept {
  if (&stepping == &optimizer_) return;
  count_misuse(Hook::optimizer, "step() was called with another optimizer than watch(), whose learning rates are shown");
}

void StepRecorder::account_gradient(std::size_t index, FiniteNorm norm, const Moments& moments) noexcept {
  gradient_norm_.add(norm.l2_norm);
  if (norm.all_finite) return;
  gradients_finite_ = false;
  gradient_nonfinite_[index] = 1;
  add_nonfinite(nonfinite_values(record_, NonfiniteIn::gradient), moments);
}

void StepRecorder::put_elsewhere(std::size_t index, const at::Tensor& tensor, MagnitudeHistogram* histogram) {
  elsewhere_.push_back(tensor);
  elsewhere_indices_.push_back(index);
  elsewhere_histograms_.push_back(histogram);
  if (histogram != nullptr) *histogram = MagnitudeHistogram{};
}

// The elements do not lie together, and are gathered as they are read.
Moments StepRecorder::reduce_strided(const at::Tensor& tensor, MagnitudeHistogram* histogram) {
  if (histogram != nullptr) *histogram = MagnitudeHistogram{};
  return reduce_in_place(tensor, histogram);
}

bool StepRecorder::reduce_gradients(bool sampled) noexcept {
  gradient_norm_ = {};
  gradients_finite_ = true;
  std::fill(gradient_nonfinite_.begin(), gradient_nonfinite_.end(), std::uint8_t{0});
  const Hook hook = sampled ? Hook::gradients : Hook::guard;
  bool complete = true, looked = true;
  const auto account = [this, sampled](std::size_t i, const Moments& moments) {
    TensorRow* const row = sampled ? row_at(model_.parameters[i].gradient_row) : nullptr;
    if (row != nullptr) {
      row->moments = moments;
      row->state = TensorRow::present;
    }
    account_gradient(i, finite_norm_of(moments), moments);
  };

  for (std::size_t i = 0; i < model_.parameters.size(); ++i) {
    WatchedTensor& watched = model_.parameters[i];
    TensorRow* const row = sampled ? row_at(watched.gradient_row) : nullptr;
    if (row != nullptr) row->state = TensorRow::unreadable;  // until it was read
    if (HookBoundary::is_given_up(watched.gradient_failures)) {
      gradients_.clear(i);
      complete = false;
      continue;
    }
    const bool could_read = boundary_.attempt(row != nullptr ? Hook::gradients : Hook::guard, watched.gradient_failures, [&] {
      const at::Tensor& gradient = watched.tensor.grad();
      const bool exists = gradient.defined() && dtype_of(gradient.scalar_type());
      if (!exists && row != nullptr) row->state = TensorRow::absent;
      if (gradients_.set(i, exists ? dense_memory(gradient) : std::nullopt) || !exists) return true;
      MagnitudeHistogram* const histogram = sampled ? histogram_at(watched.gradient_row) : nullptr;
      if (!is_in_place(gradient)) {
        put_elsewhere(i, gradient, histogram);
        return false;  // nothing is known of it yet
      }
      account(i, reduce_strided(gradient, histogram));
      return true;
    });
    if (!could_read) gradients_.clear(i);
    looked &= could_read;
  }
  bool has_moments = sampled;
  bool ran = run_pass(hook, gradients_, sampled ? TensorPass::Mode::moments : TensorPass::Mode::norms);
  if (ran && !sampled) {
    bool all_finite = true;
    for (std::size_t i = 0; i < model_.parameters.size(); ++i) all_finite &= !gradients_.is_set(i) || gradients_.norm(i).all_finite;
    // What is not finite has to be counted, too.
    has_moments = !all_finite;
    if (has_moments) ran = run_pass(hook, gradients_, TensorPass::Mode::moments);
  }
  looked &= ran;
  for (std::size_t i = 0; ran && i < model_.parameters.size(); ++i) {
    if (!gradients_.is_set(i)) continue;
    if (has_moments) {
      account(i, gradients_.moments(i));
    } else {
      gradient_norm_.add(gradients_.norm(i).l2_norm);
    }
  }
  looked &= reduce_elsewhere_each(hook, model_.parameters, &WatchedTensor::gradient_failures, account);
  // The norm of a part would look like that of the whole.
  if (complete && looked) {
    record_.gradient_norm = gradient_norm_.value();
    record_.flags |= StepRecord::has_gradient_norm;
  }
  return looked;
}

bool StepRecorder::run_pass(Hook hook, TensorPass& pass, TensorPass::Mode mode, bool keep) noexcept {
  int failures = 0;  // one pass failing says nothing of the next
  return boundary_.attempt(hook, failures, [&] {
    pass.run(mode, keep);
    return true;
  });
}

bool StepRecorder::reduce_weights(Hook hook, std::vector<WatchedTensor>& tensors, TensorPass& pass, bool keep) noexcept {
  weight_norm_ = {};
  bool complete = true;
  const auto account = [this, &tensors](std::size_t i, const Moments& moments) {
    if (TensorRow* const row = row_at(tensors[i].row); row != nullptr) {
      row->moments = moments;
      row->state = TensorRow::present;
    }
    weight_norm_.add(finite_norm_of(moments).l2_norm);
    add_nonfinite(nonfinite_values(record_, NonfiniteIn::parameter), moments);
  };
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const at::Tensor& tensor = tensors[i].tensor;
    if (TensorRow* const row = row_at(tensors[i].row); row != nullptr) {
      row->state = TensorRow::unreadable;  // until it was read
      row->update_norm = std::numeric_limits<double>::quiet_NaN();
    }
    const bool could_read = boundary_.attempt(hook, tensors[i].failures, [&] {
      if (pass.set(i, dense_memory(tensor)) || !dtype_of(tensor.scalar_type())) return true;
      if (!is_in_place(tensor)) {
        put_elsewhere(i, tensor, histogram_at(tensors[i].row));
        return false;
      }
      account(i, reduce_strided(tensor, histogram_at(tensors[i].row)));
      return true;
    });
    if (!could_read) pass.clear(i);
    complete &= could_read;
  }
  const bool ran = run_pass(hook, pass, TensorPass::Mode::moments, keep);
  complete &= ran;
  for (std::size_t i = 0; ran && i < tensors.size(); ++i) {
    if (!pass.is_set(i)) continue;
    account(i, pass.moments(i));
    if (tensors[i].has_update) row_at(tensors[i].row)->update_norm = pass.update_norm(i);
  }
  complete &= reduce_elsewhere_each(hook, tensors, &WatchedTensor::failures, account);
  return complete;
}

bool StepRecorder::is_scheduled(std::uint64_t step) const noexcept {
  return step == 1 || static_cast<std::int64_t>(step) % sampling_.every_steps == 0;
}

// The weights of this step, which the next one, a sampled one, is to be compared with.
void StepRecorder::keep_weights() noexcept {
  int failures = 0;
  boundary_.attempt(Hook::parameters, failures, [this] {
    for (std::size_t i = 0; i < model_.parameters.size(); ++i) {
      if (model_.parameters[i].has_update) parameters_.set(i, dense_memory(model_.parameters[i].tensor));
    }
    parameters_.keep();
    return true;
  });
}

void StepRecorder::sample(bool gradients_done) noexcept {
  if (!gradients_done) {
    // The guard has already counted this step's non-finite values: the pass for the rows must not count them again.
    const NonfiniteCounts counted = nonfinite_values(record_, NonfiniteIn::gradient);
    reduce_gradients(true);
    nonfinite_values(record_, NonfiniteIn::gradient) = counted;
  }
  if (sampling_.parameters) {
    if (reduce_weights(Hook::parameters, model_.parameters, parameters_, has_updates_ && is_scheduled(record_.step + 1))) {
      record_.parameter_norm = weight_norm_.value();
      record_.flags |= StepRecord::has_parameter_norm;
    } else {
      record_.flags &= ~std::uint64_t{StepRecord::has_parameter_norm};
    }
  }
  reduce_weights(Hook::buffers, model_.buffers, buffers_, false);
  ++record_.totals.samples;
  channel_.publish(FrameHeader{record_.step, wall_time_ns(), 0}, rows_.data(), histograms_.data());
}

// Remembers the origin at the first step of a streak. Steps with a finite loss whose gradients were not looked at, or not at all of
// them, tell nothing: they end no streak.
void StepRecorder::note_nonfinite_step(bool guarded) noexcept {
  const bool loss_nonfinite = record_.has(StepRecord::has_loss) && !is_finite_bits(record_.loss);
  if (!loss_nonfinite && gradients_finite_) {
    if (guarded) in_streak_ = false;
    return;
  }
  record_.flags |= StepRecord::nonfinite;
  ++record_.totals.nonfinite_steps;
  if (in_streak_) return;
  in_streak_ = true;
  record_.origin_step = record_.step;
  record_.origin = -1;
  // Modules are registered in the order of the forward pass, and backward goes the other way: the last one is the nearest to the loss.
  for (std::size_t i = gradient_nonfinite_.size(); i-- > 0 && record_.origin < 0;) {
    if (gradient_nonfinite_[i] != 0) record_.origin = static_cast<std::int64_t>(i);
  }
  std::copy(gradient_nonfinite_.begin(), gradient_nonfinite_.end(), origin_nonfinite_.begin());
  origin_loss_nonfinite_ = loss_nonfinite;
}

Verdict StepRecorder::after_backward(const at::Tensor& loss) noexcept {
  const Clock::time_point begin = begin_step();
  const auto step = static_cast<std::int64_t>(record_.step);
  bool sampled = is_scheduled(record_.step);
  bool guarded = sampled || (guard_.every_steps > 0 && step % guard_.every_steps == 0);

  boundary_.attempt(Hook::loss, loss_failures_, [&] {
    read_loss(loss);
    return true;
  });
  boundary_.attempt(Hook::optimizer, optimizer_failures_, [&] {
    read_learning_rates();
    return true;
  });
  const bool starts_with_loss = record_.has(StepRecord::has_loss) && !is_finite_bits(record_.loss) && !in_streak_;
  sampled = sampled || starts_with_loss;
  guarded = guarded || starts_with_loss;
  gradients_finite_ = true;
  if (guarded) guarded = reduce_gradients(sampled);
  const bool was_in_streak = in_streak_;
  note_nonfinite_step(guarded);

  const bool starts_streak = in_streak_ && !was_in_streak;
  if (sampled || starts_streak) {
    sample(sampled);
  } else if (has_updates_ && is_scheduled(record_.step + 1)) {
    keep_weights();
  }
  boundary_.count_into(record_.totals);

  Verdict verdict = Verdict::proceed;
  if (record_.has(StepRecord::nonfinite) && guard_.on_nonfinite != OnNonfinite::warn) {
    verdict = guard_.on_nonfinite == OnNonfinite::stop ? Verdict::stop : Verdict::skip;
    record_.flags |= StepRecord::skipped;
    ++record_.totals.skipped_steps;
  }
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
    if (!stopped_) count_misuse(Hook::sequence, "after_step was called without after_backward before it");
    return;
  }
  if (!record_.has(StepRecord::skipped)) {
    record_.optimizer_ns = nanoseconds(begin - verdict_time_);
    record_.flags |= StepRecord::has_optimizer_time;
  }
  publish_step();
}

void StepRecorder::publish_step() noexcept {
  const Clock::time_point now = Clock::now();
  // The first step's times hold what happened between watch() and the loop.
  if (record_.step > 1) {
    record_.total_ns = nanoseconds(now - last_end_);
    record_.flags |= StepRecord::has_total_time;
    record_.totals.loop_ns = nanoseconds(now - loop_begin_);
    record_.totals.loop_overhead_ns = record_.totals.overhead_ns - overhead_before_loop_ns_;
  }
  last_end_ = now;
  pending_ = false;
  scalars_unpublished_ = false;
  record_.wall_time_ns = wall_time_ns();
  record_.user_scalars = channel_.scalar_names().size();
  channel_.publish(record_, scalars_.data());
  record_.totals.overhead_ns += nanoseconds(Clock::now() - now);
  if (record_.step == 1) {
    loop_begin_ = now;
    overhead_before_loop_ns_ = record_.totals.overhead_ns;
  }
}

void StepRecorder::log(std::string_view name, double value) noexcept {
  const int index = channel_.scalar_names().find_or_append(name);
  if (index < 0) {
    count_misuse(Hook::scalars, "log(): more than 64 names, or a name that is empty or longer than 96 bytes");
    return;
  }
  scalars_[channel_.schema().learning_rates + static_cast<std::size_t>(index)] = value;
  scalars_unpublished_ = true;
}

void StepRecorder::finish(RunState state) noexcept {
  if (pending_) {
    publish_step();
  } else if (scalars_unpublished_ && record_.step > 0) {
    // Logged after the last step (a test accuracy): once more the same record, marked, so that nothing is counted twice.
    record_.flags &= ~std::uint64_t{StepRecord::has_optimizer_time | StepRecord::has_total_time};
    record_.flags |= StepRecord::again;
    record_.user_scalars = channel_.scalar_names().size();
    channel_.publish(record_, scalars_.data());
  }
  channel_.live().state.store(state, std::memory_order_relaxed);  // a lone word
}

std::optional<NonfiniteOrigin> StepRecorder::nonfinite_origin() const {
  if (record_.origin_step == 0) return std::nullopt;
  NonfiniteOrigin origin;
  origin.step = record_.origin_step;
  origin.loss_nonfinite = origin_loss_nonfinite_;
  const auto& names = channel_.schema().parameters;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (origin_nonfinite_[i] != 0) origin.parameters.push_back(names[i]);
  }
  if (record_.origin >= 0) {
    origin.parameter = names[static_cast<std::size_t>(record_.origin)];
    origin.layer = layer_of(origin.parameter);
  }
  origin.message = "step " + std::to_string(origin.step) + ": ";
  if (origin.loss_nonfinite) origin.message += "the loss is not finite";
  if (!origin.parameters.empty()) {
    origin.message += std::string(origin.loss_nonfinite ? ", and " : "") + "the gradients of " + std::to_string(origin.parameters.size()) +
                      " of " + std::to_string(names.size()) + " parameters are not finite; nearest to the loss: " + origin.parameter;
  }
  return origin;
}

}  // namespace vigil
