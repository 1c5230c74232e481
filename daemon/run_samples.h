// What a run's records are as samples for Prometheus: the metrics of /metrics, each at the time that it is of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/daemon/sample_group.h"
#include "vigil/daemon/step_series.h"
#include "vigil/exporters/labels.h"
#include "vigil/exporters/metric_families.h"
#include "vigil/exporters/run_log.h"
#include "vigil/exporters/series_plan.h"
#include "vigil/monitor/metric_table.h"
#include "vigil/monitor/records.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// Up to where a run's samples have been taken by the receiver or given up, in milliseconds since the epoch. Who reads a run from its
/// beginning again skips what lies before.
struct RunCursor {
  std::int64_t steps_ms = SampleProgress::kNone, frames_ms = SampleProgress::kNone;
};

/// How far the samples of a run have come; the same of all its attempts.
struct RunProgress {
  std::shared_ptr<SampleProgress> steps = std::make_shared<SampleProgress>(), frames = std::make_shared<SampleProgress>();
};

struct RunSamplesOptions {
  std::vector<Label> labels;       ///< of every series, beside run and rank; none has one of the names in kMetrics
  std::int64_t resolution_ms = 1;  ///< of the steps that end within one such span the last is sent; at least 1
  bool tensors = false;            ///< also the series per tensor and layer of each sampled step
  PrometheusConfig series;         ///< which of these: max_series, per_parameter, precision
};

/// Turns the records of one attempt of a run into samples. 40 to 50 series for the steps, of some 200 bytes each in memory; about 600 bytes
/// for each series of a tensor. One thread.
class RunSamples {
 public:
  /// `schema` and `progress` are not null.
  RunSamples(std::shared_ptr<const Schema> schema, RunSamplesOptions options, RunProgress progress, const RunCursor& after,
             const std::shared_ptr<SampleLosses>& losses, const SampleGroup::Sink& sink);

  /// For each record, in order. `scalars` are `schema.learning_rates` learning rates, then `record.user_scalars` user scalars, of which
  /// those count that `scalar_names` has a name for.
  void on_step(const StepRecord& record, const double* scalars, const std::vector<std::string>& scalar_names);
  void on_frame(const Frame& frame);
  /// After each look at the rings, with the time before it: hands over what no later record can replace.
  void release_before(std::int64_t wall_time_ns);
  /// The run is over: ends all of its series a millisecond after their last sample. What comes after that begins them anew. Where the run
  /// has a newer attempt (`is_superseded`) the series are that one's, and stay, but for vigil_run_info of this one.
  void end(bool is_superseded = false);

  RunCursor cursor() const noexcept;

 private:
  using Absence = SampleGroup::Absence;
  std::size_t add_series(SampleGroup& group, std::string_view metric, std::vector<Label> labels, Absence absence);
  void put(SampleGroup& group, std::int64_t timestamp_ms, bool is_whole = true);
  void put_scalars(const StepRecord& record, const double* scalars, const std::vector<std::string>& names);
  void put_families(const std::vector<Family>& families, Absence absence);
  void put_tensors(const Frame& frame);

  const std::shared_ptr<const Schema> schema_;
  const RunSamplesOptions options_;
  const RunProgress progress_;
  const std::shared_ptr<std::deque<std::string>> labels_ = std::make_shared<std::deque<std::string>>();
  SampleGroup steps_, frames_;
  StepDurations durations_{};

  LogGate order_gate_;
  std::vector<SampleGroup::Value> values_;  // of the moment that is being made
  std::vector<std::size_t> step_series_, scalar_series_;
  std::size_t run_info_ = kNoSeries, update_ratio_ = kNoSeries, sparsity_ = kNoSeries;

  // What follows is of the series per tensor.
  Snapshot latest_;
  std::unique_ptr<const SeriesPlan> plan_;
  std::unordered_map<std::string, std::size_t> tensor_series_;  // by name and labels
  std::vector<std::uint64_t> activation_steps_;                 // of the latest measurement that was sent, by layer

  static constexpr std::size_t kNoSeries = static_cast<std::size_t>(-1);
};

}  // namespace vigil
