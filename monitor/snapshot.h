// The state of a run as its readers see it: the rings folded into the latest values, totals and distributions.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vigil/monitor/records.h"
#include "vigil/monitor/run_channel.h"
#include "vigil/monitor/schema.h"

namespace vigil {

/// Upper bounds of the step duration buckets, in seconds.
inline constexpr std::array<double, 16> kDurationBounds{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                        0.25,   0.5,   1,      2.5,   5,    10,    30,   60};

enum class Phase : std::uint8_t { forward_backward, optimizer, total };
inline constexpr std::array<std::string_view, 3> kPhaseNames{"forward_backward", "optimizer", "total"};

/// Counts of durations; `buckets[i]` counts those at most kDurationBounds[i] and above the bound before, the last one the rest.
struct DurationHistogram {
  std::array<std::uint64_t, kDurationBounds.size() + 1> buckets{};
  std::uint64_t count = 0;
  double sum_seconds = 0;

  void observe(double seconds) noexcept;
};

/// What a reader lost of one ring.
struct RingLosses {
  std::uint64_t read = 0, overwritten = 0, torn = 0;
};

/// A run at one moment. Immutable once made; shared between the export thread and whoever renders it.
struct Snapshot {
  std::shared_ptr<const Schema> schema;  ///< never null in a snapshot made by RunFollower
  RunState state = RunState::starting;

  bool has_step = false;
  StepRecord step;                      ///< the latest; valid with has_step
  std::optional<double> loss;           ///< of the latest step that had one
  std::optional<double> gradient_norm;  ///< of the latest guarded step
  std::vector<double> learning_rates;   ///< by parameter group; empty before the first step
  std::vector<std::pair<std::string, double>> user_scalars;

  bool has_frame = false;
  FrameHeader frame;                           ///< the latest; valid with has_frame
  std::vector<TensorRow> rows;                 ///< as many as schema->rows once there is a frame
  std::vector<MagnitudeHistogram> histograms;  ///< as many as schema->histograms; valid where the row that it belongs to is present

  std::array<DurationHistogram, kPhaseNames.size()> durations{};
  RingLosses step_ring, frame_ring;
  std::vector<std::pair<std::string, std::uint64_t>> exporter_errors;  ///< by exporter; filled in by the export thread

  /// Time of the training thread spent in vigil over the time of the loop, both since the end of the first step; 0 until the second's.
  double overhead_ratio() const noexcept;
};

/// Follows a channel from its own cursors and keeps the folded state. One thread.
class RunFollower {
 public:
  /// Called for every record read, in order. `scalars` are the channel's scalar_capacity() doubles.
  using OnStep = std::function<void(const StepRecord& record, const double* scalars)>;
  using OnFrame =
      std::function<void(const FrameHeader& header, const std::vector<TensorRow>& rows, const std::vector<MagnitudeHistogram>& histograms)>;

  /// `channel` outlives the follower.
  explicit RunFollower(const RunChannel& channel);

  /// Reads what is new in both rings; at most as many records of each as its ring holds, so that a fast writer cannot keep a
  /// reader busy forever. Either callback may be empty.
  void poll(const OnStep& on_step = {}, const OnFrame& on_frame = {});

  /// The folded state as it is after the last poll.
  std::shared_ptr<Snapshot> snapshot() const;

 private:
  void fold_step(const OnStep& on_step);
  void fold_frame(const OnFrame& on_frame);

  const RunChannel& channel_;
  RingReader steps_, frames_;
  std::vector<std::uint64_t> step_words_, frame_words_;
  std::vector<double> scalars_;
  Snapshot state_;
};

}  // namespace vigil
