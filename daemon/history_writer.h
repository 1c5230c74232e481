// The history of all runs of the host, written: steps, sampled frames, events and alerts in one SQLite file, together with how far each
// ring has been read, so that a vigild that was killed goes on where the file says.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/exporters/alert_text.h"
#include "vigil/monitor/records.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

class FileAtPath;

struct HistoryOptions {
  std::string path;                                                 ///< of the database; its folder exists
  std::int64_t retention_ms = std::int64_t{15} * 24 * 3600 * 1000;  ///< what is older is removed; 0: never
  std::int64_t retention_bytes = std::int64_t{8} << 30;             ///< of the file; over it the oldest data goes; at least 1 MiB
  std::int64_t frame_interval_ms = 10'000;                          ///< at most one frame of a ring is kept in it, by the frames' own times
  std::int64_t check_bytes = std::int64_t{256} << 20;               ///< a larger file is not checked as a whole when it is opened
};

/// A ring that the writer has begun.
struct RingKey {
  std::int64_t row = 0;  ///< of the table rings
  friend bool operator==(RingKey a, RingKey b) noexcept { return a.row == b.row; }
};

/// How many records of each ring of a ring file have been read, lost ones among them: where reading goes on.
struct HistoryCursors {
  std::uint64_t steps = 0, frames = 0, events = 0;
};

struct BegunRing {
  RingKey key;
  HistoryCursors cursors;       ///< zeros for a ring that is new
  std::int64_t attempt = 0;     ///< of its run and rank, from 1 on
  std::uint64_t last_step = 0;  ///< latest that is kept; 0: none
};

/// How a batch ended.
struct HistoryOutcome {
  enum class Kind {
    stored,
    failed,   ///< nothing of it is stored: read again from cursors(), later
    damaged,  ///< likewise, and the file was put aside: make another HistoryWriter, which begins a new one
  };
  Kind kind = Kind::stored;
  std::string reason;  ///< a sentence that says what to do

  bool ok() const noexcept { return kind == Kind::stored; }
};

/// What the writer has done since it was made.
struct HistoryCounters {
  std::uint64_t steps = 0, frames = 0, events = 0;  ///< stored; alerts and states are events
  std::uint64_t frames_passed_over = 0;             ///< within frame_interval_ms after another
  std::uint64_t steps_refused = 0;                  ///< not after the step before, or without a number that can be kept
  std::uint64_t scalars_refused = 0;                ///< learning rates over kMaxLearningRates, counted once a ring
  std::uint64_t steps_unreadable = 0;               ///< stored ones that were found damaged while they were packed, and are gone
  std::uint64_t bytes = 0;                          ///< of what was stored, packed
  std::uint64_t transactions = 0, failures = 0;
  std::uint64_t rows_removed = 0;  ///< blocks, frames, events and attempts that retention took
  std::uint64_t checkpoints = 0, checkpoint_failures = 0;
  std::int64_t last_checkpoint_ns = 0;  ///< since the epoch; 0: none yet
  std::uint64_t database_bytes = 0;     ///< of the database as it is once its log has been brought into it, which retention bounds
  std::uint64_t free_bytes = 0;         ///< within database_bytes
  std::uint64_t disk_bytes = 0;         ///< that the file and its write-ahead log take
  std::uint64_t put_aside = 0;          ///< databases that were damaged
};

/// Writes the history. One thread, but for counters(). A batch is what goes from begin() to commit(): all of it is stored, or nothing.
/// Within one the calls add_… and set_… report nothing: what fails shows in commit().
///
/// Memory: some 4 MiB of SQLite's pages, and for each ring that is begun its names, 16 bytes a tensor, and the steps of the batch.
class HistoryWriter {
 public:
  /// Opens or makes the file, and keeps others from writing it (`<path>.lock`). A damaged one is renamed `<path>.damaged-<time>`, which is
  /// logged and counted, and a new one begun. Takes as long as reading `check_bytes`.
  /// Counters go on from `earlier`.
  /// @throws std::runtime_error that says what to do
  explicit HistoryWriter(HistoryOptions options, const HistoryCounters& earlier = {});
  ~HistoryWriter();
  HistoryWriter(const HistoryWriter&) = delete;
  HistoryWriter& operator=(const HistoryWriter&) = delete;

  /// Takes up a ring file, known by its 16 bytes, outside a batch: one that is new becomes an attempt of its run and rank, numbered by
  /// start_time_ns. Of one that is known nothing is changed.
  /// @throws std::invalid_argument when it is begun already, or known with another schema: a file that says it is the same, and is not
  /// @throws std::runtime_error when it cannot be stored: try again later
  BegunRing begin_ring(const std::array<std::uint8_t, 16>& ring, const Schema& schema, std::int64_t now_ns);
  /// The ring file is followed no more; outside a batch. Its data stays until retention takes it.
  void end_ring(RingKey key) noexcept;
  /// What the last batch that was stored has set; zeros for a key that is not begun.
  HistoryCursors cursors(RingKey key) const noexcept;
  /// Rings that are not begun and have not ended, as after a night in which vigild did not run, get this state. For the time when all ring
  /// files that there are have been begun; outside a batch. Returns how many. @throws std::runtime_error
  std::size_t end_absent_rings(std::string_view state, std::string_view reason, std::int64_t ended_ns);

  /// Begins a batch. `now_ns`, since the epoch, is what the age of its data counts from.
  void begin(std::int64_t now_ns);
  /// `scalars` are the learning rates, then record.user_scalars doubles, named by `names`. A record with StepRecord::again takes the place
  /// of the scalars of the step before, when it is of that step.
  void add_step(RingKey key, const StepRecord& record, const double* scalars, const NameTable& names);
  /// Before add_step() of the same record: phases and checkpoints since the record before, as events.
  void add_marks(RingKey key, const StepRecord& record, const NameTable& phases);
  /// Kept when the one before lies frame_interval_ms back; when a value of it is not finite (but for those that are meant:
  /// RowSchema::infinite) also in between, up to kNonfiniteFrames times.
  void add_frame(RingKey key, const Frame& frame);
  void add_event(RingKey key, const NonfiniteEvent& event);
  /// A vigild that starts again judges again what it finds in the rings: what is among the alerts of the ring already, or says of a rule
  /// what the latest of them up to its step says, is not stored once more.
  void add_alert(RingKey key, const AlertMessage& alert);
  /// A state that is not the latest one becomes an event. `ended_ns`: when the run ended; 0: it has not.
  void set_state(RingKey key, std::string_view state, std::string_view reason, std::int64_t ended_ns);
  void set_cursors(RingKey key, const HistoryCursors& cursors);
  /// Stores the batch. Waits for the disk, a quarter of a second for another program's lock; after some commits also for a checkpoint of
  /// the write-ahead log. A failure is counted and, at most once a minute, logged.
  HistoryOutcome commit();
  /// Ends a batch without storing it.
  void abandon() noexcept;

  /// Removes what is too old or too much, for about `budget` and by pieces, outside a batch. To be called after each commit(), also after
  /// one that failed, since that may be what makes room.
  HistoryOutcome retain(std::int64_t now_ns, std::chrono::milliseconds budget = std::chrono::milliseconds(50));

  /// The file that is written. When it is not at its path any more, nobody reads what is written: make another writer after this one.
  const FileAtPath& file() const noexcept;

  /// Any thread.
  HistoryCounters counters() const;

  static constexpr std::size_t kNonfiniteFrames = 8;                    ///< in frame_interval_ms
  static constexpr int kCheckpointPages = 1000;                         ///< in the write-ahead log, from which on it is checkpointed
  static constexpr std::int64_t kMaxWalBytes = std::int64_t{16} << 20;  ///< above which a checkpoint waits for readers

 private:
  struct State;

  const std::unique_ptr<State> state_;
};

}  // namespace vigil
