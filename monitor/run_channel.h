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
#include "vigil/monitor/schema.h"

namespace vigil {

enum class RunState : std::uint32_t { starting, running, finished, failed };
inline constexpr std::array<std::string_view, 4> kRunStateNames{"starting", "running", "finished", "failed"};

/// The first failure of a hook, in words, and whether it has given something up after too many in a row. Written by the
/// training thread without allocation, read and logged once by the export thread.
class HookNote {
 public:
  static constexpr std::size_t kMaxBytes = 320;

  /// Keeps `text` (cut to kMaxBytes) if this is the first call.
  void write_first(std::string_view text) noexcept;
  void give_up() noexcept { gave_up_.store(true, std::memory_order_relaxed); }  // a lone flag: nothing is published with it

  /// Empty until something was written.
  // acquire pairs with the release store in write_first: the text is whole.
  std::string_view text() const noexcept {
    return ready_.load(std::memory_order_acquire) ? std::string_view{text_.data(), size_} : std::string_view{};
  }
  bool gave_up() const noexcept { return gave_up_.load(std::memory_order_relaxed); }

 private:
  std::array<char, kMaxBytes> text_{};
  std::size_t size_ = 0;
  std::atomic<bool> ready_{false};
  std::atomic<bool> gave_up_{false};
};

/// What changes outside the rings.
struct LiveWords {
  std::atomic<RunState> state{RunState::starting};
  std::atomic<std::uint32_t> phase{0};  ///< of PhaseNames, that runs now
};

/// What readers ask of the training thread, which looks at it once a step. Lone words: nothing is published with them.
struct Requests {
  std::atomic<bool> stop{false};              ///< the next verdict is to be stop
  std::atomic<std::uint64_t> checkpoints{0};  ///< how often one was asked for
};

/// Bounds of a channel's memory.
struct ChannelBounds {
  std::size_t step_records = 4096;
  std::size_t frame_bytes = std::size_t{16} << 20;  ///< at least two frames are kept all the same
};

class RunChannel {
 public:
  /// Allocates all that the run will need.
  /// @throws std::bad_alloc
  RunChannel(Schema schema, ChannelBounds bounds);

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
  LiveWords& live() noexcept { return live_; }
  HookNote& note(Hook hook) noexcept { return notes_[static_cast<std::size_t>(hook)]; }

  // --- any thread --------------------------------------------------------------------------------------------------------
  const ScalarNames& scalar_names() const noexcept { return scalar_names_; }
  const PhaseNames& phase_names() const noexcept { return phase_names_; }
  const LayerNames& layer_names() const noexcept { return layer_names_; }
  const LiveWords& live() const noexcept { return live_; }
  /// The one thing that readers write.
  Requests& requests() const noexcept { return requests_; }
  const HookNote& note(Hook hook) const noexcept { return notes_[static_cast<std::size_t>(hook)]; }
  std::size_t scalar_capacity() const noexcept { return schema_.learning_rates + ScalarNames::kCapacity; }
  RingGeometry step_geometry() const noexcept { return step_geometry_; }
  RingGeometry frame_geometry() const noexcept { return frame_geometry_; }
  RingReader step_reader() const noexcept { return {steps_.get(), step_geometry_}; }
  RingReader frame_reader() const noexcept { return {frames_.get(), frame_geometry_}; }
  RingReader event_reader() const noexcept { return {events_.get(), kEventGeometry}; }

  /// Events are rare and large; the ring of them is as small as it may be and still outlast a slow reader.
  static constexpr RingGeometry kEventGeometry{sizeof(NonfiniteEvent) / 8, 16};

 private:
  struct Free {
    void operator()(RingWord* memory) const noexcept;
  };
  using Memory = std::unique_ptr<RingWord[], Free>;
  static Memory allocate(RingGeometry geometry);

  Schema schema_;
  ScalarNames scalar_names_;
  PhaseNames phase_names_;
  LayerNames layer_names_;
  LiveWords live_;
  mutable Requests requests_;
  std::array<HookNote, kHookNames.size()> notes_;
  RingGeometry step_geometry_, frame_geometry_;
  Memory steps_, frames_, events_;
  RingWriter step_writer_, frame_writer_, event_writer_;
};

}  // namespace vigil
