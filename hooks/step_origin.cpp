// The part of StepRecorder that finds out where non-finite values came from. Replay and trace allocate, the rest does not.
#include <algorithm>
#include <utility>

#include "vigil/hooks/step_recorder.h"
#include "vigil/monitor/clock.h"

namespace vigil {

std::vector<at::Tensor> StepRecorder::parameters_of(std::size_t part) const {
  std::vector<at::Tensor> parameters;
  for (const WatchedTensor& watched : tensors_.model().parameters) {
    if (watched.part == part) parameters.push_back(watched.tensor);
  }
  return parameters;
}

void StepRecorder::publish_origin(const NonfiniteEvent& event) noexcept {
  origin_ = event;
  channel_.publish(event);
}

void StepRecorder::note_streak(std::size_t part, bool starts) noexcept {
  if (!starts) return;
  record_.origin_step = record_.step;
  record_.origin = -1;
  origin_parameters_.clear();
  gradients_.clear();
  const std::size_t named = channel_.schema().parameters.size();
  const auto& parameters = tensors_.model().parameters;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].part != part) continue;
    const bool is_nonfinite = tensors_.is_nonfinite(i);
    gradients_.push_back({name_of(i), parameters[i].tensor.grad().defined(), is_nonfinite});
    if (!is_nonfinite) continue;
    origin_parameters_.push_back(i);
    if (i < named) record_.origin = static_cast<std::int64_t>(i);  // the last one is the nearest to the loss
  }
  const bool loss_nonfinite = nonfinite_micro_batch_ > 0 || (has_turn_loss_ && !is_finite_bits(turn_loss_));
  publish_origin(bracket_event(record_.step, wall_time_ns(), gradients_, loss_nonfinite, nonfinite_micro_batch_));
}

std::string_view StepRecorder::name_of(std::size_t parameter) const noexcept {
  const auto& names = channel_.schema().parameters;
  return parameter < names.size() ? names[parameter] : late_names_[parameter - names.size()];
}

void StepRecorder::explain(std::size_t part, const at::Tensor& loss, const LossClosure* again) noexcept {
  bool is_explained = false;
  if (trace_.is_tracing()) {
    boundary_.attempt(Hook::provenance, provenance_failures_, [&] {
      const Explanation explanation = trace_.end(loss, parameters_of(part));
      if (!turn_nonfinite_ || !explanation.provenance || !origin_) return true;
      NonfiniteEvent event = *origin_;
      event.step = record_.step;
      publish_origin(explained_event(event, explanation, FoundBy::trace));
      trace_left_ = 0;
      is_explained = true;
      return true;
    });
  }
  if (is_explained || !turn_nonfinite_) return;
  // A replay is of the closure of train_step, whose beginning begin_step() has seen.
  if (again != nullptr && remembered_ && replay_) {
    is_replaying_ = true;
    boundary_.attempt(Hook::provenance, provenance_failures_, [&] {
      publish_origin(explained_event(*origin_, replay_->run(*again), FoundBy::replay));
      return true;
    });
    is_replaying_ = false;
  } else if (record_.origin_step == record_.step) {
    trace_left_ = guard_.trace_next_steps;
  }
}

std::optional<NonfiniteOrigin> StepRecorder::nonfinite_origin() const {
  if (!origin_) return std::nullopt;
  NonfiniteOrigin origin;
  origin.step = origin_->step;
  origin.found_by = origin_->found_by;
  origin.layer = origin_->layer.view();
  origin.parameter = origin_->parameter.view();
  origin.nearest_finite = origin_->nearest_finite.view();
  for (const std::size_t i : origin_parameters_) origin.parameters.emplace_back(name_of(i));
  origin.loss_nonfinite = origin_->loss_nonfinite != 0;
  origin.operation = origin_->operation.view();
  origin.forward_operation = origin_->forward_operation.view();
  origin.backward = origin_->backward != 0;
  origin.message = origin_->message.view();
  return origin;
}

}  // namespace vigil
