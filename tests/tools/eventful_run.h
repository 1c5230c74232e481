// A run in which much goes wrong, exported by the real export thread.
#pragma once

#include <cstdint>
#include <string>

#include "vigil/config/config.h"
#include "vigil/monitor/schema.h"

namespace vigil::test {

/// How one rank's run goes.
struct EventfulRun {
  std::uint64_t steps = 1500;
  std::uint32_t seed = 1;
  bool is_healthy = false;  ///< nothing goes wrong
  int rank = 0, world_size = 1;
  /// From this step on the rank trains another model; 0: never.
  std::uint64_t diverges_at = 0;
  double data_seconds = 0.01;
};

/// What the run's tensors are: layers of float32 and float16 parameters with their gradients, a buffer, activations.
Schema eventful_schema(const EventfulRun& run);

/// Trains nothing: makes up every record and has an ExportThread write it, alerts and all, to `config.exporters.jsonl.path`.
void export_eventful_run(const EventfulRun& run, Config config);

}  // namespace vigil::test
