// What the export thread feeds, and the one table of all that there is.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/exporters/alert_text.h"
#include "vigil/monitor/run_channel.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// One way out for a run's numbers. Made by the thread that starts the export thread, then used by the export thread only. What
/// `on_…` throws is counted in `vigil_exporter_errors_total` and logged; the exporter is called again all the same.
class Exporter {
 public:
  virtual ~Exporter() = default;

  /// For every record read, in order. `scalars` are learning rates, then user scalars, as in the ring. Does no I/O.
  virtual void on_step(const StepRecord& /*record*/, const double* /*scalars*/) {}
  virtual void on_frame(const Frame& /*frame*/) {}
  /// The first step of a streak of non-finite steps; a second time where a replay or a trace has found more.
  virtual void on_event(const NonfiniteEvent& /*event*/) {}
  /// A rule has begun to fire, or is over. Does no I/O.
  virtual void on_alert(const AlertMessage& /*message*/) {}
  /// After each poll of the rings, once the new snapshot is published: the place for I/O.
  virtual void on_poll() {}

  /// Messages that it has given up.
  virtual std::uint64_t dropped() const { return 0; }
  /// "address:port" that it listens on; empty when it does not.
  virtual std::string endpoint() const { return {}; }
  /// Called when the export thread has ended, of all exporters before stop() of the first: what can be done meanwhile begins.
  virtual void begin_stop() noexcept {}
  /// Called then; once.
  virtual void stop() noexcept {}
  /// Whether the caller is within a call that this exporter makes.
  virtual bool is_calling() const noexcept { return false; }
  /// After stop(), where that was called from within a call of this exporter: waits for it.
  virtual void wait_for_call() noexcept {}
  /// Called in the child of a fork instead of stop(): touches no thread and no lock. The exporter is leaked afterwards.
  virtual void abandon() noexcept {}
};

/// The program's own function for alerts, which may come and go.
struct AlertCallback {
  std::mutex mutex;
  std::shared_ptr<const std::function<void(const AlertNotice&)>> call;  ///< may be null
};

/// What exporters are made from; all of it outlives them.
struct ExporterContext {
  const RunChannel& channel;
  const ExportersConfig& config;
  std::uint32_t actions = 0;                                  ///< bit i: some rule that is on has the action kAlertActionNames[i]
  std::shared_ptr<AlertCallback> callback;                    ///< not null
  std::function<std::shared_ptr<const Snapshot>()> snapshot;  ///< the latest one; any thread
};

struct ExporterRow {
  std::string_view name;  ///< label `exporter` of `vigil_exporter_errors_total`
  /// Null when the configuration has it off. @throws std::runtime_error with what to do when it cannot start
  std::unique_ptr<Exporter> (*make)(const ExporterContext& context);
};

/// All exporters. A new one is a row here, a pair of files and a test.
const std::vector<ExporterRow>& exporter_table();

}  // namespace vigil
