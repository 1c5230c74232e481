// Pushing the steps of runs to Prometheus, or to whatever takes its remote write protocol.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/daemon/run_samples.h"
#include "vigil/daemon/sample_queue.h"
#include "vigil/daemon/write_sender.h"
#include "vigil/exporters/delivery_thread.h"
#include "vigil/exporters/header_files.h"
#include "vigil/exporters/labels.h"

namespace vigil {

struct RemoteWriteOptions {
  std::string url;                                  ///< of the receiver, e.g. http://127.0.0.1:9090/api/v1/write
  HeaderFiles files;                                ///< headers and basic authentication; read anew for each request
  std::vector<Label> labels;                        ///< of every series; not run, rank, or one of a metric's own
  std::chrono::milliseconds timeout{30'000};        ///< a request that takes longer has failed; 100 ms to 10 min
  std::chrono::milliseconds interval{1000};         ///< samples wait at most this long for more to come; 10 ms to 10 min
  std::chrono::milliseconds resolution{1};          ///< of the steps that end within one such span the last is sent; 1 ms to 1 h
  std::size_t max_samples = 2000;                   ///< of a request; 1 to 100,000
  std::size_t queue_bytes = std::size_t{32} << 20;  ///< of samples that wait, about 18 bytes each; 64 KiB to 16 GiB
  bool tensors = false;                             ///< also the series per tensor and layer of each sampled step
  PrometheusConfig series;                          ///< which of these: max_series, per_parameter and precision
};

/// What has become of all samples so far. made = sent + failed + dropped + queued.
struct RemoteWriteCounters {
  std::uint64_t sent = 0;                 ///< taken by the receiver
  std::uint64_t failed = 0;               ///< refused by it for good (4xx)
  std::uint64_t dropped = 0;              ///< oldest ones for which the queue had no room, and what stop() left
  std::uint64_t requests = 0;             ///< tries, of whatever success
  std::uint64_t retried = 0;              ///< of these, those of a request that was made before
  std::uint64_t replaced = 0;             ///< never queued: a later one came in the same millisecond (or `resolution`)
  std::uint64_t out_of_order = 0;         ///< never queued: its time was not after that of the one before
  std::uint64_t queued = 0;               ///< wait, or are on their way
  std::size_t queued_bytes = 0;           ///< of those that wait
  std::int64_t highest_timestamp_ms = 0;  ///< of those sent; 0: none so far
};

/// Sends on a thread of its own. Everything but counters() is called by one and the same thread, which also makes the samples.
class RemoteWrite {
 public:
  /// @throws std::invalid_argument when an option is out of its range, or a file that it names is wrong
  explicit RemoteWrite(RemoteWriteOptions options);
  /// Ends at once; what waits is dropped.
  ~RemoteWrite();
  RemoteWrite(const RemoteWrite&) = delete;
  RemoteWrite& operator=(const RemoteWrite&) = delete;

  /// Whether a receiver may be at this URL.
  static bool is_url(std::string_view text) noexcept;

  /// Takes up a run (one rank and attempt of it). Its samples go on in time where those of the attempt before have ended. `after`: up to
  /// where they were sent by an earlier process, as RunSamples::cursor() has it. `schema` is not null. The result does not outlive this
  /// object.
  std::unique_ptr<RunSamples> begin_run(std::shared_ptr<const Schema> schema, const RunCursor& after = {});

  RemoteWriteCounters counters() const;

  /// Sends without waiting for more to come. Those who stop several threads tell all of them first.
  void begin_stop(std::chrono::milliseconds grace) noexcept;
  /// Waits up to `grace` since begin_stop() or this call, and up to a second more for a request under way; logs and counts what is left,
  /// whose cursors stay where they are. Idempotent.
  void stop(std::chrono::milliseconds grace) noexcept;

  /// Runs whose progress is kept for a next attempt, at most; of more, those that ended and come first by name are forgotten.
  static constexpr std::size_t kMaxRuns = 4096;

 private:
  struct Shared;

  const RemoteWriteOptions options_;
  const std::shared_ptr<SampleLosses> losses_ = std::make_shared<SampleLosses>();
  std::map<std::pair<std::string, int>, RunProgress> runs_;
  LogGate full_gate_;
  const std::unique_ptr<Shared> shared_;
  std::unique_ptr<DeliveryThread> thread_;  // last: it uses the others
};

}  // namespace vigil
