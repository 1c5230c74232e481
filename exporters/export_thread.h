// The one thread that reads a run's rings and tells everybody else.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "vigil/config/config.h"
#include "vigil/monitor/rules/alert_notice.h"
#include "vigil/monitor/run_channel.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// Polls the rings every `exporters.interval_ms`, publishes an immutable snapshot behind one small lock, feeds the exporters that
/// the configuration has on, evaluates the alert rules, and logs what the run's owner should know. A failing exporter is counted in the
/// snapshot, logged at most once a minute and tried again; it stops neither the others nor the thread.
///
/// The training thread never waits for it. All methods may be called from any thread but its own.
class ExportThread {
 public:
  /// Starts the exporters, then the thread, with all signals blocked; takes a first snapshot before it returns. Sets the log level
  /// to `config.log.level`. `channel` is not null. `on_alert` as for set_on_alert(): some alerts fire at once.
  /// @throws std::invalid_argument when a rule of the configuration cannot be had,
  ///         std::runtime_error with what to do when an exporter cannot start, std::system_error when the thread cannot; nothing is
  ///         left running then
  ExportThread(std::shared_ptr<const RunChannel> channel, const Config& config, std::function<void(const AlertNotice&)> on_alert = {});
  /// Calls stop().
  ~ExportThread();
  ExportThread(const ExportThread&) = delete;
  ExportThread& operator=(const ExportThread&) = delete;

  /// "address:port" of the HTTP endpoint as really bound; empty when it is off. Stays the same after stop().
  const std::string& endpoint() const noexcept { return endpoint_; }

  /// The latest published snapshot; never null. Holds a lock for the time of copying a pointer.
  std::shared_ptr<const Snapshot> snapshot() const;

  /// Has the rings polled now, waits until that is done, and returns the snapshot, which then holds all that was published before
  /// the call. After stop() returns the last one. Not for the training loop: it waits for the exporters' I/O too.
  std::shared_ptr<const Snapshot> refresh();

  /// What the action `callback` calls, on a thread of its own, one call after the other; in place of what was given before.
  void set_on_alert(std::function<void(const AlertNotice&)> call);

  /// Polls a last time, writes out what is pending, joins the thread, then closes the HTTP endpoint. Receivers of alerts have three seconds
  /// together; the call of `on_alert` under way is waited for. Idempotent. From within that call it does not wait for it; a later stop(),
  /// or the destructor, does, unless it is called there too.
  void stop() noexcept;
  /// Whether the caller is within a call of `on_alert`.
  bool is_calling() const noexcept;

  /// For the child of a fork, which has a copy of this object but not of its threads: makes the copy inert without joining or
  /// locking anything, leaks what it owned, and closes the child's copy of the listening port. The parent notices nothing.
  /// snapshot() and refresh() then return what was published before the fork, or the first snapshot where the fork fell into a
  /// publication.
  void abandon() noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::string endpoint_;
  std::shared_ptr<const Snapshot> left_behind_;  // set by abandon()
};

}  // namespace vigil
