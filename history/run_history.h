// What can be asked of what was kept of runs, and the answers: by step, by tensor, by event.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/history/downsampling.h"
#include "vigil/monitor/records.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// Why nothing was read; what() says what to do.
class HistoryError : public std::runtime_error {
 public:
  enum class Kind {
    not_found,    ///< no such run, attempt, tensor or frame
    invalid,      ///< the question makes no sense
    too_long,     ///< the answer would take longer than it may
    unavailable,  ///< there is no history, it cannot be opened, or all connections are busy
    damaged,      ///< the database contradicts itself
  };
  HistoryError(Kind kind, const std::string& what) : std::runtime_error(what), kind_(kind) {}
  Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_;
};

/// One attempt of one rank of a run.
struct HistoryAttempt {
  RunIdentity identity;                         ///< its `attempt` is the launcher's
  std::int64_t attempt = 0;                     ///< from 1 on, by start time; those that retention took leave a hole
  std::string state, reason;                    ///< as they were set last; empty before
  std::int64_t ended_ns = 0;                    ///< 0: it has not
  std::uint64_t steps = 0;                      ///< ever stored; retention does not change it
  std::uint64_t first_step = 0, last_step = 0;  ///< of these; 0: none
  std::int64_t first_time_ns = 0, last_time_ns = 0;
};

struct HistoryRun {
  std::string run;
  int rank = 0;
  std::vector<HistoryAttempt> attempts;  ///< the newest first; at least one
};

/// Which attempt is asked for; without a number the newest.
struct RunSelector {
  std::string run;
  int rank = 0;
  std::optional<std::int64_t> attempt = {};
};

/// How far a series has been read. Without RunSelector::attempt it goes on with the next attempt once this one has ended.
struct HistoryCursor {
  static constexpr std::uint64_t kAnyRevision = std::numeric_limits<std::uint64_t>::max();
  std::int64_t attempt = 0;  ///< 0: that of the selector
  std::uint64_t step = 0;    ///< the latest that is known
  std::uint64_t revision = kAnyRevision;

  /// "3.12000.0", for an address. A number alone is a step of the selector's attempt.
  std::string text() const;
  /// Nothing when it is none.
  static std::optional<HistoryCursor> parse(std::string_view text);
};

struct SeriesName {
  std::string name;  ///< "loss", "learning_rate[<group>]", "user_scalar[<name>]"
  std::string unit;  ///< "seconds", "bytes" or empty
};

struct Series {
  std::string name, unit;
  std::vector<SeriesPoint> points;
};

struct SeriesRequest {
  RunSelector run;
  std::vector<std::string> names;  ///< at most RunHistory::kMaxNames
  std::optional<HistoryCursor> since = {};
  std::uint64_t until = std::numeric_limits<std::uint64_t>::max();  ///< last step
  std::size_t max_points = 2000;                                    ///< of each series, at most RunHistory::kMaxPoints
};

struct SeriesReply {
  std::int64_t attempt = 0;
  std::vector<Series> series;             ///< as the names; one that the run does not have (yet) is empty
  std::vector<NonfiniteSteps> nonfinite;  ///< steps of the range with StepRecord::nonfinite
  HistoryCursor next;                     ///< for the next question
  bool is_downsampled = false;            ///< buckets instead of all points
  std::uint64_t unreadable_steps = 0;     ///< of blocks that are damaged; they are left out
};

/// What was kept of a frame.
struct HistoryFrame {
  std::int64_t attempt = 0;
  FrameHeader header;
  bool is_finite = true;
  std::shared_ptr<const Schema> schema;  ///< its rows are those of `rows`
  std::vector<TensorRow> rows;
  std::vector<MagnitudeHistogram> histograms;  ///< as many as schema->histograms
  std::vector<ActivationRow> activations;
  std::vector<LayerLabel> layers;  ///< as many as `activations`
};

struct HistoryDistribution {
  std::int64_t attempt = 0;
  std::uint64_t step = 0;
  std::int64_t time_ns = 0;
  MagnitudeHistogram histogram;
  Moments moments;
};

struct TensorSeriesRequest {
  RunSelector run;
  TensorKind kind = TensorKind::parameter;
  std::string tensor;
  /// Of kStatistics, or "update_ratio", "distance", "cosine", "<optimizer state>_norm".
  std::string statistic;
  std::optional<HistoryCursor> since = {};
  std::uint64_t until = std::numeric_limits<std::uint64_t>::max();
  std::size_t max_points = 2000;
};

struct TensorSeriesReply {
  std::int64_t attempt = 0;
  std::vector<SeriesPoint> points;
  HistoryCursor next;
  bool is_downsampled = false;
  /// Frames of the range that were not looked at: of the finite ones every n-th is, so that there are at most kMaxFrames, and likewise of
  /// the others.
  std::uint64_t passed_over = 0;
  std::uint64_t unreadable_frames = 0;
};

struct HeatmapRequest {
  RunSelector run;
  TensorKind kind = TensorKind::parameter;
  std::string statistic;  ///< as TensorSeriesRequest::statistic
  std::optional<HistoryCursor> since = {};
  std::uint64_t until = std::numeric_limits<std::uint64_t>::max();
  std::size_t max_columns = 200;  ///< at most RunHistory::kMaxColumns
};

/// One figure of all tensors of a kind: a column for each frame.
struct HeatmapReply {
  std::int64_t attempt = 0;
  HistoryCursor next;
  std::shared_ptr<const Schema> schema;  ///< not null
  std::vector<std::size_t> rows;         ///< of the schema, those of the kind
  struct Column {
    std::uint64_t step = 0;
    std::int64_t time_ns = 0;
    std::vector<std::optional<double>> values;  ///< as many as rows; nothing where the tensor has no such figure then
  };
  std::vector<Column> columns;  ///< by step
  /// Frames of the range that are not among them: of the finite ones every n-th is, and likewise of the others, which have half of the
  /// columns at most.
  std::uint64_t passed_over = 0;
  std::uint64_t unreadable_frames = 0;
};

inline constexpr std::array<std::string_view, 5> kEventKinds{"nonfinite", "alert", "state", "phase", "checkpoint"};

struct HistoryEvent {
  std::int64_t id = 0;
  std::string run;
  int rank = 0;
  std::int64_t attempt = 0;
  std::string kind;  ///< of kEventKinds
  std::uint64_t step = 0;
  std::int64_t time_ns = 0;
  std::string json;  ///< an object: docs/history.md
};

struct EventsRequest {
  std::optional<RunSelector> run = {};     ///< empty: of all runs; without an attempt: of all its attempts
  std::optional<std::int64_t> since = {};  ///< the latest id that is known; empty: the latest events
  std::size_t max_events = 100;            ///< at most RunHistory::kMaxEvents
  std::vector<std::string> kinds = {};     ///< of kEventKinds; empty: all
};

struct EventsReply {
  std::vector<HistoryEvent> events;  ///< the oldest first
  std::int64_t next = 0;             ///< for `since`
  std::uint64_t lost = 0;            ///< events that there was no room for, since the start of the run
};

/// What was kept of one run or of many. All methods throw HistoryError.
class RunHistory {
 public:
  static constexpr std::size_t kMaxNames = 64, kMaxPoints = 20'000, kMaxFrames = 4000, kMinPoints = Downsampler::kBucketPoints,
                               kMaxColumns = 2000, kMinColumns = 5, kMaxEvents = 1000, kMaxRuns = 1000;

  virtual ~RunHistory() = default;

  /// The latest runs first, by the start of their newest attempt; at most `max_attempts` attempts in all.
  virtual std::vector<HistoryRun> runs(std::size_t max_attempts = kMaxRuns) = 0;
  /// Every series that the attempt has values of, or may have.
  virtual std::vector<SeriesName> series_names(const RunSelector& run) = 0;
  virtual SeriesReply series(const SeriesRequest& request) = 0;
  /// The latest frame that is kept, or the latest of those up to `step`.
  virtual HistoryFrame frame(const RunSelector& run, std::optional<std::uint64_t> step = {}) = 0;
  /// Magnitudes of one tensor in that frame.
  virtual HistoryDistribution distribution(const RunSelector& run, TensorKind kind, const std::string& tensor,
                                           std::optional<std::uint64_t> step = {}) = 0;
  virtual TensorSeriesReply tensor_series(const TensorSeriesRequest& request) = 0;
  virtual HeatmapReply heatmap(const HeatmapRequest& request) = 0;
  /// Of a run that there is, or of all.
  virtual EventsReply events(const EventsRequest& request) = 0;
};

}  // namespace vigil
