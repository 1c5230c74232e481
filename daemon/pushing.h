// Where vigild sends what it follows: each step to a receiver of remote write, the result of each run to a Pushgateway.
#pragma once

#include <memory>
#include <optional>
#include <string>

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
  /// @throws std::invalid_argument when an option is out of its range, std::runtime_error when a file cannot be read
  explicit Pushing(PushingOptions options);

  /// A run is followed from now on. What of it was published before this vigild started was sent by the one before, or is in the history
  /// only: receivers refuse samples that are older than what they have. Null where nothing is written remotely.
  std::unique_ptr<RunSamples> begin_run(const std::shared_ptr<const Schema>& schema, bool is_alive);
  /// A run has ended.
  void end_run(const Snapshot& last, std::int64_t ended_ns);

  /// Any thread.
  PushCounters counters() const;
  /// Sends what waits, for a few seconds. Idempotent.
  void stop() noexcept;

 private:
  std::optional<RemoteWrite> remote_write_;
  std::optional<Pushgateway> pushgateway_;
  const std::int64_t started_ms_;
};

}  // namespace vigil
