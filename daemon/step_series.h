// The series that a step record fills, and their values: the one place that says which of the metrics of /metrics are pushed by step.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vigil/daemon/sample_group.h"
#include "vigil/exporters/seconds.h"
#include "vigil/monitor/metric_table.h"
#include "vigil/monitor/records.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

using StepDurations = std::array<DurationHistogram, kPhaseNames.size()>;

/// One of them. Its texts are valid during the call that it is given to.
struct StepSeries {
  struct LabelView {
    std::string_view name, value;
  };
  Metric metric;
  std::array<LabelView, 2> labels{};  ///< beside run and rank; without a name: fewer
  std::string_view suffix{};          ///< of the metric's name: a series of a histogram
  SampleGroup::Absence absence = SampleGroup::Absence::keeps;
};

/// Calls `emit(const StepSeries&, std::optional<double>)` for every series that a step may have, with or without a value: for one schema
/// always for the same ones in the same order. What make_run_families says of a snapshot is said here of one record; of the histogram of
/// durations only sum and count, since the times themselves are among the series. `rates` are `schema.learning_rates` numbers.
template <class Emit>
void for_each_step_series(const Schema& schema, const StepRecord& record, const double* rates, const StepDurations& durations, Emit emit) {
  using Absence = SampleGroup::Absence;
  const auto only = [&emit](Metric metric, double value) { emit(StepSeries{metric}, std::optional(value)); };
  const auto labelled = [&emit](Metric metric, std::string_view label, std::string_view of, double value) {
    emit(StepSeries{metric, {{{label, of}, {}}}}, std::optional(value));
  };
  const auto count = [](std::uint64_t number) { return static_cast<double>(number); };
  const auto value_if = [](bool has, double value) { return has ? std::optional(value) : std::nullopt; };

  only(Metric::up, 1);
  only(Metric::steps, count(record.step));
  only(Metric::samples, count(record.totals.samples));
  only(Metric::last_step_timestamp, to_seconds(record.wall_time_ns));
  only(Metric::start_time, to_seconds(schema.identity.start_time_ns));

  emit(StepSeries{Metric::loss}, value_if(record.has(StepRecord::has_loss), record.loss));
  for (std::size_t i = 0; i < schema.learning_rates; ++i)
    labelled(Metric::learning_rate, "group", i < schema.groups.size() ? schema.groups[i] : std::to_string(i), rates[i]);
  emit(StepSeries{Metric::gradient_norm}, value_if(record.has(StepRecord::has_gradient_norm), record.gradient_norm));
  emit(StepSeries{Metric::parameter_norm, {}, {}, Absence::ends},
       value_if(record.has(StepRecord::has_parameter_norm), record.parameter_norm));
  emit(StepSeries{Metric::clip_ratio, {}, {}, Absence::ends}, value_if(record.has(StepRecord::has_clip_ratio), record.clip_ratio));
  for (std::size_t i = 0; i < kPhaseNames.size(); ++i) {
    const auto time = time_of(record, static_cast<Phase>(i));
    StepSeries series{Metric::last_step_duration, {{{"phase", kPhaseNames[i]}, {}}}, {}, Absence::ends};
    emit(series, value_if(time.has_value(), to_seconds(time.value_or(0))));
    series.metric = Metric::step_duration;
    series.absence = Absence::keeps;
    series.suffix = "_sum";
    emit(series, std::optional(durations[i].sum_seconds));
    series.suffix = "_count";
    emit(series, std::optional(count(durations[i].count)));
  }
  only(Metric::micro_batches, count(record.totals.micro_batches));
  only(Metric::examples, count(record.totals.examples));
  emit(StepSeries{Metric::step_flops}, value_if(record.multiply_accumulates > 0, 2 * count(record.multiply_accumulates)));

  for (std::size_t i = 0; i < kNonfiniteInNames.size(); ++i) {
    StepSeries series{Metric::nonfinite_values, {{{"tensor", kNonfiniteInNames[i]}, {"value", "nan"}}}};
    emit(series, std::optional(count(record.totals.nonfinite_values[i].nan)));
    series.labels[1].value = "inf";
    emit(series, std::optional(count(record.totals.nonfinite_values[i].inf)));
  }
  only(Metric::nonfinite_steps, count(record.totals.nonfinite_steps));
  labelled(Metric::skipped_steps, "reason", "nonfinite", count(record.totals.skipped_steps));
  only(Metric::rollbacks, count(record.totals.rollbacks));

  const auto of_device = [&](Metric metric, std::string_view kind, std::uint64_t number) {
    StepSeries series{metric, {}, {}, Absence::ends};
    if (!kind.empty()) series.labels[0] = {"kind", kind};
    emit(series, value_if(record.has(StepRecord::has_device_memory), count(number)));
  };
  of_device(Metric::device_memory, "allocated", record.device_allocated);
  of_device(Metric::device_memory, "reserved", record.device_reserved);
  of_device(Metric::device_memory, "peak", record.device_peak);
  of_device(Metric::allocation_retries, {}, record.device_retries);
  of_device(Metric::out_of_memory, {}, record.device_out_of_memory);
  only(Metric::overhead_seconds, to_seconds(record.totals.overhead_ns));
}

}  // namespace vigil
