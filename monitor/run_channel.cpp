#include "vigil/monitor/run_channel.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace vigil {

void HookNote::write_first(std::string_view text) noexcept {
  // relaxed: only this thread stores it.
  if (record_->ready.load(std::memory_order_relaxed) != 0) return;
  record_->size = std::min(text.size(), kMaxBytes);
  std::copy_n(text.begin(), record_->size, record_->text.begin());
  // release: pairs with text().
  record_->ready.store(1, std::memory_order_release);
}

Segment make_segment(std::size_t bytes) {
  constexpr std::align_val_t kLine{64};
  auto* const data = static_cast<std::byte*>(::operator new[](bytes, kLine));
  std::memset(data, 0, bytes);
  return {data, bytes, std::shared_ptr<void>(data, [](void* memory) { ::operator delete[](memory, std::align_val_t{64}); })};
}

namespace {

template <std::size_t... kIndex>
std::array<HookNote, kHookNames.size()> notes_in(std::byte* memory, std::index_sequence<kIndex...>) noexcept {
  return {HookNote(*new (memory + kIndex * sizeof(NoteRecord)) NoteRecord)...};
}

}  // namespace

RunChannel::RunChannel(Schema schema, ChannelBounds bounds)
    : RunChannel(schema, bounds, make_segment(layout_of(schema, bounds).total_bytes)) {}

RunChannel::RunChannel(Schema schema, ChannelBounds bounds, Segment segment)
    : schema_(std::move(schema)),
      layout_(layout_of(schema_, bounds)),
      segment_(std::move(segment)),
      live_(new (segment_.data + RingHeader::kBytes) LiveWords),
      scalar_names_(at(SectionKind::scalar_names)),
      phase_names_(at(SectionKind::phase_names)),
      layer_names_(at(SectionKind::layer_names), schema_.activations),
      notes_(notes_in(at(SectionKind::notes), std::make_index_sequence<kHookNames.size()>{})),
      step_writer_(writer(RingKind::steps)),
      frame_writer_(writer(RingKind::frames)),
      event_writer_(writer(RingKind::events)) {
  phase_names_.append(PhaseNames::kTrain, 0);
}

RingWord* RunChannel::ring_memory(RingKind ring) const noexcept { return reinterpret_cast<RingWord*>(at(section_of(ring))); }

RingReader RunChannel::reader(RingKind ring) const noexcept { return {ring_memory(ring), geometry(ring)}; }

void RunChannel::publish(const StepRecord& record, const double* scalars) noexcept {
  step_writer_.push({{&record, sizeof record / 8}, {scalars, scalar_capacity()}});
  live_->last_step.store(record.step, std::memory_order_relaxed);  // a lone word
  count(live_->commits);
}

void RunChannel::publish(const NonfiniteEvent& event) noexcept {
  event_writer_.push({{&event, sizeof event / 8}});
  count(live_->commits);
}

void RunChannel::publish(const FrameHeader& header, const TensorRow* rows, const MagnitudeHistogram* histograms,
                         const ActivationRow* activations) noexcept {
  frame_writer_.push({{&header, sizeof header / 8},
                      {rows, schema_.rows.size() * sizeof(TensorRow) / 8},
                      {histograms, schema_.histograms * sizeof(MagnitudeHistogram) / 8},
                      {activations, header.activations * sizeof(ActivationRow) / 8}});
  count(live_->commits);
}

}  // namespace vigil
