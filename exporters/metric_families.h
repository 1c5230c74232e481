// A snapshot as metric families: what every exporter of Prometheus metrics writes, in its own format.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/exporters/labels.h"
#include "vigil/exporters/series_plan.h"
#include "vigil/monitor/metric_table.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// A histogram as Prometheus has it: counts of observations at most each bound.
struct HistogramValue {
  std::vector<double> upper_bounds;       ///< ascending, without +Inf
  std::vector<std::uint64_t> cumulative;  ///< as many as upper_bounds
  std::uint64_t count = 0;                ///< of all observations, which is the +Inf bucket
  double sum = 0;
};

/// One series of a gauge, a counter or an untyped metric.
struct Sample {
  Labels labels;  ///< never null
  double value = 0;
};

struct HistogramSample {
  Labels labels;  ///< never null
  HistogramValue value;
};

struct Family {
  std::string_view name;  ///< as Prometheus stores it: `_total` at the end of a counter's. Lives as long as the program.
  MetricType type = MetricType::gauge;
  std::string_view unit;  ///< OpenMetrics unit that the name ends in (before `_total`), or empty
  std::string help;
  std::vector<Sample> samples;              ///< empty for a histogram
  std::vector<HistogramSample> histograms;  ///< empty for the others
};

/// All metrics of a run that have a value, in the order of the contract (kMetrics), then per-tensor families by kind, statistics
/// before kTensorMetrics. Counters that alerts rely on are there, with 0, before the first step. A tensor that was absent or unreadable
/// in the latest frame has no series; a finished or failed run keeps all of its series.
///
/// Takes an allocation or more per series; render_exposition (exposition.h) writes the same without them. `snapshot.schema` is not null;
/// `plan` is the plan of that schema. Any thread.
std::vector<Family> make_families(const Snapshot& snapshot, const SeriesPlan& plan);

/// The part of them that kMetrics lists, for an exposition with that many per-tensor series, and kept out of it.
std::vector<Family> make_run_families(const Snapshot& snapshot, std::uint64_t series, std::uint64_t dropped_series);

/// What is still told of a run that has ended: of kMetrics those that count, and those that tell who it was, when it ended and how.
std::vector<Family> make_tombstone_families(const Snapshot& snapshot);

/// `vigil_build_info` of this process, without labels of a run.
Family make_build_info();

/// The rest of them: per-tensor series and those of activations, of the latest frame.
std::vector<Family> make_tensor_families(const Snapshot& snapshot, const SeriesPlan& plan);

/// Version of vigil, as in `vigil_build_info`.
std::string_view vigil_version() noexcept;

}  // namespace vigil
