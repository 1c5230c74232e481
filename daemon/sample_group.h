// Series of a run that have their values at the same moments.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vigil/daemon/sample_queue.h"

namespace vigil {

/// Samples that were not queued, and why. Any thread.
// relaxed: lone counters, nothing is published with them.
struct SampleLosses {
  std::atomic<std::uint64_t> replaced{0};      ///< a later one came in the same millisecond, or span of RemoteWriteOptions::resolution
  std::atomic<std::uint64_t> out_of_order{0};  ///< its time is not after that of the one before: a clock was set back
};

/// Makes blocks of the values of one moment after another, with times that rise. The latest moment is held back until another one comes, or
/// release_before(): what follows in the same span takes its place. One thread.
class SampleGroup {
 public:
  using Sink = std::function<void(SampleBlock block)>;
  /// What it means when a series has no value at a moment.
  enum class Absence : std::uint8_t {
    keeps,  ///< the one before still holds
    ends,   ///< there is none any more: the series gets a stale marker
  };

  /// `owner` keeps the labels of all groups of a run. Moments up to `after_ms` are skipped: they were sent before.
  SampleGroup(std::shared_ptr<std::deque<std::string>> owner, std::shared_ptr<SampleProgress> progress, std::int64_t after_ms,
              std::int64_t resolution_ms, std::shared_ptr<SampleLosses> losses, Sink sink);

  /// `labels` as encode_labels makes them. Its number, counted from 0.
  std::size_t add_series(std::string labels, Absence absence);

  struct Value {
    std::size_t series;
    double value;
  };
  /// The values of one moment; with `is_whole` false only some of the series were looked at, and the others keep theirs. What is not taken,
  /// since its time does not rise, is counted: false.
  bool put(std::int64_t timestamp_ms, const std::vector<Value>& values, bool is_whole = true);

  /// Hands over what is held back if its span is over at `now_ms`.
  void release_before(std::int64_t now_ms);
  /// Hands it over, and then ends all series a millisecond after their last moment.
  void end();
  /// The same of this series alone: another group has the others. A number that there is not: of none.
  void end_only(std::size_t series);

 private:
  struct Series {
    const std::string* labels;
    Absence absence;
    bool is_live = false;     // has had a value since it last ended
    bool is_pending = false;  // has one that is held back
    std::uint64_t seen = 0;   // number of the latest moment that had a value of it
    std::uint64_t bits = 0;
  };
  void set_bits(Series& series, std::uint64_t bits) noexcept;
  void release();
  template <class Which>
  void end_those(Which which);
  std::int64_t span_of(std::int64_t timestamp_ms) const noexcept;

  const std::shared_ptr<std::deque<std::string>> owner_;  // does not move what it holds
  const std::shared_ptr<SampleProgress> progress_;
  const std::int64_t after_ms_, resolution_ms_;
  const std::shared_ptr<SampleLosses> losses_;
  const Sink sink_;
  std::vector<Series> series_;
  std::optional<std::int64_t> pending_ms_;
  std::size_t pending_ = 0;
  std::uint64_t moment_ = 0;
};

}  // namespace vigil
