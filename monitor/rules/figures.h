// The figures of a step or a sample by the names of the metric contract.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "vigil/monitor/metric_table.h"
#include "vigil/monitor/records.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/snapshot.h"
#include "vigil/monitor/statistics.h"

namespace vigil {

/// A figure of a step: its metric, the label that tells its series apart, and its value in one of them; NaN where the record has none.
struct StepFigure {
  Metric metric;
  std::string_view label;  ///< empty: one series
  /// `series` counts the values of the label; its name is `series_name(…)`.
  double (*value)(const StepRecord& record, std::size_t series);
  std::size_t series = 1;
  std::string_view (*series_name)(std::size_t series) = nullptr;
};

/// Where a metric is found.
struct Figure {
  enum class Kind : unsigned char {
    step,
    learning_rate,
    user_scalar,
    flops_utilization,
    update_ratio,  ///< of all parameters
    statistic,
    tensor_metric,
    optimizer_moment,
    activation_statistic,
    activation_metric
  };
  Kind kind = Kind::step;
  const StepFigure* step = nullptr;
  TensorKind tensor = TensorKind::parameter;
  const Statistic* statistic = nullptr;
  TensorMetric metric = TensorMetric::update_ratio;
  const ActivationMetricRow* activation = nullptr;
};

/// Empty when no record holds `metric`.
std::optional<Figure> find_figure(std::string_view metric) noexcept;

/// What find_figure() finds, for people.
std::string known_figures();

/// A per-tensor metric that is one number: update_ratio, update_norm, distance, cosine. NaN where it was not measured.
double value_of(TensorMetric metric, const TensorRow& row) noexcept;

}  // namespace vigil
