// vigild's own metrics.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "vigil/daemon/history_thread.h"
#include "vigil/daemon/host_view.h"
#include "vigil/exporters/http_limits.h"
#include "vigil/exporters/metric_families.h"

namespace vigil {

/// Counters of what is pushed.
struct PushCounters {
  std::uint64_t samples_sent = 0, samples_failed = 0, samples_dropped = 0, samples_replaced = 0, samples_out_of_order = 0, pending = 0;
  std::uint64_t requests = 0, retries = 0;
  double highest_timestamp_seconds = 0;
  std::uint64_t pushes_sent = 0, pushes_failed = 0;
};

/// What vigild has to tell of itself at one moment; parts that are off are empty.
struct DaemonReading {
  HttpCounters http;
  std::uint64_t reload_failures = 0;
  std::optional<HistoryThread::Counters> history;
  std::optional<PushCounters> push;
};

/// kDaemonMetrics in their order, behind vigil_build_info. Any thread.
std::vector<Family> make_daemon_families(const HostView& view, const DaemonReading& reading);

}  // namespace vigil
