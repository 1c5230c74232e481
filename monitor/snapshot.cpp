#include "vigil/monitor/snapshot.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

namespace vigil {
namespace {

// Copies plain data out of a ring's words.
template <class T>
void copy_from_words(T& out, const std::uint64_t* words) noexcept {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(static_cast<void*>(&out), words, sizeof out);
}

}  // namespace

void DurationHistogram::observe(double seconds) noexcept {
  const auto bound = std::lower_bound(kDurationBounds.begin(), kDurationBounds.end(), seconds);
  ++buckets[static_cast<std::size_t>(bound - kDurationBounds.begin())];
  ++count;
  sum_seconds += seconds;
}

double Snapshot::overhead_ratio() const noexcept {
  if (step.totals.loop_ns == 0) return 0;
  return static_cast<double>(step.totals.loop_overhead_ns) / static_cast<double>(step.totals.loop_ns);
}

RunFollower::RunFollower(const RunChannel& channel)
    : channel_(channel),
      steps_(channel.step_reader()),
      frames_(channel.frame_reader()),
      events_(channel.event_reader()),
      step_words_(channel.step_geometry().payload_words),
      frame_words_(channel.frame_geometry().payload_words),
      event_words_(RunChannel::kEventGeometry.payload_words),
      scalars_(channel.scalar_capacity()) {
  // The schema belongs to the channel; a snapshot may outlive both, so it holds its own copy.
  state_.schema = std::make_shared<const Schema>(channel.schema());
  state_.layers = std::make_shared<const std::vector<LayerLabel>>();
}

void RunFollower::fold_step(const OnStep& on_step) {
  StepRecord& record = state_.step;
  copy_from_words(record, step_words_.data());
  std::memcpy(scalars_.data(), step_words_.data() + sizeof record / 8, scalars_.size() * sizeof(double));
  state_.has_step = true;
  if (record.has(StepRecord::has_loss)) state_.loss = record.loss;
  if (record.has(StepRecord::has_gradient_norm)) state_.gradient_norm = record.gradient_norm;
  const auto observe = [this](Phase phase, std::uint64_t nanoseconds) {
    state_.durations[static_cast<std::size_t>(phase)].observe(static_cast<double>(nanoseconds) * 1e-9);
  };
  if (record.has(StepRecord::has_optimizer_time)) observe(Phase::optimizer, record.optimizer_ns);
  if (record.has(StepRecord::has_total_time)) {
    observe(Phase::forward_backward, record.forward_backward_ns);
    observe(Phase::vigil, record.vigil_ns);
    observe(Phase::total, record.total_ns);
    step_times_.add(record.total_ns);
  }
  if (record.has(StepRecord::has_data_time)) observe(Phase::data, record.data_ns);
  if (on_step) on_step(record, scalars_.data());
}

// Names only grow: what is known stays as it is.
void RunFollower::fold_layers() {
  const LayerNames& names = channel_.layer_names();
  const std::size_t count = names.size();
  if (state_.layers->size() >= count) return;
  std::vector<LayerLabel> layers = *state_.layers;
  for (std::size_t i = layers.size(); i < count; ++i) {
    layers.push_back({std::string(names.at(i)), std::string(channel_.phase_names().at(names.tag(i)))});
  }
  state_.layers = std::make_shared<const std::vector<LayerLabel>>(std::move(layers));
}

void RunFollower::fold_frame(const OnFrame& on_frame) {
  copy_from_words(state_.frame, frame_words_.data());
  state_.rows.resize(state_.schema->rows.size());
  const std::uint64_t* words = frame_words_.data() + sizeof(FrameHeader) / 8;
  for (TensorRow& row : state_.rows) {
    copy_from_words(row, words);
    words += sizeof(TensorRow) / 8;
  }
  state_.histograms.resize(state_.schema->histograms);
  for (MagnitudeHistogram& histogram : state_.histograms) {
    copy_from_words(histogram, words);
    words += sizeof(MagnitudeHistogram) / 8;
  }
  state_.activations.resize(std::min<std::size_t>(state_.frame.activations, state_.schema->activations));
  for (ActivationRow& row : state_.activations) {
    copy_from_words(row, words);
    words += sizeof(ActivationRow) / 8;
  }
  fold_layers();
  state_.has_frame = true;
  if (on_frame) on_frame({state_.frame, state_.rows, state_.histograms, state_.activations, *state_.layers});
}

void RunFollower::fold_event(const OnEvent& on_event) {
  copy_from_words(state_.origin.emplace(), event_words_.data());
  if (on_event) on_event(*state_.origin);
}

bool RunFollower::hold(Head& head, RingReader& ring, std::vector<std::uint64_t>& words) {
  if (head.is_held || head.left == 0) return head.is_held;
  head.is_held = ring.try_read(words.data());
  if (head.is_held) --head.left;
  return head.is_held;
}

void RunFollower::poll(const OnStep& on_step, const OnFrame& on_frame, const OnEvent& on_event) {
  static_assert(offsetof(StepRecord, step) == 0 && offsetof(FrameHeader, step) == 0 && offsetof(NonfiniteEvent, step) == 0);
  frame_head_.left = channel_.frame_geometry().slot_count;
  event_head_.left = RunChannel::kEventGeometry.slot_count;
  step_head_.left = channel_.step_geometry().slot_count;
  for (;;) {
    // In this order: where a frame is seen, so are the records of the steps before it.
    const bool has_frame = hold(frame_head_, frames_, frame_words_), has_event = hold(event_head_, events_, event_words_),
               has_step = hold(step_head_, steps_, step_words_);
    if (!has_frame && !has_event && !has_step) break;
    const std::uint64_t step = has_step ? step_words_.front() : ~std::uint64_t{0};
    const std::uint64_t event = has_event ? event_words_.front() : ~std::uint64_t{0};
    if (has_frame && frame_words_.front() <= std::min(step, event)) {
      frame_head_.is_held = false;
      fold_frame(on_frame);
    } else if (has_event && event <= step) {
      event_head_.is_held = false;
      fold_event(on_event);
    } else {
      step_head_.is_held = false;
      fold_step(on_step);
    }
  }
  state_.step_ring = {steps_.read(), steps_.overwritten(), steps_.torn()};
  state_.frame_ring = {frames_.read(), frames_.overwritten(), frames_.torn()};
  // relaxed: a lone word, nothing is published with it.
  state_.state = channel_.live().state.load(std::memory_order_relaxed);
}

std::shared_ptr<Snapshot> RunFollower::snapshot() const {
  auto copy = std::make_shared<Snapshot>(state_);
  copy->learning_rates.clear();
  copy->user_scalars.clear();
  copy->mean_step_seconds = step_times_.mean_seconds();
  if (!copy->has_step) return copy;
  const std::size_t rates = state_.schema->learning_rates;
  copy->learning_rates.assign(scalars_.begin(), scalars_.begin() + static_cast<std::ptrdiff_t>(rates));
  const ScalarNames& names = channel_.scalar_names();
  const std::size_t count = std::min<std::size_t>(state_.step.user_scalars, names.size());
  for (std::size_t i = 0; i < count; ++i) copy->user_scalars.emplace_back(std::string(names.at(i)), scalars_[rates + i]);
  return copy;
}

}  // namespace vigil
