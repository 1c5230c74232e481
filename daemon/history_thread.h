// The thread that keeps the history: reads every ring file from cursors of its own and writes what it finds.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "vigil/daemon/history_opening.h"
#include "vigil/daemon/history_writer.h"
#include "vigil/daemon/host_view.h"
#include "vigil/exporters/alert_text.h"
#include "vigil/exporters/run_log.h"
#include "vigil/monitor/ring_file_reader.h"

namespace vigil {

using RingId = std::array<std::uint8_t, 16>;

/// An alert of a run, on its way into the history.
struct RunAlert {
  RingId ring{};
  AlertMessage message;
};

/// A slow disk, or one that is full, only makes this thread read later: what the trainer has overwritten by then is lost, and counted.
/// A history that is deleted or moved meanwhile is begun anew with all that the rings still hold.
class HistoryThread {
 public:
  using Files = std::function<std::vector<std::shared_ptr<const RingFile>>()>;
  using View = std::function<std::shared_ptr<const HostView>()>;

  /// Opens the database and starts. `files` and `view` are of the host, and may be called by the thread.
  /// @throws std::runtime_error with what to do
  HistoryThread(HistoryOptions options, Files files, View view);
  /// Calls stop().
  ~HistoryThread();
  HistoryThread(const HistoryThread&) = delete;
  HistoryThread& operator=(const HistoryThread&) = delete;

  /// Keeps an alert; of more than kMaxAlerts that wait the oldest goes. Any thread.
  void add(RunAlert alert);
  /// Whether all that a run's file holds is stored, its end among it, in the file that is at the history's path now; also of one that is
  /// followed no more. Any thread.
  bool has_all_of(const RingId& ring) const;

  struct Counters {
    HistoryCounters stored;
    std::uint64_t steps_lost = 0, frames_lost = 0, events_lost = 0;  ///< overwritten before they were stored
    std::uint64_t alerts_lost = 0;                                   ///< too many waited, or their file was gone before they came
  };
  Counters counters() const;

  /// Stores what there is, then ends. Idempotent.
  void stop() noexcept;

  static constexpr std::size_t kMaxAlerts = 10'000;
  static constexpr std::size_t kMaxLeft = 10'000;              ///< files that are followed no more and known all the same
  static constexpr std::chrono::milliseconds kInterval{1000};  ///< between two transactions
  /// Bytes of records of a ring in one transaction, but one record at least.
  static constexpr std::size_t kPollBytes = std::size_t{64} << 20;

 private:
  struct Ring {
    std::shared_ptr<const RingFile> file;
    BegunRing begun;
    RingFileReader* reader = nullptr;  // of the follower
    std::unique_ptr<RunFollower> follower;
    std::array<std::uint64_t, 3> losses_counted{};  // of those that the reader has seen, by RingKind
    bool is_broken = false;
    bool has_end = false;  // its end is in the batch
  };

  void run() noexcept;
  void turn();
  void open_writer();
  void give_up_writer();
  void note_failure();
  void tell_recovery();
  void take_up(const std::vector<std::shared_ptr<const RingFile>>& files);
  void read(Ring& ring);
  void tell_state(Ring& ring, const HostView& view, bool is_end);
  void tell_alerts();
  void count_losses(const HostView& view);
  void count_overwritten();
  void rewind();
  void follow(Ring& ring);

  HistoryOptions options_;
  const Files files_;
  const View view_;
  std::unique_ptr<HistoryWriter> writer_;  // null: its file was lost, or damaged; another one is to be made
  HistoryCounters earlier_;                // of the writers before it
  std::map<RingId, Ring> rings_;
  bool has_looked_once_ = false;
  bool needs_rewind_ = false;                            // a turn was broken off: the readers are further than the database
  std::deque<RunAlert> alerts_in_batch_, early_alerts_;  // the latter are of files that were not seen yet when the batch was begun
  std::uint64_t alerts_too_late_ = 0;                    // of the batch: their file is gone
  std::map<RingId, std::uint64_t> alerts_lost_by_host_;  // that are counted
  LogGate gate_, lost_gate_, recovered_gate_;
  bool is_failing_ = false;
  std::uint64_t lost_before_failing_ = 0;  // steps

  mutable std::mutex mutex_;  // of what follows
  std::condition_variable wake_;
  std::deque<RunAlert> alerts_;
  std::set<RingId> complete_, left_;  // the latter were complete when they were followed
  FileAtPath file_;                   // that complete_ speaks of
  Counters counters_;
  bool is_stopping_ = false;

  std::thread thread_;
};

}  // namespace vigil
