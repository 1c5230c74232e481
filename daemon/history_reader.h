// The history of all runs of the host, read: by the threads of the HTTP server while the writer writes, or by a program after it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/daemon/downsampling.h"
#include "vigil/daemon/step_columns.h"
#include "vigil/monitor/records.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

class HistoryConnection;

/// Why nothing was read; what() says what to do.
class HistoryError : public std::runtime_error {
 public:
  enum class Kind {
    not_found,    ///< no such run, attempt, tensor or frame
    invalid,      ///< the question makes no sense
    too_long,     ///< the answer takes more than HistoryReaderOptions::time_limit
    unavailable,  ///< there is no history, it cannot be opened, or all connections are busy
    damaged,      ///< the database contradicts itself
  };
  HistoryError(Kind kind, const std::string& what) : std::runtime_error(what), kind_(kind) {}
  Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_;
};

struct HistoryReaderOptions {
  std::string path;
  std::chrono::milliseconds time_limit{2000};  ///< for one answer
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
  std::vector<std::string> names;  ///< at most HistoryReader::kMaxNames
  std::optional<HistoryCursor> since = {};
  std::uint64_t until = std::numeric_limits<std::uint64_t>::max();  ///< last step
  std::size_t max_points = 2000;                                    ///< of each series, at most HistoryReader::kMaxPoints
};

struct SeriesReply {
  std::int64_t attempt = 0;
  std::vector<Series> series;             ///< as the names; one that the run does not have (yet) is empty
  std::vector<NonfiniteSteps> nonfinite;  ///< steps of the range with StepRecord::nonfinite
  HistoryCursor next;                     ///< for the next question
  bool is_downsampled = false;            ///< buckets instead of all points
  std::uint64_t unreadable_steps = 0;     ///< of blocks that are damaged; they are left out
};

struct StepsReply {
  std::int64_t attempt = 0;
  StepRows rows;                          ///< as they were stored, bit by bit
  std::vector<std::string> scalar_names;  ///< of the user scalars
  HistoryCursor next;
  std::uint64_t unreadable_steps = 0;
};

/// What was kept of a frame.
struct HistoryFrame {
  std::int64_t attempt = 0;
  FrameHeader header;
  bool is_finite = true;
  std::shared_ptr<const Schema> schema;  ///< its rows are those of `rows`
  std::vector<TensorRow> rows;
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

struct HistoryEvent {
  std::int64_t id = 0;
  std::string run;
  int rank = 0;
  std::int64_t attempt = 0;
  std::string kind;  ///< "nonfinite", "alert" or "state"
  std::uint64_t step = 0;
  std::int64_t time_ns = 0;
  std::string json;  ///< an object: docs/history.md
};

struct EventsRequest {
  std::optional<RunSelector> run = {};     ///< empty: of all runs; without an attempt: of all its attempts
  std::optional<std::int64_t> since = {};  ///< the latest id that is known; empty: the latest events
  std::size_t max_events = 100;            ///< at most HistoryReader::kMaxEvents
};

struct EventsReply {
  std::vector<HistoryEvent> events;  ///< the oldest first
  std::int64_t next = 0;             ///< for `since`
};

/// A connection for reading, opened when it is first needed, and again when another file has taken the place of the one that it knows. One
/// thread at a time; HistoryReaders has several. Each answer is of one moment. All methods throw HistoryError.
class HistoryReader {
 public:
  static constexpr std::size_t kMaxNames = 64, kMaxPoints = 20'000, kMaxSteps = 20'000, kMaxFrames = 4000,
                               kMinPoints = Downsampler::kBucketPoints, kMaxEvents = 1000, kMaxRuns = 1000;

  explicit HistoryReader(HistoryReaderOptions options);
  ~HistoryReader();
  HistoryReader(HistoryReader&&) noexcept;
  HistoryReader& operator=(HistoryReader&&) noexcept;

  /// The latest runs first, by the start of their newest attempt; at most `max_attempts` attempts in all.
  std::vector<HistoryRun> runs(std::size_t max_attempts = kMaxRuns);
  /// What the numbers of its records stand for: parameter groups, tensors. Not null.
  std::shared_ptr<const Schema> schema(const RunSelector& run);
  /// Every series that the attempt has values of, or may have.
  std::vector<SeriesName> series_names(const RunSelector& run);
  SeriesReply series(const SeriesRequest& request);
  /// Whole records, of at most `max_steps` steps after `since`.
  StepsReply steps(const RunSelector& run, const std::optional<HistoryCursor>& since = {}, std::size_t max_steps = 1000);
  /// The latest frame that is kept, or the latest of those up to `step`.
  HistoryFrame frame(const RunSelector& run, std::optional<std::uint64_t> step = {});
  /// Magnitudes of one tensor in that frame.
  HistoryDistribution distribution(const RunSelector& run, TensorKind kind, const std::string& tensor,
                                   std::optional<std::uint64_t> step = {});
  TensorSeriesReply tensor_series(const TensorSeriesRequest& request);
  /// Of a run that the history has, or of all.
  EventsReply events(const EventsRequest& request);

 private:
  std::unique_ptr<HistoryConnection> connection_;
};

/// Several readers for several threads.
class HistoryReaders {
 public:
  /// Each takes some 2 MiB once it has been used.
  HistoryReaders(const HistoryReaderOptions& options, std::size_t count);

  /// Calls `work(HistoryReader&)` with one that no other thread has, after waiting for it as long as the time limit; returns what it
  /// returns. @throws HistoryError
  template <class Work>
  auto with_reader(Work work) {
    const Lease lease(*this);
    return work(*lease.reader);
  }

 private:
  struct Lease {
    explicit Lease(HistoryReaders& from) : readers(from), reader(from.take()) {}
    ~Lease() { readers.give_back(reader); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    HistoryReaders& readers;
    HistoryReader* reader;
  };
  HistoryReader* take();
  void give_back(HistoryReader* reader) noexcept;

  const std::chrono::milliseconds time_limit_;
  std::vector<HistoryReader> all_;
  std::mutex mutex_;
  std::condition_variable is_free_;
  std::vector<HistoryReader*> free_;
};

}  // namespace vigil
