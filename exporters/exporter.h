// What the export thread feeds, and the one table of all that there is.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/config/config.h"
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
  /// After each poll of the rings, once the new snapshot is published: the place for I/O.
  virtual void on_poll() {}

  /// "address:port" that it listens on; empty when it does not.
  virtual std::string endpoint() const { return {}; }
  /// Called once, when the export thread has ended.
  virtual void stop() noexcept {}
  /// Called in the child of a fork instead of stop(): touches no thread and no lock. The exporter is leaked afterwards.
  virtual void abandon() noexcept {}
};

/// What exporters are made from; all of it outlives them.
struct ExporterContext {
  const RunChannel& channel;
  const ExportersConfig& config;
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
