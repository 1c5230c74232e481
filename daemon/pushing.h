// Where vigild sends what it follows: each step to a receiver of remote write, the result of each run to a Pushgateway.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "vigil/daemon/daemon_families.h"
#include "vigil/daemon/remote_write.h"
#include "vigil/exporters/pushgateway.h"
#include "vigil/monitor/run_state.h"

namespace vigil {

struct PushingOptions {
  std::optional<RemoteWriteOptions> remote_write;
  std::optional<PushgatewayOptions> pushgateway;
};

/// One thread, that which follows the runs; but for counters().
class Pushing {
 public:
  /// @throws std::invalid_argument when an option is out of its range, or a file that it names is wrong
  explicit Pushing(PushingOptions options);

  /// A run is followed from now on. What of it was published before this vigild started was sent by the one before, or is in the history
  /// only: receivers refuse samples that are older than what they have. Null where nothing is written remotely. Of a run and rank the
  /// attempt that began last counts, in whatever order they are found: an older one says nothing of how the run ended.
  std::unique_ptr<RunSamples> begin_run(const std::shared_ptr<const Schema>& schema, bool is_alive);
  /// A run has ended. `samples` is what begin_run() made of it, or null.
  void end_run(RunSamples* samples, const Snapshot& last, std::int64_t ended_ns);

  /// Any thread.
  PushCounters counters() const;
  /// Sends what waits, for a few seconds. Idempotent.
  void stop() noexcept;

  /// Runs and ranks whose newest attempt is known, at most; of more, those that began first are forgotten.
  static constexpr std::size_t kMaxRuns = 4096;

 private:
  using RunAndRank = std::pair<std::string, int>;
  bool is_newest(const RunIdentity& identity) const;
  void note_start(const RunIdentity& identity);

  std::optional<RemoteWrite> remote_write_;
  std::optional<Pushgateway> pushgateway_;
  const std::int64_t started_ms_;
  std::map<RunAndRank, std::int64_t> newest_start_ns_;
};

}  // namespace vigil
