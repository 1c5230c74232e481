// A run as lines of JSON in a file: for notebooks, `jq`, and whoever has no Prometheus.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "vigil/config/config.h"
#include "vigil/exporters/exporter.h"
#include "vigil/monitor/run_channel.h"

namespace vigil {

/// Appends one JSON object a line to `config.path`; "type" tells which:
///   "run"    who runs; the first line that a run writes into each file. Also what the other lines are of: "tensors" in the order of
///            "frame", with shape and type; "parameters", sampled or not; the number of learning rates and the names of their groups
///   "step"   one per step record: loss, norms, learning rates, user scalars, durations, totals; of "hook_errors" those above 0
///   "scalars" what was logged after the last step, with the other user scalars
///   "frame"  one per sampled step: the statistics of every tensor (kStatistics); "update_norm" and "update_ratio" where measured;
///            "magnitude_p01", "…_p50", "…_p99" and "magnitude_buckets" of those with a histogram: counts in MagnitudeHistogram's order,
///            from underflow to overflow, without the zeros
///            "distance", "cosine" and "<state>_norm" likewise; "activations" of the layers that were observed since the frame before
///   "nonfinite" where the first step of a streak of non-finite steps became so (docs/nan-report.md); a second one where a replay or a
///            trace has found more
///   "alert"  a rule has begun to fire, or is over (docs/alerts.md)
///   "lost"   how many lines were given up because they could not be written for too long
/// jsonl_reader.h reads them back. JSON has no NaN and no infinity, so these are the strings "NaN", "Infinity" and "-Infinity"; a value
/// that a step does not have is absent. Times are seconds since the epoch, durations are seconds. Bytes of a name that are not UTF-8 become
/// U+FFFD.
///
/// The file is opened for appending, created with mode 0640, and renamed to `<path>.1` (replacing an older one) before it would
/// grow beyond `config.max_bytes`. If it ends within a line, as after a crash, a new line is begun. Each monitor needs a file of its
/// own; a process holds a lock on it (fcntl(2): closing another descriptor of the file in that process gives it up).
class JsonlExporter final : public Exporter {
 public:
  /// Bytes of lines kept in memory while the file cannot be written; what comes on top is lost and counted.
  static constexpr std::size_t kMaxPendingBytes = std::size_t{8} << 20;

  /// Opens the file; `channel` outlives the exporter.
  /// @throws std::runtime_error that names file and setting when it cannot be opened for writing
  JsonlExporter(const JsonlConfig& config, const RunChannel& channel);
  ~JsonlExporter() override;

  void on_step(const StepRecord& record, const double* scalars) override;
  void on_frame(const Frame& frame) override;
  void on_event(const NonfiniteEvent& event) override;
  void on_alert(const AlertMessage& message) override;
  /// Writes what is pending. What could not be written stays pending, for the next call. Waits for who reads a pipe up to a
  /// second, and 100 ms while nothing is read.
  /// @throws std::runtime_error when the file cannot be written, or a pipe has been full for so long that lines are lost
  void on_poll() override;
  /// Logs what the last on_poll() could not write.
  void stop() noexcept override;

 private:
  void open();
  void close_file();
  void rotate();
  void add_run_line();
  void append_line(std::string_view line);
  bool append_lost_line();
  // False when a pipe stays full.
  bool write_pending(std::size_t bytes);
  bool write_pending_lines();
  bool has_room_soon() const;
  std::size_t lines_that_fit() const;

  const std::string path_;
  const std::uint64_t max_bytes_;
  const RunChannel& channel_;
  std::vector<std::string> row_heads_;           // what never changes of a frame's rows
  std::vector<std::uint64_t> told_activations_;  // steps, by layer
  int file_ = -1;
  bool is_regular_ = false;
  std::pair<dev_t, ino_t> identity_;  // of the open file
  std::uint64_t file_bytes_ = 0;
  bool within_line_ = false;  // a line is written in part: it is to be finished in this file
  std::string pending_;       // lines, each with its newline
  std::uint64_t lost_lines_ = 0;
  std::chrono::steady_clock::time_point wait_until_;  // of this on_poll()
};

}  // namespace vigil
