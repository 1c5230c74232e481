// Where a run's numbers wait for their readers: the rings, their schema, the live words and the error notes of the hooks.
// The training thread writes, the export thread reads; neither waits for the other.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "vigil/monitor/records.h"
#include "vigil/monitor/ring.h"
#include "vigil/monitor/ring_format.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/segment.h"

namespace vigil {

/// The first failure of a hook, in words, and whether it has given something up after too many in a row. Written by the
/// training thread without allocation, read and logged once by the export thread.
class HookNote {
 public:
  static constexpr std::size_t kMaxBytes = NoteRecord::kMaxBytes;

  /// `record` is zeroed and outlives this.
  explicit HookNote(NoteRecord& record) noexcept : record_(&record) {}

  /// Keeps `text` (cut to kMaxBytes) if this is the first call.
  void write_first(std::string_view text) noexcept;
  void give_up() noexcept { record_->gave_up.store(1, std::memory_order_relaxed); }  // a lone word: nothing is published with it

  /// Empty until something was written.
  // acquire pairs with the release store in write_first: the text is whole.
  std::string_view text() const noexcept {
    return record_->ready.load(std::memory_order_acquire) != 0 ? std::string_view{record_->text.data(), record_->size} : std::string_view{};
  }
  bool gave_up() const noexcept { return record_->gave_up.load(std::memory_order_relaxed) != 0; }

 private:
  NoteRecord* record_;
};

/// What readers ask of the training thread, which looks at it once a step. Lone words: nothing is published with them.
struct Requests {
  std::atomic<bool> stop{false};              ///< the next verdict is to be stop
  std::atomic<std::uint64_t> checkpoints{0};  ///< how often one was asked for
};

class RunChannel {
 public:
  /// Allocates all that the run will need.
  /// @throws std::bad_alloc
  RunChannel(Schema schema, ChannelBounds bounds);
  /// In a segment that was made for `layout_of(schema, bounds)`; ring_file.h makes one that other processes read. Everything but the header
  /// is written into it.
  RunChannel(Schema schema, ChannelBounds bounds, Segment segment);

  const Schema& schema() const noexcept { return schema_; }

  // --- training thread ---------------------------------------------------------------------------------------------------
  /// `scalars` are `scalar_capacity()` doubles: learning rates, then user scalars.
  void publish(const StepRecord& record, const double* scalars) noexcept;
  /// `rows` and `histograms` are as many as the schema has, `activations` as many as the header says; what there is none of may be null.
  void publish(const FrameHeader& header, const TensorRow* rows, const MagnitudeHistogram* histograms,
               const ActivationRow* activations = nullptr) noexcept;
  void publish(const NonfiniteEvent& event) noexcept;
  ScalarNames& scalar_names() noexcept { return scalar_names_; }
  PhaseNames& phase_names() noexcept { return phase_names_; }
  LayerNames& layer_names() noexcept { return layer_names_; }
  LiveWords& live() noexcept { return *live_; }
  HookNote& note(Hook hook) noexcept { return notes_[static_cast<std::size_t>(hook)]; }
  /// Something of the user's had no room in the tables of names.
  void count_loss() noexcept { count(live_->losses); }
  /// The training thread is at work. Costs a store.
  void beat(std::int64_t monotonic_ns) noexcept { live_->heartbeat_ns.store(monotonic_ns, std::memory_order_relaxed); }  // a lone word

  // --- any thread --------------------------------------------------------------------------------------------------------
  const ScalarNames& scalar_names() const noexcept { return scalar_names_; }
  const PhaseNames& phase_names() const noexcept { return phase_names_; }
  const LayerNames& layer_names() const noexcept { return layer_names_; }
  const LiveWords& live() const noexcept { return *live_; }
  /// The one thing that readers write.
  Requests& requests() const noexcept { return requests_; }
  const HookNote& note(Hook hook) const noexcept { return notes_[static_cast<std::size_t>(hook)]; }
  std::size_t scalar_capacity() const noexcept { return vigil::scalar_capacity(schema_); }
  RingGeometry geometry(RingKind ring) const noexcept { return layout_.geometry(ring); }
  RingReader reader(RingKind ring) const noexcept;

 private:
  RingWord* ring_memory(RingKind ring) const noexcept;
  std::byte* at(SectionKind kind) const noexcept { return segment_.data + layout_.section(kind).offset; }
  RingWriter writer(RingKind ring) const noexcept { return {ring_memory(ring), geometry(ring)}; }
  // relaxed: lone words of one writer.
  static void count(std::atomic<std::uint64_t>& word) noexcept {
    word.store(word.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  Schema schema_;
  RingLayout layout_;
  Segment segment_;
  LiveWords* live_;
  ScalarNames scalar_names_;
  PhaseNames phase_names_;
  LayerNames layer_names_;
  mutable Requests requests_;
  std::array<HookNote, kHookNames.size()> notes_;
  RingWriter step_writer_, frame_writer_, event_writer_;
};

}  // namespace vigil
