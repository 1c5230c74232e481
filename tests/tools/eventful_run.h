// A run in which much goes wrong, exported by the real export thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/monitor/records.h"
#include "vigil/monitor/run_channel.h"
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
  double step_seconds = 0.06;
  /// At this step the clock is set back by an hour; 0: never.
  std::uint64_t clock_set_back_at = 0;
  std::array<std::string, 4> layers{"layer0", "layer0/relu", "layer1", "layer1/tanh"};  ///< of activations
  /// Changes each frame before it is published.
  std::function<void(std::vector<TensorRow>&, std::vector<ActivationRow>&)> spoil = {};
};

/// What the run's tensors are: layers of float32 and float16 parameters with their gradients, a buffer, activations.
Schema eventful_schema(const EventfulRun& run);

/// Makes up one record of such a run after the other and publishes them, with frames and events, in a channel that was made for
/// eventful_schema().
class EventfulAuthor {
 public:
  /// Both outlive this.
  EventfulAuthor(const EventfulRun& run, RunChannel& channel);
  ~EventfulAuthor();
  EventfulAuthor(const EventfulAuthor&) = delete;
  EventfulAuthor& operator=(const EventfulAuthor&) = delete;

  /// Steps count from 1 and come in order.
  void write(std::uint64_t step);

 private:
  class Author;
  const std::unique_ptr<Author> author_;
};

/// Trains nothing: makes up every record and has an ExportThread write it, alerts and all, to `config.exporters.jsonl.path`.
void export_eventful_run(const EventfulRun& run, Config config);

}  // namespace vigil::test
