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

// The channel of this process.
class ChannelSource final : public RunSource {
 public:
  explicit ChannelSource(const RunChannel& channel)
      : channel_(channel), readers_{channel.reader(RingKind::steps), channel.reader(RingKind::frames), channel.reader(RingKind::events)} {}

  const Schema& schema() const noexcept override { return channel_.schema(); }
  RingGeometry geometry(RingKind ring) const noexcept override { return channel_.geometry(ring); }
  bool try_read(RingKind ring, std::uint64_t* words) override { return readers_[static_cast<std::size_t>(ring)].try_read(words); }
  RingLosses losses(RingKind ring) const noexcept override {
    const RingReader& reader = readers_[static_cast<std::size_t>(ring)];
    return {reader.read(), reader.overwritten(), reader.torn()};
  }
  const NameTable& scalar_names() const noexcept override { return channel_.scalar_names(); }
  const NameTable& phase_names() const noexcept override { return channel_.phase_names(); }
  const NameTable& layer_names() const noexcept override { return channel_.layer_names(); }
  // relaxed: a lone word, nothing is published with it.
  RunState state() const noexcept override { return channel_.live().state.load(std::memory_order_relaxed); }

 private:
  const RunChannel& channel_;
  std::array<RingReader, 3> readers_;
};

}  // namespace

std::optional<std::uint64_t> time_of(const StepRecord& record, Phase phase) noexcept {
  const auto measured = [&record](StepRecord::Flag flag, std::uint64_t time) {
    return record.has(flag) ? std::optional(time) : std::nullopt;
  };
  switch (phase) {
    case Phase::data: return measured(StepRecord::has_data_time, record.data_ns);
    case Phase::forward_backward: return measured(StepRecord::has_total_time, record.forward_backward_ns);
    case Phase::optimizer: return measured(StepRecord::has_optimizer_time, record.optimizer_ns);
    case Phase::vigil: return measured(StepRecord::has_total_time, record.vigil_ns);
    case Phase::total: return measured(StepRecord::has_total_time, record.total_ns);
  }
  return std::nullopt;
}

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

void fold(Snapshot& snapshot, const StepRecord& record) noexcept {
  snapshot.step = record;
  snapshot.has_step = true;
  if (record.has(StepRecord::has_loss)) snapshot.loss = record.loss;
  if (record.has(StepRecord::has_gradient_norm)) snapshot.gradient_norm = record.gradient_norm;
  for (std::size_t i = 0; i < kPhaseNames.size(); ++i) {
    if (const auto time = time_of(record, static_cast<Phase>(i))) snapshot.durations[i].observe(static_cast<double>(*time) * 1e-9);
  }
}

RunFollower::RunFollower(const RunChannel& channel) : RunFollower(std::make_unique<ChannelSource>(channel)) {}

RunFollower::RunFollower(std::unique_ptr<RunSource> source)
    : source_(std::move(source)),
      step_words_(source_->geometry(RingKind::steps).payload_words),
      frame_words_(source_->geometry(RingKind::frames).payload_words),
      event_words_(source_->geometry(RingKind::events).payload_words),
      scalars_(scalar_capacity(source_->schema())) {
  state_.schema = source_->shared_schema();  // a snapshot may outlive the source
  state_.layers = std::make_shared<const std::vector<LayerLabel>>();
}

void RunFollower::fold_step(const OnStep& on_step) {
  StepRecord record;
  copy_from_words(record, step_words_.data());
  std::memcpy(scalars_.data(), step_words_.data() + sizeof record / 8, scalars_.size() * sizeof(double));
  fold(state_, record);
  if (record.has(StepRecord::has_total_time)) step_times_.add(record.total_ns);
  if (on_step) on_step(record, scalars_.data());
}

// Names only grow: what is known stays as it is.
void RunFollower::fold_layers() {
  const NameTable& names = source_->layer_names();
  const std::size_t count = names.size();
  if (state_.layers->size() >= count) return;
  std::vector<LayerLabel> layers = *state_.layers;
  for (std::size_t i = layers.size(); i < count; ++i) {
    layers.push_back({std::string(names.at(i)), std::string(source_->phase_names().at(names.tag(i)))});
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

bool RunFollower::hold(Head& head, RingKind ring, std::vector<std::uint64_t>& words) {
  if (head.is_held || head.left == 0) return head.is_held;
  head.is_held = source_->try_read(ring, words.data());
  if (!head.is_held) return false;
  --head.left;
  bytes_read_ += 8 * words.size();
  return true;
}

bool RunFollower::is_holding(RingKind ring) const noexcept {
  switch (ring) {
    case RingKind::steps: return step_head_.is_held;
    case RingKind::frames: return frame_head_.is_held;
    case RingKind::events: return event_head_.is_held;
  }
  return false;
}

void RunFollower::poll(const OnStep& on_step, const OnFrame& on_frame, const OnEvent& on_event) {
  static_assert(offsetof(StepRecord, step) == 0 && offsetof(FrameHeader, step) == 0 && offsetof(NonfiniteEvent, step) == 0);
  source_->refresh();
  frame_head_.left = source_->geometry(RingKind::frames).slot_count;
  event_head_.left = source_->geometry(RingKind::events).slot_count;
  step_head_.left = source_->geometry(RingKind::steps).slot_count;
  bytes_read_ = 0;
  fold_all(on_step, on_frame, on_event);
  state_.step_ring = source_->losses(RingKind::steps);
  state_.frame_ring = source_->losses(RingKind::frames);
  state_.state = source_->state();
}

void RunFollower::fold_all(const OnStep& on_step, const OnFrame& on_frame, const OnEvent& on_event) {
  for (;;) {
    // In this order: where a frame is seen, so are the records of the steps before it.
    const bool has_frame = hold(frame_head_, RingKind::frames, frame_words_), has_event = hold(event_head_, RingKind::events, event_words_),
               has_step = hold(step_head_, RingKind::steps, step_words_);
    has_more_ = has_frame || has_event || has_step;
    if (!has_more_) return;
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
    if (bytes_read_ >= poll_bytes_) return;
  }
}

std::shared_ptr<Snapshot> RunFollower::snapshot() const {
  auto copy = std::make_shared<Snapshot>(state_);
  copy->learning_rates.clear();
  copy->user_scalars.clear();
  copy->mean_step_seconds = step_times_.mean_seconds();
  if (!copy->has_step) return copy;
  const std::size_t rates = state_.schema->learning_rates;
  copy->learning_rates.assign(scalars_.begin(), scalars_.begin() + static_cast<std::ptrdiff_t>(rates));
  const NameTable& names = source_->scalar_names();
  const std::size_t count = std::min<std::size_t>(state_.step.user_scalars, names.size());
  for (std::size_t i = 0; i < count; ++i) copy->user_scalars.emplace_back(std::string(names.at(i)), scalars_[rates + i]);
  return copy;
}

}  // namespace vigil
