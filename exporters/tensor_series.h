// Per-tensor series: what the latest frame says of the entries of a plan, and the families that this becomes. The one place that knows
// their names, order and values, for whoever writes them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "vigil/exporters/labels.h"
#include "vigil/exporters/series_plan.h"
#include "vigil/monitor/magnitude_histogram.h"
#include "vigil/monitor/metric_table.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/snapshot.h"
#include "vigil/monitor/statistics.h"

namespace vigil {

/// An entry of the plan that the latest frame says something of.
struct SeenTensor {
  const SeriesPlan::Entry* entry;
  const Moments* moments;               ///< of a folded entry: of all its tensors that were there and readable, merged
  const MagnitudeHistogram* histogram;  ///< null: no magnitudes
  std::optional<double> update_ratio;
};

/// All of them, in the order of the plan. Valid as long as `snapshot` and `plan`, which it refers to.
class SeenTensors {
 public:
  SeenTensors(const Snapshot& snapshot, const SeriesPlan& plan);
  SeenTensors(const SeenTensors&) = delete;
  SeenTensors& operator=(const SeenTensors&) = delete;

  const SeenTensor* begin(TensorKind kind) const noexcept { return seen_.data() + begin_[static_cast<std::size_t>(kind)]; }
  const SeenTensor* end(TensorKind kind) const noexcept { return seen_.data() + begin_[static_cast<std::size_t>(kind) + 1]; }
  /// Series that for_each_series gives over all families.
  std::uint64_t series() const noexcept { return series_; }

 private:
  std::vector<SeenTensor> seen_;
  std::array<std::size_t, kTensorKindNames.size() + 1> begin_{};
  std::deque<Moments> folded_;  // does not move what it holds
  std::uint64_t series_ = 0;
};

/// A family of per-tensor series.
struct TensorFamily {
  std::string name, help;
  MetricType type = MetricType::gauge;
  TensorKind kind = TensorKind::parameter;
  const Statistic* statistic = nullptr;              ///< null: `metric` it is
  TensorMetric metric = TensorMetric::update_ratio;  ///< where `statistic` is null
};

/// All per-tensor families in the order of the exposition: by kind; statistics first, then kTensorMetrics. Made once; lives as long as the
/// program.
const std::vector<TensorFamily>& tensor_families();

/// The label that tells apart the series that a tensor has in one family.
struct SeriesLabel {
  Label label;
  std::string text;  ///< `,le="0"} `: what ends the labels of a series
};

/// By bound: 0, magnitude_bound(0) to the last, +Inf. Spelled as plain text has them, in both formats: a parser of OpenMetrics makes no
/// difference between "1" and "1.0" in an untyped metric, but Prometheus would store two series.
const std::vector<SeriesLabel>& magnitude_bound_labels();
/// By kMagnitudeQuantiles.
const std::vector<SeriesLabel>& magnitude_quantile_labels();

/// Series that `tensor` has in `family`: as often as for_each_series calls for it.
inline std::size_t series_of(const TensorFamily& family, const SeenTensor& tensor) noexcept {
  if (family.statistic != nullptr) return 1;
  const bool has = family.metric == TensorMetric::update_ratio ? tensor.update_ratio.has_value() : tensor.histogram != nullptr;
  return has ? metric_row(family.metric).series : 0;
}

/// Calls `emit(const SeenTensor&, const SeriesLabel*, double value)` for each series of `family`, in the order of the exposition; the label
/// is null where a tensor has one series only.
template <class Emit>
void for_each_series(const TensorFamily& family, const SeenTensors& tensors, Emit emit) {
  const SeenTensor *const begin = tensors.begin(family.kind), *const end = tensors.end(family.kind);
  if (family.statistic != nullptr) {
    const auto value = family.statistic->value;
    for (const SeenTensor* tensor = begin; tensor != end; ++tensor) emit(*tensor, nullptr, value(*tensor->moments));
    return;
  }
  for (const SeenTensor* tensor = begin; tensor != end; ++tensor) {
    if (family.metric == TensorMetric::update_ratio) {
      if (tensor->update_ratio) emit(*tensor, nullptr, *tensor->update_ratio);
      continue;
    }
    if (tensor->histogram == nullptr) continue;
    const MagnitudeHistogram& histogram = *tensor->histogram;
    if (family.metric == TensorMetric::magnitude) {
      const SeriesLabel* label = magnitude_quantile_labels().data();
      for (const double q : kMagnitudeQuantiles) emit(*tensor, label++, magnitude_quantile(histogram, *tensor->moments, q));
      continue;
    }
    const SeriesLabel* label = magnitude_bound_labels().data();
    std::uint64_t count = tensor->moments->zero_count;
    emit(*tensor, label++, static_cast<double>(count));
    emit(*tensor, label++, static_cast<double>(count += histogram.underflow));
    for (const std::uint64_t here : histogram.buckets) emit(*tensor, label++, static_cast<double>(count += here));
    emit(*tensor, label, static_cast<double>(count + histogram.overflow));
  }
}

}  // namespace vigil
