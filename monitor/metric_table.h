// The contract: every metric that vigil exports, with type, unit, labels and help. Exposition, docs/metrics.md and tests follow
// these tables; per-tensor metrics are the statistics table (statistics.h) and kTensorMetrics times the kinds of tensors.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include "vigil/monitor/magnitude_histogram.h"
#include "vigil/monitor/number_format.h"
#include "vigil/monitor/records.h"

namespace vigil {

/// `untyped` (`unknown` in OpenMetrics) is a gauge with a label that linters reserve for histograms (`le`) or summaries (`quantile`).
enum class MetricType : unsigned char { gauge, counter, histogram, untyped };
inline constexpr std::array<std::string_view, 4> kMetricTypeNames{"gauge", "counter", "histogram", "untyped"};

/// One row of the contract. `name` is the whole name as Prometheus stores it (with `_total` for counters); `unit` is the
/// OpenMetrics unit that the name ends in, or empty; `labels` are the names beyond `run` and `rank`, comma-separated.
struct MetricRow {
  std::string_view name;
  MetricType type;
  std::string_view unit;
  std::string_view labels;
  std::string_view help;
};

enum class Metric : std::size_t {
  build_info,
  run_info,
  up,
  steps,
  samples,
  last_step_timestamp,
  start_time,
  run_state,
  run_end_info,
  loss,
  learning_rate,
  gradient_norm,
  parameter_norm,
  update_ratio,
  clip_ratio,
  step_duration,
  last_step_duration,
  micro_batches,
  examples,
  step_flops,
  flops_utilization,
  user_scalar,
  nonfinite_values,
  nonfinite_steps,
  skipped_steps,
  nonfinite_origin_info,
  rollbacks,
  device_memory,
  allocation_retries,
  out_of_memory,
  model_parameters,
  model_bytes,
  model_layers,
  model_sparsity,
  precision_advice,
  alert_active,
  alerts,
  alerts_dropped,
  overhead_seconds,
  overhead_ratio,
  ring_overwritten,
  ring_torn,
  series,
  series_dropped,
  activation_layers_dropped,
  exporter_errors,
  hook_errors,
  count
};

// clang-format off
inline constexpr std::array<MetricRow, static_cast<std::size_t>(Metric::count)> kMetrics{{
    {"vigil_build_info", MetricType::gauge, "", "version,compiler", "Always 1; which vigil this is."},
    {"vigil_run_info", MetricType::gauge, "", "model,libtorch,host,world_size,attempt,pid,model_fingerprint", "Always 1; who runs, to be joined on run and rank."},
    {"vigil_up", MetricType::gauge, "", "", "1 while the trainer runs, be it hung; 0 once it has finished, failed or crashed."},
    {"vigil_steps_total", MetricType::counter, "", "", "Training steps seen."},
    {"vigil_samples_total", MetricType::counter, "", "", "Steps whose tensors were sampled."},
    {"vigil_last_step_timestamp_seconds", MetricType::gauge, "seconds", "", "When the latest step ended, in seconds since the epoch; the start time before the first."},
    {"vigil_start_time_seconds", MetricType::gauge, "seconds", "", "When watching began, in seconds since the epoch."},
    {"vigil_run_state", MetricType::gauge, "", "state", "1 for the state the run is in, 0 for the others: starting, running, finished, failed, as it says itself; crashed, hung, unreadable, as vigild finds."},
    {"vigil_run_end_info", MetricType::gauge, "", "reason", "Always 1; how a run ended that did not finish, as vigild finds it: a signal, a call of exit(), or no word at all (SIGKILL, out of memory)."},
    {"vigil_loss", MetricType::gauge, "", "", "Loss of the latest step that had one; NaN when it was."},
    {"vigil_learning_rate", MetricType::gauge, "", "group", "Learning rate by the index of the optimizer's parameter group, with the name of the part in front where several are trained together."},
    {"vigil_gradient_norm", MetricType::gauge, "", "", "Euclidean norm over all gradients of the latest step on which all were looked at, before clipping; NaN or Inf when a gradient is."},
    {"vigil_parameter_norm", MetricType::gauge, "", "", "Euclidean norm over all parameters at the latest sample, also those that sampling.include leaves out; NaN or Inf when a parameter is; absent while one cannot be read."},
    {"vigil_update_ratio", MetricType::gauge, "ratio", "", "Euclidean norm of what the optimizer step before the latest sample changed in all parameters whose update is measured, over the norm of these; NaN when one of them is not finite; absent without one."},
    {"vigil_clip_ratio", MetricType::gauge, "ratio", "", "What clipping to the norm that the program told multiplies the latest step's gradients by; 1 when it does not clip, absent when none was told."},
    {"vigil_step_duration_seconds", MetricType::histogram, "seconds", "phase", "Time of a step by phase: data (where train_step or begin_step tells when it ends, else it is in forward_backward), forward_backward, optimizer, vigil (a part of the others), total."},
    {"vigil_last_step_duration_seconds", MetricType::gauge, "seconds", "phase", "Time of the latest step by those of the phases of vigil_step_duration_seconds that were measured in it."},
    {"vigil_micro_batches_total", MetricType::counter, "", "", "Backward passes whose gradients were accumulated into those of a later one."},
    {"vigil_examples_total", MetricType::counter, "", "", "Examples trained on, as the program tells their number, or by the first dimension of what the first layer was given on the latest observed step."},
    {"vigil_step_flops", MetricType::gauge, "", "", "Floating-point operations of the latest observed step, forward and backward: twice the multiply-accumulates of its matrix products, convolutions, recurrent layers and attention; absent until one was observed."},
    {"vigil_model_flops_utilization_ratio", MetricType::gauge, "ratio", "", "vigil_step_flops over the mean time of the latest 64 steps and over work.peak_gflops; absent unless that is set."},
    {"vigil_user_scalar", MetricType::gauge, "", "name", "Latest value of a scalar that the program logged itself."},
    {"vigil_nonfinite_values_total", MetricType::counter, "", "tensor,value", "NaN and Inf values seen in the loss and in gradients (every guarded step), in parameters and buffers (every sample) and in activations (every observed step)."},
    {"vigil_nonfinite_steps_total", MetricType::counter, "", "", "Steps whose loss or gradients were not finite."},
    {"vigil_skipped_steps_total", MetricType::counter, "", "reason", "Steps for which the guard's verdict was not to run the optimizer."},
    {"vigil_nonfinite_origin_info", MetricType::gauge, "", "layer,operation,parameter,step,found_by", "1 for where the first step of the latest streak of non-finite steps became so: by bracket the parameter nearest to the loss whose gradient was not finite, by replay or trace also the operation and its layer; absent until there is one."},
    {"vigil_rollbacks_total", MetricType::counter, "", "", "Times that the last good state was restored after a non-finite step."},
    {"vigil_device_memory_bytes", MetricType::gauge, "bytes", "kind", "Memory of the model's device at the latest sample, as libtorch's caching allocator counts it: allocated in tensors, reserved by the allocator, and the peak of what was allocated; absent for the CPU."},
    {"vigil_allocation_retries_total", MetricType::counter, "", "", "Times that libtorch's allocator gave its free blocks back to the device to get another one; absent for the CPU."},
    {"vigil_out_of_memory_total", MetricType::counter, "", "", "Allocations on the model's device that failed even so; absent for the CPU."},
    {"vigil_model_parameters", MetricType::gauge, "", "kind", "Elements of the model's tensors by kind: trainable, frozen, buffer. A shared tensor counts once."},
    {"vigil_model_bytes", MetricType::gauge, "bytes", "kind", "Bytes of the model's tensors by kind: trainable, frozen, buffer. A shared tensor counts once."},
    {"vigil_model_layers", MetricType::gauge, "", "", "Modules that own at least one parameter."},
    {"vigil_model_sparsity_ratio", MetricType::gauge, "ratio", "", "Share of the elements of all sampled parameters that are exactly zero at the latest sample, each element counting the same, NaN among them; a shared tensor counts once; absent without one."},
    {"vigil_precision_advice_tensors", MetricType::gauge, "", "tensor,format,verdict", "Tensors by what is advised of a number format for them at the latest sample (docs/models/precision.md): safe as they are, safe_scaled after a multiplication by a power of two, unsafe, out_of_sight where magnitudes are not counted so far down. Of those with magnitudes (sampling.histogram), and of layers' activations, of which overflow alone is known; absent for a kind without any, and verdicts that cannot be are."},
    {"vigil_alert_active", MetricType::gauge, "", "alert,severity,parameter,layer,subject", "1 for each alert of vigil's own rules (docs/alerts.md) that is firing; absent when it is not."},
    {"vigil_alerts_total", MetricType::counter, "", "alert,severity", "Times that a rule of vigil's own has begun to fire, of every rule that is on."},
    {"vigil_alerts_dropped_total", MetricType::counter, "", "", "Alerts that were not kept since rules.max_instances of their rule were firing, and messages about alerts that a receiver did not take before its queue was full."},
    {"vigil_overhead_seconds_total", MetricType::counter, "seconds", "", "Time the training thread has spent in vigil."},
    {"vigil_overhead_ratio", MetricType::gauge, "ratio", "", "Time the training thread has spent in vigil since the end of the first step, over the time since then."},
    {"vigil_ring_overwritten_total", MetricType::counter, "", "ring", "Records that were overwritten before the exporter read them, by ring (steps, frames)."},
    {"vigil_ring_torn_total", MetricType::counter, "", "ring", "Reads discarded because the slot changed meanwhile, by ring (steps, frames)."},
    {"vigil_series", MetricType::gauge, "", "", "Per-tensor series in this exposition."},
    {"vigil_series_dropped_total", MetricType::counter, "", "", "Per-tensor series that exporters.prometheus.max_series keeps out: folded into their layer, or left out."},
    {"vigil_activation_layers_dropped_total", MetricType::counter, "", "", "Layers with activations that sampling.max_activations has no room for."},
    {"vigil_exporter_errors_total", MetricType::counter, "", "exporter", "Failures of an exporter."},
    {"vigil_hook_errors_total", MetricType::counter, "", "hook", "Steps on which a hook failed in the training loop, or misuses of the loss, the optimizer, scalars and the sequence of calls; what fails ten times in a row is left out from then on."},
}};
// clang-format on

constexpr const MetricRow& metric_row(Metric metric) noexcept { return kMetrics[static_cast<std::size_t>(metric)]; }

/// What a Pushgateway keeps of a run that is over: names of their own, since a gateway never forgets, and rules over live runs are not to
/// fire over a result. Label `run` only.
enum class ResultMetric : std::size_t {
  info,
  state,
  loss,
  gradient_norm,
  user_scalar,
  steps,
  examples,
  duration,
  end_timestamp,
  nonfinite_values,
  nonfinite_steps,
  skipped_steps,
  rollbacks,
  count
};

// clang-format off
inline constexpr std::array<MetricRow, static_cast<std::size_t>(ResultMetric::count)> kResultMetrics{{
    {"vigil_result_info", MetricType::gauge, "", "model,libtorch,host,world_size,attempt", "Always 1; what ran."},
    {"vigil_result_state", MetricType::gauge, "", "state", "1 for how the run ended (finished, failed, crashed), 0 for the others."},
    {"vigil_result_loss", MetricType::gauge, "", "", "Loss of the last step that had one; NaN when it was."},
    {"vigil_result_gradient_norm", MetricType::gauge, "", "", "Euclidean norm over all gradients of the last step on which all were looked at; NaN or Inf when a gradient was."},
    {"vigil_result_user_scalar", MetricType::gauge, "", "name", "Last value of a scalar that the program logged itself."},
    {"vigil_result_steps", MetricType::gauge, "", "", "Training steps."},
    {"vigil_result_examples", MetricType::gauge, "", "", "Examples trained on; 0 when their number was never known."},
    {"vigil_result_duration_seconds", MetricType::gauge, "seconds", "", "From when watching began to the end of the run."},
    {"vigil_result_end_timestamp_seconds", MetricType::gauge, "seconds", "", "When the run ended, in seconds since the epoch."},
    {"vigil_result_nonfinite_values", MetricType::gauge, "", "tensor,value", "NaN and Inf values seen in the loss, in gradients, in parameters and buffers and in activations."},
    {"vigil_result_nonfinite_steps", MetricType::gauge, "", "", "Steps whose loss or gradients were not finite."},
    {"vigil_result_skipped_steps", MetricType::gauge, "", "reason", "Steps for which the guard's verdict was not to run the optimizer."},
    {"vigil_result_rollbacks", MetricType::gauge, "", "", "Times that the last good state was restored after a non-finite step."},
}};
// clang-format on

constexpr const MetricRow& metric_row(ResultMetric metric) noexcept { return kResultMetrics[static_cast<std::size_t>(metric)]; }

/// Quantiles of |x| that are exported of a tensor with a magnitude histogram.
inline constexpr std::array<double, 3> kMagnitudeQuantiles{0.01, 0.5, 0.99};

/// A per-tensor metric that only tensors with more than their Moments have: `vigil_<kind>_<name>`, or, with a whole name, `vigil_<name>`.
struct TensorMetricRow {
  std::string_view name;
  bool has_whole_name;
  bool of_parameters, of_gradients, of_buffers;
  MetricType type;
  std::string_view label;  ///< beyond run, rank, parameter and layer; or empty
  std::size_t series;      ///< of one tensor, at most
  std::string_view help;   ///< completes "<Tensor kind>: …", without a full stop
  std::string_view formula;
};

enum class TensorMetric : std::size_t {
  update_ratio,
  update_norm,
  distance,
  cosine,
  optimizer_moment,
  format_overflow,
  format_underflow,
  format_subnormal,
  magnitude_bucket,
  magnitude,
  count
};

/// The share that `metric`, one of the three of formats, tells of a tensor in `format`; empty where it is not known, and where it could not
/// be but 0: int8 has neither overflow nor subnormal numbers.
constexpr std::optional<double> share_of(TensorMetric metric, const NumberFormat& format, const FormatLoss& loss) noexcept {
  if (metric == TensorMetric::format_underflow) return loss.underflow;
  if (format.is_uniform) return std::nullopt;
  return metric == TensorMetric::format_overflow ? std::optional<double>(loss.overflow) : loss.subnormal;
}

/// Formats of which a tensor may have that share: bfloat16 goes further down than magnitudes are counted.
constexpr std::size_t formats_of(TensorMetric metric) noexcept {
  std::size_t formats = 0;
  for (const NumberFormat& format : kNumberFormats) {
    const bool is_told = metric == TensorMetric::format_overflow    ? !format.is_uniform
                         : metric == TensorMetric::format_underflow ? !format.is_below_counted
                                                                    : !format.is_uniform && !format.is_below_counted;
    formats += is_told ? 1 : 0;
  }
  return formats;
}

// clang-format off
inline constexpr std::array<TensorMetricRow, static_cast<std::size_t>(TensorMetric::count)> kTensorMetrics{{
    {"update_ratio", false, true, false, false, MetricType::gauge, "", 1,
     "Euclidean norm of what the optimizer step before the latest sample changed, over that of the parameter; 0 when both are 0, NaN when an element is not finite, absent when the change was not measured",
     "sqrt(sum((x - x')^2)) / sqrt(sum(x^2))"},
    {"update_norm", false, true, false, false, MetricType::gauge, "", 1,
     "Euclidean norm of what the optimizer step before the latest sample changed; NaN when an element is not finite, absent when it was not measured",
     "sqrt(sum((x - x')^2))"},
    {"distance", false, true, false, false, MetricType::gauge, "", 1,
     "Euclidean distance from what the parameter was at watch(); NaN when an element is not finite", "sqrt(sum((x - x0)^2))"},
    {"cosine", false, false, true, false, MetricType::gauge, "", 1,
     "cosine between the gradient and that of the sample before; absent where one of them is zero or not finite",
     "sum(x x') / (sqrt(sum(x^2)) sqrt(sum(x'^2)))"},
    {"optimizer_moment_norm", true, true, false, false, MetricType::gauge, "moment", RowSchema::kStateNorms,
     "Euclidean norm of what the optimizer keeps of the parameter, by the name that libtorch saves it under, before the step of the sample",
     "sqrt(sum(m^2))"},
    // Shares of the finite elements other than zero; what becomes of the others is the same in every format.
    {"format_overflow_ratio", false, true, true, true, MetricType::gauge, "format", formats_of(TensorMetric::format_overflow),
     "share of the finite elements other than zero that would become infinite in the format, or NaN in float8_e4m3; an upper bound where it is not 0",
     "count(|x| rounds above the largest) / count(x != 0)"},
    {"format_underflow_ratio", false, true, true, true, MetricType::gauge, "format", formats_of(TensorMetric::format_underflow),
     "share of the finite elements other than zero that would become 0 in the format; of int8, whose step is the largest magnitude / 127, interpolated within a power of two; absent where magnitudes are not counted so far",
     "count(x != 0 and x rounds to 0) / count(x != 0)"},
    {"format_subnormal_ratio", false, true, true, true, MetricType::gauge, "format", formats_of(TensorMetric::format_subnormal),
     "share of the finite elements other than zero that would be subnormal in the format, with fewer bits",
     "count(x rounds not to 0 and |x| <= smallest normal) / count(x != 0)"},
    // Zeros, the bounds of all buckets, and +Inf.
    {"magnitude_bucket", false, true, true, true, MetricType::untyped, "le", MagnitudeHistogram::kBuckets + 3,
     "finite elements in the latest sample whose magnitude is at most le, a power of two; 0 counts the zeros, +Inf all",
     "count(|x| <= le)"},
    {"magnitude", false, true, true, true, MetricType::untyped, "quantile", kMagnitudeQuantiles.size(),
     "quantile of the magnitudes of the finite elements, at most a factor of 2 off between 2^-28 and 2^4; NaN without a finite element",
     "|x| of rank ceil(quantile * n)"},
}};
// clang-format on

constexpr const TensorMetricRow& metric_row(TensorMetric metric) noexcept { return kTensorMetrics[static_cast<std::size_t>(metric)]; }

constexpr bool is_of(const TensorMetricRow& row, TensorKind kind) noexcept {
  return kind == TensorKind::parameter ? row.of_parameters : kind == TensorKind::gradient ? row.of_gradients : row.of_buffers;
}

/// Statistics (statistics.h) that layers' activations have: `vigil_activation_<name>`.
inline constexpr std::array<std::string_view, 7> kActivationStatistics{"mean",       "std",        "min",       "max",
                                                                       "zero_ratio", "nan_values", "inf_values"};

/// What only some activations have, likewise.
struct ActivationMetricRow {
  std::string_view name, help, formula;
  double ActivationRow::*value;
};
// clang-format off
inline constexpr std::array<ActivationMetricRow, 2> kActivationMetrics{{
    {"saturated_ratio", "share of the inputs of tanh or sigmoid where its derivative is 0 in float32", "count(x < -9.4999 or x > 9.4999) / N, of sigmoid x < -23 or x > 17", &ActivationRow::saturated_ratio},
    {"dead_ratio", "share of the units of a ReLU (channels, or features) that are 0 for all of the batch, where that is 8 values or more", "count(max over the batch(x) <= 0) / units", &ActivationRow::dead_ratio},
}};
// clang-format on

/// Of activations, where the exporter is told to export precision: `vigil_activation_<name>` by `format`.
inline constexpr TensorMetricRow kActivationOverflow{
    "format_overflow_ratio",
    false,
    false,
    false,
    false,
    MetricType::gauge,
    "format",
    formats_of(TensorMetric::format_overflow),
    "share of the finite elements other than zero that would become infinite in the format, or NaN in float8_e4m3: 0 where the largest "
    "does not, else the upper bound that follows from the sum of squares",
    "min(1, sum(x^2) / (count(x != 0) limit^2)), limit: the smallest magnitude that the format makes infinite"};

}  // namespace vigil
