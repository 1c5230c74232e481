// Per-tensor series: what the latest frame says of the entries of a plan, and the families that this becomes. The one place that knows
// their names, order and values, for whoever writes them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vigil/exporters/labels.h"
#include "vigil/exporters/series_plan.h"
#include "vigil/monitor/magnitude_histogram.h"
#include "vigil/monitor/metric_table.h"
#include "vigil/monitor/number_format.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/snapshot.h"
#include "vigil/monitor/statistics.h"

namespace vigil {

/// The label that tells apart the series that a tensor has in one family.
struct SeriesLabel {
  Label label;
  std::string text;  ///< `,le="0"} `: what ends the labels of a series
};

/// An entry of the plan that the latest frame says something of.
struct SeenTensor {
  const SeriesPlan::Entry* entry = nullptr;
  const Moments* moments_of_tensor = nullptr;     ///< of a folded entry: of all its tensors that were there and readable, merged
  const MagnitudeHistogram* histogram = nullptr;  ///< null: no magnitudes
  const FormatLosses* losses = nullptr;           ///< null: not what formats lose
  std::optional<double> update_ratio, update_norm, distance, cosine;
  struct Moment {
    const SeriesLabel* label;
    double norm;
  };
  std::array<std::optional<Moment>, RowSchema::kStateNorms> moments;  ///< of the optimizer's state
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
  const SeriesLabel* moment_label(const std::string& moment);

  std::vector<SeenTensor> seen_;
  std::array<std::size_t, kTensorKindNames.size() + 1> begin_{};
  std::deque<Moments> folded_;                        // does not move what it holds
  std::deque<FormatLosses> losses_;                   // likewise
  std::map<std::string, SeriesLabel> moment_labels_;  // nor does this
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

/// By bound: 0, magnitude_bound(0) to the last, +Inf. Spelled as plain text has them, in both formats: a parser of OpenMetrics makes no
/// difference between "1" and "1.0" in an untyped metric, but Prometheus would store two series.
const std::vector<SeriesLabel>& magnitude_bound_labels();
/// By kMagnitudeQuantiles.
const std::vector<SeriesLabel>& magnitude_quantile_labels();

/// By kNumberFormats.
const std::vector<SeriesLabel>& number_format_labels();

/// Calls `emit(const SeriesLabel*, double value)` for each series that `tensor` has of `metric`, in the order of the exposition; the label
/// is null where a tensor has one series only.
template <class Emit>
void for_each_series(TensorMetric metric, const SeenTensor& tensor, Emit emit) {
  const auto emit_one = [&emit](const std::optional<double>& value) {
    if (value) emit(nullptr, *value);
  };
  switch (metric) {
    case TensorMetric::update_ratio: emit_one(tensor.update_ratio); return;
    case TensorMetric::update_norm: emit_one(tensor.update_norm); return;
    case TensorMetric::distance: emit_one(tensor.distance); return;
    case TensorMetric::cosine: emit_one(tensor.cosine); return;
    case TensorMetric::optimizer_moment:
      for (const auto& moment : tensor.moments) {
        if (moment) emit(moment->label, moment->norm);
      }
      return;
    case TensorMetric::format_overflow:
    case TensorMetric::format_underflow:
    case TensorMetric::format_subnormal:
      for (std::size_t i = 0; i < kNumberFormats.size() && tensor.losses != nullptr; ++i) {
        if (const auto share = share_of(metric, kNumberFormats[i], (*tensor.losses)[i])) emit(&number_format_labels()[i], *share);
      }
      return;
    case TensorMetric::magnitude_bucket:
    case TensorMetric::magnitude:
    case TensorMetric::count: break;
  }
  if (tensor.histogram == nullptr) return;
  const MagnitudeHistogram& histogram = *tensor.histogram;
  if (metric == TensorMetric::magnitude) {
    const SeriesLabel* label = magnitude_quantile_labels().data();
    for (const double q : kMagnitudeQuantiles) emit(label++, magnitude_quantile(histogram, *tensor.moments_of_tensor, q));
    return;
  }
  const SeriesLabel* label = magnitude_bound_labels().data();
  std::uint64_t count = tensor.moments_of_tensor->zero_count;
  emit(label++, static_cast<double>(count));
  emit(label++, static_cast<double>(count += histogram.underflow));
  for (const std::uint64_t here : histogram.buckets) emit(label++, static_cast<double>(count += here));
  emit(label, static_cast<double>(count + histogram.overflow));
}

/// Series that `tensor` has of `metric`: as often as for_each_series calls for it, without computing their values.
std::size_t series_of(TensorMetric metric, const SeenTensor& tensor) noexcept;

/// Calls `emit(const SeenTensor&, const SeriesLabel*, double value)` for each series of `family`, likewise.
template <class Emit>
void for_each_series(const TensorFamily& family, const SeenTensors& tensors, Emit emit) {
  const SeenTensor *const begin = tensors.begin(family.kind), *const end = tensors.end(family.kind);
  if (family.statistic != nullptr) {
    const auto value = family.statistic->value;
    for (const SeenTensor* tensor = begin; tensor != end; ++tensor) emit(*tensor, nullptr, value(*tensor->moments_of_tensor));
    return;
  }
  for (const SeenTensor* tensor = begin; tensor != end; ++tensor) {
    for_each_series(family.metric, *tensor, [&](const SeriesLabel* label, double value) { emit(*tensor, label, value); });
  }
}

}  // namespace vigil
