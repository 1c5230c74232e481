#include "vigil/monitor/rules/figures.h"

#include <array>
#include <string>
#include <utility>

namespace vigil {
namespace {

constexpr double kNone = TensorRow::kNotMeasured;

template <StepRecord::Flag kFlag, double StepRecord::*kMember>
double if_has(const StepRecord& record, std::size_t /*series*/) {
  return record.has(kFlag) ? record.*kMember : kNone;
}
template <std::uint64_t StepRecord::*kMember>
double count(const StepRecord& record, std::size_t /*series*/) {
  return static_cast<double>(record.*kMember);
}
template <std::uint64_t RunTotals::*kMember>
double total(const StepRecord& record, std::size_t /*series*/) {
  return static_cast<double>(record.totals.*kMember);
}
template <std::uint64_t StepRecord::*kMember>
double device(const StepRecord& record, std::size_t /*series*/) {
  return record.has(StepRecord::has_device_memory) ? static_cast<double>(record.*kMember) : kNone;
}

// Of this step, where the contract's histogram counts all of them.
double step_seconds(const StepRecord& record, std::size_t series) {
  const auto time = time_of(record, static_cast<Phase>(series));
  return time ? 1e-9 * static_cast<double>(*time) : kNone;
}

// Those that are found by their names alone.
constexpr std::array<std::pair<std::string_view, Figure::Kind>, 4> kNamedFigures{
    {{metric_row(Metric::learning_rate).name, Figure::Kind::learning_rate},
     {metric_row(Metric::user_scalar).name, Figure::Kind::user_scalar},
     {metric_row(Metric::flops_utilization).name, Figure::Kind::flops_utilization},
     {metric_row(Metric::update_ratio).name, Figure::Kind::update_ratio}}};

// clang-format off
const std::array kStepFigures{
    StepFigure{Metric::steps, "", count<&StepRecord::step>},
    StepFigure{Metric::samples, "", total<&RunTotals::samples>},
    StepFigure{Metric::loss, "", if_has<StepRecord::has_loss, &StepRecord::loss>},
    StepFigure{Metric::gradient_norm, "", if_has<StepRecord::has_gradient_norm, &StepRecord::gradient_norm>},
    StepFigure{Metric::parameter_norm, "", if_has<StepRecord::has_parameter_norm, &StepRecord::parameter_norm>},
    StepFigure{Metric::clip_ratio, "", if_has<StepRecord::has_clip_ratio, &StepRecord::clip_ratio>},
    StepFigure{Metric::step_duration, "phase", step_seconds, kPhaseNames.size(), [](std::size_t i) { return kPhaseNames[i]; }},
    StepFigure{Metric::last_step_duration, "phase", step_seconds, kPhaseNames.size(), [](std::size_t i) { return kPhaseNames[i]; }},
    StepFigure{Metric::micro_batches, "", total<&RunTotals::micro_batches>},
    StepFigure{Metric::examples, "", total<&RunTotals::examples>},
    StepFigure{Metric::step_flops, "", [](const StepRecord& r, std::size_t) { return r.multiply_accumulates > 0 ? 2.0 * static_cast<double>(r.multiply_accumulates) : kNone; }},
    StepFigure{Metric::nonfinite_values, "tensor", [](const StepRecord& r, std::size_t i) {
      const NonfiniteCounts& counts = r.totals.nonfinite_values[i];
      return static_cast<double>(counts.nan + counts.inf); }, kNonfiniteInNames.size(), [](std::size_t i) { return kNonfiniteInNames[i]; }},
    StepFigure{Metric::nonfinite_steps, "", total<&RunTotals::nonfinite_steps>},
    StepFigure{Metric::skipped_steps, "", total<&RunTotals::skipped_steps>},
    StepFigure{Metric::rollbacks, "", total<&RunTotals::rollbacks>},
    StepFigure{Metric::device_memory, "kind", [](const StepRecord& r, std::size_t i) {
      return i == 0 ? device<&StepRecord::device_allocated>(r, i) : i == 1 ? device<&StepRecord::device_reserved>(r, i) : device<&StepRecord::device_peak>(r, i);
    }, 3, [](std::size_t i) { return std::array<std::string_view, 3>{"allocated", "reserved", "peak"}[i]; }},
    StepFigure{Metric::allocation_retries, "", device<&StepRecord::device_retries>},
    StepFigure{Metric::out_of_memory, "", device<&StepRecord::device_out_of_memory>},
    StepFigure{Metric::overhead_seconds, "", [](const StepRecord& r, std::size_t) { return 1e-9 * static_cast<double>(r.totals.overhead_ns); }},
    StepFigure{Metric::overhead_ratio, "", [](const StepRecord& r, std::size_t) {
      return r.totals.loop_ns > 0 ? static_cast<double>(r.totals.loop_overhead_ns) / static_cast<double>(r.totals.loop_ns) : kNone; }},
    StepFigure{Metric::activation_layers_dropped, "", total<&RunTotals::layers_dropped>},
    StepFigure{Metric::hook_errors, "hook", [](const StepRecord& r, std::size_t i) { return static_cast<double>(r.totals.hook_errors[i]); }, kHookNames.size(), [](std::size_t i) { return kHookNames[i]; }},
};
// clang-format on

bool take_prefix(std::string_view& text, std::string_view prefix) noexcept {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

const Statistic* find_statistic(std::string_view name) noexcept {
  for (const Statistic& statistic : kStatistics) {
    if (statistic.name == name) return &statistic;
  }
  return nullptr;
}

std::optional<Figure> find_activation(std::string_view name) noexcept {
  Figure figure;
  for (const ActivationMetricRow& row : kActivationMetrics) {
    if (row.name != name) continue;
    figure.kind = Figure::Kind::activation_metric;
    figure.activation = &row;
    return figure;
  }
  for (const std::string_view known : kActivationStatistics) {
    if (known != name) continue;
    figure.kind = Figure::Kind::activation_statistic;
    figure.statistic = find_statistic(name);
    return figure;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Figure> find_figure(std::string_view metric) noexcept {
  Figure figure;
  for (const StepFigure& step : kStepFigures) {
    if (metric_row(step.metric).name != metric) continue;
    figure.step = &step;
    return figure;
  }
  for (const auto& [name, kind] : kNamedFigures) {
    if (name != metric) continue;
    figure.kind = kind;
    return figure;
  }
  std::string_view name = metric;
  if (!take_prefix(name, "vigil_")) return std::nullopt;
  if (name == metric_row(TensorMetric::optimizer_moment).name) {
    figure.kind = Figure::Kind::optimizer_moment;
    return figure;
  }
  if (std::string_view rest = name; take_prefix(rest, "activation_")) return find_activation(rest);
  for (std::size_t kind = 0; kind < kTensorKindNames.size(); ++kind) {
    std::string_view rest = name;
    if (!take_prefix(rest, kTensorKindNames[kind]) || !take_prefix(rest, "_")) continue;
    figure.tensor = static_cast<TensorKind>(kind);
    if ((figure.statistic = find_statistic(rest)) != nullptr) {
      figure.kind = Figure::Kind::statistic;
      return figure;
    }
    for (const TensorMetric one : {TensorMetric::update_ratio, TensorMetric::update_norm, TensorMetric::distance, TensorMetric::cosine}) {
      if (metric_row(one).name != rest || !is_of(metric_row(one), figure.tensor)) continue;
      figure.kind = Figure::Kind::tensor_metric;
      figure.metric = one;
      return figure;
    }
  }
  return std::nullopt;
}

std::string known_figures() {
  std::string text;
  for (const StepFigure& step : kStepFigures) text += std::string(metric_row(step.metric).name) + ", ";
  for (const auto& [name, kind] : kNamedFigures) text += std::string(name) + ", ";
  text += "vigil_" + std::string(metric_row(TensorMetric::optimizer_moment).name) + ", and ";
  for (const std::string_view kind : kTensorKindNames) text += "vigil_" + std::string(kind) + "_…, ";
  return text + "vigil_activation_… with a statistic, as in vigil_gradient_l2_norm";
}

double value_of(TensorMetric metric, const TensorRow& row) noexcept {
  switch (metric) {
    case TensorMetric::update_ratio: {
      const double norm = l2_norm(row.moments);
      return norm > 0 ? row.update_norm / norm : row.update_norm;  // 0 of 0 is 0
    }
    case TensorMetric::update_norm: return row.update_norm;
    case TensorMetric::distance: return row.distance;
    case TensorMetric::cosine: return row.cosine;
    case TensorMetric::optimizer_moment:
    case TensorMetric::format_overflow:
    case TensorMetric::format_underflow:
    case TensorMetric::format_subnormal:
    case TensorMetric::magnitude_bucket:
    case TensorMetric::magnitude:
    case TensorMetric::count: break;
  }
  return kNone;
}

}  // namespace vigil
