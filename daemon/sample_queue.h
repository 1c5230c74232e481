// Samples that wait for their receiver, within a bound.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace vigil {

/// How far one kind of a run's samples has come, as timestamps in milliseconds.
struct SampleProgress {
  static constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::min();
  std::int64_t queued_ms = kNone;  ///< the latest that was queued; of the thread that makes samples
  /// All up to this one were taken by the receiver, or given up. Any thread.
  // relaxed: a lone number, nothing is published with it.
  std::atomic<std::int64_t> done_ms{kNone};

  /// Moves done_ms on; never back.
  void finish(std::int64_t timestamp_ms) noexcept {
    std::int64_t done = done_ms.load(std::memory_order_relaxed);
    while (done < timestamp_ms && !done_ms.compare_exchange_weak(done, timestamp_ms, std::memory_order_relaxed)) {
    }
  }
};

/// What a run's series were at one moment: what is queued, sent and dropped as one.
struct SampleBlock {
  struct Value {
    const std::string* labels;  ///< as encode_labels makes them; the same address for the same series. `owner` keeps it.
    std::uint64_t bits;         ///< as wire_bits makes them
  };
  std::int64_t timestamp_ms = 0;
  std::vector<Value> values;
  std::shared_ptr<const void> owner;
  std::shared_ptr<SampleProgress> progress;  ///< moved on once the block is out of the way; not null

  std::size_t bytes() const noexcept { return sizeof *this + values.capacity() * sizeof(Value); }
};

/// First in, first out; when it is full, the oldest goes. Any thread.
class SampleQueue {
 public:
  /// `max_bytes` of blocks, without their labels.
  explicit SampleQueue(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  struct Pushed {
    std::size_t waiting = 0;    ///< samples, afterwards
    std::uint64_t dropped = 0;  ///< samples that had to go for it
  };
  /// A block that is larger than the whole queue is dropped itself.
  Pushed push(SampleBlock block);
  /// Moves the oldest samples to the end of `batch`, at most `max_samples`: whole blocks, and of one that is larger than that a part, which
  /// has no progress of its own.
  void take(std::size_t max_samples, std::vector<SampleBlock>& batch);
  /// Drops all that waits, without moving their progress on: they may be sent another time.
  void abandon();

  std::size_t samples() const;
  std::size_t bytes() const;
  /// Samples that have been dropped since there was no room, or that abandon() dropped.
  std::uint64_t dropped() const;

 private:
  void drop_front();

  const std::size_t max_bytes_;
  mutable std::mutex mutex_;
  std::deque<SampleBlock> blocks_;
  std::size_t samples_ = 0, bytes_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace vigil
