// The state of a run as its readers see it: the rings folded into the latest values, totals and distributions.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vigil/monitor/records.h"
#include "vigil/monitor/ring_format.h"
#include "vigil/monitor/rules/alert_notice.h"
#include "vigil/monitor/run_channel.h"
#include "vigil/monitor/run_state.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/step_times.h"

namespace vigil {

/// Upper bounds of the step duration buckets, in seconds.
inline constexpr std::array<double, 16> kDurationBounds{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                        0.25,   0.5,   1,      2.5,   5,    10,    30,   60};

enum class Phase : std::uint8_t { data, forward_backward, optimizer, vigil, total };
inline constexpr std::array<std::string_view, 5> kPhaseNames{"data", "forward_backward", "optimizer", "vigil", "total"};

/// The time of a step's phase, in nanoseconds; empty where it was not measured.
std::optional<std::uint64_t> time_of(const StepRecord& record, Phase phase) noexcept;

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

/// A layer with activations.
struct LayerLabel {
  std::string layer;  ///< e.g. "conv1", or "conv1/relu" for an operator without parameters after it
  std::string phase;  ///< of PhaseNames
};

/// What was read of one frame. Valid during the call that it is given to.
struct Frame {
  const FrameHeader& header;
  const std::vector<TensorRow>& rows;
  const std::vector<MagnitudeHistogram>& histograms;
  const std::vector<ActivationRow>& activations;  ///< as many as the header says
  const std::vector<LayerLabel>& layers;          ///< theirs; perhaps more
};

/// Times that a rule has fired.
struct AlertCount {
  std::string alert, severity;
  std::uint64_t fired = 0;
};

/// A run at one moment. Immutable once made; shared between the export thread and whoever renders it.
struct Snapshot {
  std::shared_ptr<const Schema> schema;  ///< never null in a snapshot made by RunFollower
  RunState state = RunState::starting;
  std::string end_reason;  ///< why a run that did not finish has ended, as a reader of its file finds it; empty otherwise

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

  std::vector<ActivationRow> activations;                 ///< as many as frame.activations
  std::shared_ptr<const std::vector<LayerLabel>> layers;  ///< theirs; perhaps more; never null
  std::optional<NonfiniteEvent> origin;                   ///< the latest event

  double mean_step_seconds = 0;  ///< over the latest steps (StepTimes); 0: none yet
  std::array<DurationHistogram, kPhaseNames.size()> durations{};
  RingLosses step_ring, frame_ring;
  std::vector<std::pair<std::string, std::uint64_t>> exporter_errors;  ///< by exporter; filled in by the export thread

  std::vector<AlertNotice> active_alerts;  ///< filled in by the export thread
  std::vector<AlertCount> alert_counts;    ///< of every rule that is on, likewise
  std::uint64_t alerts_dropped = 0;        ///< likewise: never kept or not delivered

  /// Time of the training thread spent in vigil over the time of the loop, both since the end of the first step; 0 until the second's.
  double overhead_ratio() const noexcept;
};

/// Folds a record into the latest values and distributions; all but learning rates, user scalars and the mean step time.
void fold(Snapshot& snapshot, const StepRecord& record) noexcept;

/// Where a run's records come from: a channel of this process, or the ring file of another one. One thread.
class RunSource {
 public:
  virtual ~RunSource() = default;

  virtual const Schema& schema() const noexcept = 0;
  /// The same, for who outlives the source.
  virtual std::shared_ptr<const Schema> shared_schema() const { return std::make_shared<const Schema>(schema()); }
  virtual RingGeometry geometry(RingKind ring) const noexcept = 0;
  /// Called before the records are read: what else changes is as new as they are.
  virtual void refresh() {}
  /// As RingReader::try_read.
  virtual bool try_read(RingKind ring, std::uint64_t* words) = 0;
  virtual RingLosses losses(RingKind ring) const noexcept = 0;
  virtual const NameTable& scalar_names() const noexcept = 0;
  virtual const NameTable& phase_names() const noexcept = 0;
  virtual const NameTable& layer_names() const noexcept = 0;
  virtual RunState state() const noexcept = 0;
};

/// Follows a run from cursors of its own and keeps the folded state. One thread.
class RunFollower {
 public:
  /// Called for every record read, in order. `scalars` are the channel's scalar_capacity() doubles.
  using OnStep = std::function<void(const StepRecord& record, const double* scalars)>;
  using OnFrame = std::function<void(const Frame& frame)>;
  using OnEvent = std::function<void(const NonfiniteEvent& event)>;

  /// `channel` outlives the follower.
  explicit RunFollower(const RunChannel& channel);
  /// `source` is not null.
  explicit RunFollower(std::unique_ptr<RunSource> source);

  /// Reads what is new in the rings; at most as many records of each as its ring holds, so that a fast writer cannot keep a
  /// reader busy forever. In the order in which they were published: of one step its frame, then an event, then the record. Any callback
  /// may be empty.
  ///
  /// Stops before that once it has read poll_bytes() of records, at least one; has_more() then, and the next call goes on from there.
  void poll(const OnStep& on_step = {}, const OnFrame& on_frame = {}, const OnEvent& on_event = {});

  /// Bytes of records after which poll() comes back, for who has others to look after; no bound unless it is called.
  void set_poll_bytes(std::size_t bytes) noexcept { poll_bytes_ = bytes; }
  std::size_t poll_bytes() const noexcept { return poll_bytes_; }
  /// Whether the last poll left records that it could have read.
  bool has_more() const noexcept { return has_more_; }
  /// Whether a record of `ring` was read from the source that has not been told: one that keeps its cursor has to take it off.
  bool is_holding(RingKind ring) const noexcept;

  /// The folded state as it is after the last poll.
  std::shared_ptr<Snapshot> snapshot() const;

 private:
  // What has been read of a ring, but not yet told.
  struct Head {
    std::size_t left = 0;  // records that may still be read in this poll
    bool is_held = false;
  };
  bool hold(Head& head, RingKind ring, std::vector<std::uint64_t>& words);
  void fold_all(const OnStep& on_step, const OnFrame& on_frame, const OnEvent& on_event);
  void fold_step(const OnStep& on_step);
  void fold_frame(const OnFrame& on_frame);
  void fold_event(const OnEvent& on_event);
  void fold_layers();

  const std::unique_ptr<RunSource> source_;
  std::vector<std::uint64_t> step_words_, frame_words_, event_words_;
  Head step_head_, frame_head_, event_head_;
  std::size_t poll_bytes_ = std::numeric_limits<std::size_t>::max(), bytes_read_ = 0;  // the latter in this poll
  bool has_more_ = false;
  StepTimes step_times_;
  std::vector<double> scalars_;
  Snapshot state_;
};

}  // namespace vigil
