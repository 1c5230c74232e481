// Metrics of this process under the names that every Prometheus client library uses.
#pragma once

#include <vector>

#include "vigil/exporters/metric_families.h"

namespace vigil {

/// `process_cpu_seconds_total`, `process_resident_memory_bytes` and the like, read from /proc/self; what cannot be read is left
/// out. A few system calls. Any thread.
std::vector<Family> make_process_families();

}  // namespace vigil
