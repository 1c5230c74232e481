#include "vigil/monitor/run_channel.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace vigil {

int NameTable::find_or_append(std::string_view name, std::uint32_t tag) noexcept {
  // relaxed: only this thread stores it.
  const std::size_t size = size_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < size; ++i) {
    if (tags_[i] == tag && at(i) == name) return static_cast<int>(i);
  }
  if (size == capacity() || name.empty() || name.size() > max_bytes_) return -1;
  std::copy(name.begin(), name.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(size * max_bytes_));
  lengths_[size] = name.size();
  tags_[size] = tag;
  // release: pairs with size(); the name is whole before it is counted.
  size_.store(size + 1, std::memory_order_release);
  return static_cast<int>(size);
}

void HookNote::write_first(std::string_view text) noexcept {
  // relaxed: only this thread stores it.
  if (ready_.load(std::memory_order_relaxed)) return;
  size_ = std::min(text.size(), kMaxBytes);
  std::copy_n(text.begin(), size_, text_.begin());
  // release: pairs with text().
  ready_.store(true, std::memory_order_release);
}

void RunChannel::Free::operator()(RingWord* memory) const noexcept {
  ::operator delete[](static_cast<void*>(memory), std::align_val_t{64});
}

RunChannel::Memory RunChannel::allocate(RingGeometry geometry) {
  void* memory = ::operator new[](8 * geometry.total_words(), std::align_val_t{64});
  // Writing every word also touches every page, so that the training loop never takes the page fault.
  return Memory(new (memory) RingWord[geometry.total_words()]{});
}

namespace {

RingGeometry step_geometry_of(const Schema& schema, const ChannelBounds& bounds) {
  return {sizeof(StepRecord) / 8 + schema.learning_rates + ScalarNames::kCapacity, std::max<std::size_t>(bounds.step_records, 2)};
}

RingGeometry frame_geometry_of(const Schema& schema, const ChannelBounds& bounds) {
  RingGeometry geometry{(sizeof(FrameHeader) + schema.rows.size() * sizeof(TensorRow) + schema.histograms * sizeof(MagnitudeHistogram) +
                         schema.activations * sizeof(ActivationRow)) /
                            8,
                        1};
  geometry.slot_count = std::max<std::size_t>(bounds.frame_bytes / (8 * geometry.slot_words()), 2);
  return geometry;
}

}  // namespace

RunChannel::RunChannel(Schema schema, ChannelBounds bounds)
    : schema_(std::move(schema)),
      layer_names_(schema_.activations),
      step_geometry_(step_geometry_of(schema_, bounds)),
      frame_geometry_(frame_geometry_of(schema_, bounds)),
      steps_(allocate(step_geometry_)),
      frames_(allocate(frame_geometry_)),
      events_(allocate(kEventGeometry)),
      step_writer_(steps_.get(), step_geometry_),
      frame_writer_(frames_.get(), frame_geometry_),
      event_writer_(events_.get(), kEventGeometry) {}

void RunChannel::publish(const StepRecord& record, const double* scalars) noexcept {
  step_writer_.push({{&record, sizeof record / 8}, {scalars, scalar_capacity()}});
}

void RunChannel::publish(const NonfiniteEvent& event) noexcept { event_writer_.push({{&event, sizeof event / 8}}); }

void RunChannel::publish(const FrameHeader& header, const TensorRow* rows, const MagnitudeHistogram* histograms,
                         const ActivationRow* activations) noexcept {
  frame_writer_.push({{&header, sizeof header / 8},
                      {rows, schema_.rows.size() * sizeof(TensorRow) / 8},
                      {histograms, schema_.histograms * sizeof(MagnitudeHistogram) / 8},
                      {activations, header.activations * sizeof(ActivationRow) / 8}});
}

}  // namespace vigil
