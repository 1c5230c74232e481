// How Prometheus sees each rule of the catalogue (config/rule_table.h) from the metrics of the contract; prometheus_rules.h makes a file of
// it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "vigil/config/rule_table.h"

namespace vigil {

enum class PrometheusCoverage {
  expression,   ///< an expression over the metrics
  engine,       ///< the metrics do not tell it: taken from vigil_alert_active, so rules.enabled has to be true
  other_alert,  ///< an alert of deploy/prometheus/alerts.yml tells it
};

/// What an alert is about, beyond run and rank.
enum class PrometheusSubject { run, rank, group, parameter, layer, kind };

/// Texts may hold these, in addition to the names of the rule's parameters, each between percent signs: on (the labels of a rank), weights
/// (matches parameters other than biases), age (seconds since watching began), scalar (the validation's), series (the row's), rule,
/// least_values and least_deviation (SpikeDetector's).
struct PrometheusRuleRow {
  std::string_view rule;  ///< as in kRules, in the same order
  PrometheusCoverage coverage;
  PrometheusSubject subject;
  std::int64_t for_seconds;     ///< instead of for_steps, as Prometheus counts none; a longer for_ms goes first
  std::string_view expression;  ///< or the alert of alerts.yml
  std::string_view summary;     ///< a sentence
  std::string_view seen;        ///< what is seen, completes "Run r, rank 0: "
  std::string_view note;        ///< where it differs from the rule in vigil, and why
  std::string_view series = {};
};

/// A series that rules need; evaluated in this order, before the alerts.
struct PrometheusRecordRow {
  std::string_view name, expression;
  std::string_view rule = {};  ///< whose parameters it holds
  std::string_view series = {};
};

namespace prometheus_expressions {
// Medians, and the spread of logarithms as quartiles tell it: a normal distribution has them 1.349 deviations apart.
inline constexpr std::string_view kLevel =
    "quantile_over_time(0.5, (%series% > -Inf < Inf)[5m:5s])\n"
    "and count_over_time((%series% > -Inf < Inf)[5m:5s]) >= %least_values%\n"
    "and %on% %age% > 300";
inline constexpr std::string_view kDeviation =
    "clamp_min(\n"
    "  (ln(quantile_over_time(0.75, (%series% < Inf)[5m:5s])) - ln(quantile_over_time(0.25, (%series% < Inf)[5m:5s]))) / 1.349,\n"
    "  %least_deviation%\n"
    ")";
inline constexpr std::string_view kSpike =
    "(max_over_time(%series%[1m]) < Inf) > %ratio% * (rank:%series%:median5m offset 1m)\n"
    "and\n"
    "ln(max_over_time(%series%[1m]))\n"
    "  > ln(rank:%series%:median5m offset 1m) + %deviations% * (rank:%series%:deviation5m offset 1m)\n"
    "and %on% %age% > 360";
inline constexpr std::string_view kSpikeNote =
    "Of the scraped steps only, against 5 minutes of them instead of 128 steps; from the seventh minute on; positive values only.";
// What rules of the validation read; further records keep its lowest and latest value from one evaluation to the next.
inline constexpr std::string_view kValidation = "rank:vigil_user_scalar:validation";
}  // namespace prometheus_expressions

// clang-format off
inline constexpr std::array<PrometheusRecordRow, 24> kPrometheusRecords{{
    {"rank:vigil_start_time_seconds:age", "time() - last_over_time(vigil_start_time_seconds[5m])"},
    {"rank:vigil_loss:median5m", prometheus_expressions::kLevel, {}, "vigil_loss"},
    {"rank:vigil_loss:deviation5m", prometheus_expressions::kDeviation, {}, "vigil_loss"},
    {"rank:vigil_gradient_norm:median5m", prometheus_expressions::kLevel, {}, "vigil_gradient_norm"},
    {"rank:vigil_gradient_norm:deviation5m", prometheus_expressions::kDeviation, {}, "vigil_gradient_norm"},
    {"rank:vigil_update_ratio:median5m", prometheus_expressions::kLevel, {}, "vigil_update_ratio"},
    {"rank:vigil_update_ratio:deviation5m", prometheus_expressions::kDeviation, {}, "vigil_update_ratio"},
    {"rank:vigil_loss:first", R"((last_over_time(rank:vigil_loss:first[1m]) and %on% %age% > 60)
or
((vigil_loss > -Inf < Inf) and %on% last_over_time(vigil_steps_total[1m]) <= %after_steps% / 20))", "loss_not_decreasing"},
    {"rank:vigil_loss:best_step", R"(last_over_time(vigil_steps_total[1m])
  and rank:vigil_loss:median5m
    <= last_over_time(rank:vigil_loss:lowest[1m]) - %decrease% * abs(last_over_time(rank:vigil_loss:lowest[1m]))
or
(last_over_time(rank:vigil_loss:best_step[1m]) and %on% %age% > 300)
or
(last_over_time(vigil_steps_total[1m]) and rank:vigil_loss:median5m))", "loss_plateau"},
    {"rank:vigil_loss:lowest", R"(rank:vigil_loss:median5m
  <= last_over_time(rank:vigil_loss:lowest[1m]) - %decrease% * abs(last_over_time(rank:vigil_loss:lowest[1m]))
or
(last_over_time(rank:vigil_loss:lowest[1m]) and %on% %age% > 300)
or
rank:vigil_loss:median5m)", "loss_plateau"},
    {"rank:vigil_user_scalar:validation", "max without (name) (vigil_user_scalar{name=%scalar%} > -Inf < Inf)"},
    {"rank:vigil_user_scalar:stale", R"(0 * (
  %series% < last_over_time(rank:vigil_user_scalar:lowest[1m]) - %delta% * abs(last_over_time(rank:vigil_user_scalar:lowest[1m]))
)
or
(
  last_over_time(rank:vigil_user_scalar:stale[1m]) + 1
  and %series% != last_over_time(rank:vigil_user_scalar:latest[1m])
  and %on% %age% > 60
)
or
(last_over_time(rank:vigil_user_scalar:stale[1m]) and %on% %age% > 60)
or
0 * %series%)", "overtraining", prometheus_expressions::kValidation},
    {"rank:vigil_user_scalar:risen", R"((
  last_over_time(rank:vigil_user_scalar:risen[1m]) + 1
  and %series% != last_over_time(rank:vigil_user_scalar:latest[1m])
  and %series% > last_over_time(rank:vigil_user_scalar:lowest[1m]) + %rise% * abs(last_over_time(rank:vigil_user_scalar:lowest[1m]))
  and %series% > rank:vigil_loss:median5m + %gap% * abs(rank:vigil_loss:median5m)
)
or
(
  last_over_time(rank:vigil_user_scalar:risen[1m])
  unless %series% != last_over_time(rank:vigil_user_scalar:latest[1m])
  and %on% %age% > 60
)
or
0 * %series%)", "overfit", prometheus_expressions::kValidation},
    {"rank:vigil_user_scalar:lowest", R"((last_over_time(rank:vigil_user_scalar:lowest[1m]) and %on% %age% > 60) < %series%
or
%series%
or
(last_over_time(rank:vigil_user_scalar:lowest[1m]) and %on% %age% > 60))", {}, prometheus_expressions::kValidation},
    {"rank:vigil_user_scalar:latest", R"(%series%
or
(last_over_time(rank:vigil_user_scalar:latest[1m]) and %on% %age% > 60))", {}, prometheus_expressions::kValidation},
    {"parameter:vigil_parameter_l2_norm:first", R"((last_over_time(parameter:vigil_parameter_l2_norm:first[1m]) and %on% %age% > 60)
or
((vigil_parameter_l2_norm{%weights%} > 0 < Inf) and %on% %age% <= 60))"},
    {"group:vigil_learning_rate:highest", R"((last_over_time(group:vigil_learning_rate:highest[1m]) and %on% %age% > 60) > vigil_learning_rate
or
(vigil_learning_rate > -Inf < Inf)
or
(last_over_time(group:vigil_learning_rate:highest[1m]) and %on% %age% > 60))"},
    {"rank:vigil_step_duration_seconds:median5m", R"(histogram_quantile(0.5, sum without (phase) (rate(vigil_step_duration_seconds_bucket{phase="total"}[5m]))) < Inf
and %on% %age% > 300)"},
    {"rank:vigil_step_duration_seconds:shortest", R"((last_over_time(rank:vigil_step_duration_seconds:shortest[1m]) and %on% %age% > 300)
  < rank:vigil_step_duration_seconds:median5m
or
rank:vigil_step_duration_seconds:median5m
or
(last_over_time(rank:vigil_step_duration_seconds:shortest[1m]) and %on% %age% > 300))"},
    {"rank:vigil_step_duration_seconds:mean2m", R"(sum without (phase) (rate(vigil_step_duration_seconds_sum{phase="total"}[2m]))
/ sum without (phase) (rate(vigil_step_duration_seconds_count{phase="total"}[2m])))"},
    {"rank:vigil_step_duration_seconds:outside2m", R"((
  sum without (phase) (rate(vigil_step_duration_seconds_sum{phase="total"}[2m]))
  - sum without (phase) (rate(vigil_step_duration_seconds_sum{phase="forward_backward"}[2m]))
)
/ sum without (phase) (rate(vigil_step_duration_seconds_count{phase="total"}[2m])))"},
    // The memory of a process is that of every rank in it.
    {"rank:memory_bytes:used", R"(label_replace(
  0 * last_over_time(vigil_up[1m]) + on (job, instance) group_left () process_resident_memory_bytes,
  "kind", "resident", "", ""
)
or
vigil_device_memory_bytes{kind="allocated"})"},
    // Norms of the same sample only, so its number becomes a label for the time of the comparison.
    {"run:vigil_parameter_norm:difference", R"(max by (job, run) (
  (max by (job, run, samples) (%series%) / min by (job, run, samples) (%series%) - 1)
  and
  count by (job, run, samples) (%series%) > 1
)
unless on (job, run) count by (job, run, rank) (vigil_up) > 1
and on (job, run)
  max by (job, run) (vigil_model_parameters{kind="trainable"}) == min by (job, run) (vigil_model_parameters{kind="trainable"}))", {},
     R"(vigil_parameter_norm * %on% group_left (samples) count_values by (job, instance, run, rank) ("samples", vigil_samples_total))"},
    {"run:vigil_step_duration_seconds:outside2m", "quantile by (job, run) (0.5, rank:vigil_step_duration_seconds:outside2m)"},
}};

inline constexpr std::array<PrometheusRuleRow, kRules.size()> kPrometheusRules{{
    {"nonfinite_gradient", PrometheusCoverage::other_alert, PrometheusSubject::rank, 0, "VigilNonfiniteGradient", {}, {}, {}},
    {"nonfinite_loss", PrometheusCoverage::other_alert, PrometheusSubject::rank, 0, "VigilNonfiniteLoss", {}, {}, {}},
    {"nonfinite_parameter", PrometheusCoverage::other_alert, PrometheusSubject::rank, 0, "VigilNonfiniteParameter", {}, {}, {}},
    {"nonfinite_activation", PrometheusCoverage::expression, PrometheusSubject::layer, 0, R"(last_over_time(vigil_activation_nan_values[5m]) > 0
or
last_over_time(vigil_activation_inf_values{layer!~".*/.*"}[5m]) > 0)",
     "The output of a layer holds NaN or Inf.", "{{ humanize $value }} values of the output of {{ $labels.layer }} are NaN or infinite",
     "Infinite values count in layers with parameters only: the names of other operators have a slash."},
    {"vanishing_gradient", PrometheusCoverage::expression, PrometheusSubject::parameter, 120, R"(last_over_time(vigil_gradient_l1_norm{%weights%}[1m])
  * (last_over_time(vigil_gradient_std{%weights%}[1m]) ^ 2 + last_over_time(vigil_gradient_mean{%weights%}[1m]) ^ 2)
  / last_over_time(vigil_gradient_l2_norm{%weights%}[1m]) ^ 2
  < %mean_abs%
and (last_over_time(vigil_gradient_std{%weights%}[1m]) ^ 2 + last_over_time(vigil_gradient_mean{%weights%}[1m]) ^ 2)
  < %on% group_left () (%share% ^ 2 * max by (job, instance, run, rank) (last_over_time(vigil_gradient_std[1m]) ^ 2 + last_over_time(vigil_gradient_mean[1m]) ^ 2))
and %on% last_over_time(vigil_up[1m]) == 1)",
     "The gradient of a parameter has vanished.", "the mean magnitude of the gradient of {{ $labels.parameter }} is {{ humanize $value }}, below %mean_abs%",
     "The number of elements is no metric, but follows from the others: sum(x^2) / (std^2 + mean^2); a gradient that is all zero makes NaN. The share is one of root mean squares."},
    {"exploding_gradient", PrometheusCoverage::other_alert, PrometheusSubject::rank, 0, "VigilExplodingGradient", {}, {}, {}},
    {"gradient_spike", PrometheusCoverage::expression, PrometheusSubject::rank, 0, prometheus_expressions::kSpike,
     "The gradient norm has spiked.", "the gradient norm spiked to {{ humanize $value }}, above %ratio% times and %deviations% deviations over its median", prometheus_expressions::kSpikeNote, "vigil_gradient_norm"},
    {"loss_spike", PrometheusCoverage::expression, PrometheusSubject::rank, 0, prometheus_expressions::kSpike,
     "The loss has spiked.", "the loss spiked to {{ humanize $value }}, above %ratio% times and %deviations% deviations over its median", prometheus_expressions::kSpikeNote, "vigil_loss"},
    {"loss_not_decreasing", PrometheusCoverage::expression, PrometheusSubject::rank, 300, R"(rank:vigil_loss:median5m > rank:vigil_loss:first - %decrease% * abs(rank:vigil_loss:first)
and %on% last_over_time(vigil_steps_total[1m]) >= %after_steps%
and %on% last_over_time(vigil_run_info{attempt="0"}[1m]))",
     "The loss does not decrease.", "the loss is {{ humanize $value }} (median of 5 minutes) after %after_steps% steps or more, not below its first level by %decrease% of it",
     "The first level is the loss of a scrape in the first twentieth of after_steps; a run that is too fast for one is not judged."},
    {"loss_plateau", PrometheusCoverage::expression, PrometheusSubject::rank, 0, "last_over_time(vigil_steps_total[1m]) - rank:vigil_loss:best_step >= %patience_steps%",
     "The loss has stopped falling.", "the loss has not fallen by %decrease% of it for {{ humanize $value }} steps",
     "Medians of 5 minutes instead of 128 steps."},
    {"overfit", PrometheusCoverage::expression, PrometheusSubject::rank, 0, "rank:vigil_user_scalar:risen >= %patience%",
     "The model overfits.", "in {{ $value }} validations in a row the loss was above its best by %rise% of it and above the training loss by %gap% of that",
     "Of validations less than 15 s apart, one is seen; the training loss is the median of 5 minutes."},
    {"overtraining", PrometheusCoverage::expression, PrometheusSubject::rank, 0, "rank:vigil_user_scalar:stale >= %patience%",
     "The validation loss has stopped falling.", "{{ $value }} validations have brought no better loss", "Of validations less than 15 s apart, one is seen."},
    {"update_ratio", PrometheusCoverage::expression, PrometheusSubject::parameter, 60, R"(min_over_time(vigil_parameter_update_ratio{%weights%}[1m]) > %max%
or
(max_over_time(vigil_parameter_update_ratio{%weights%}[1m]) > 0) < %min%)",
     "A parameter changes too much or too little.", "one step changes {{ $labels.parameter }} by {{ humanize $value }} of its norm", {}},
    {"update_spike", PrometheusCoverage::expression, PrometheusSubject::rank, 0, prometheus_expressions::kSpike,
     "The updates have spiked.", "the norm of all updates over that of the parameters spiked to {{ humanize $value }}, above %ratio% times and %deviations% deviations over its median",
     "The norm of the updates is over that of the parameters here. Of the scraped samples only, against 5 minutes of them; from the seventh minute on.", "vigil_update_ratio"},
    {"unchanged_tensor", PrometheusCoverage::expression, PrometheusSubject::parameter, 60, R"(changes(vigil_parameter_l1_norm{%weights%}[5m]) + changes(vigil_parameter_l2_norm{%weights%}[5m]) == 0
and %on% increase(vigil_samples_total[5m]) >= %samples%
and min_over_time(vigil_gradient_l1_norm{%weights%}[5m]) > 0
and %on% max without (group) (min_over_time(vigil_learning_rate[5m])) > 0
unless %on% sum without (reason) (increase(vigil_skipped_steps_total[5m])) > 0
and %on% %age% > 300)",
     "A parameter does not change.", "{{ $labels.parameter }} has been the same for 5 minutes, though it has a gradient", "Told by its norms."},
    {"zero_tensor", PrometheusCoverage::expression, PrometheusSubject::parameter, 60, "min_over_time(vigil_parameter_zero_ratio{%weights%}[1m]) >= %share%",
     "A parameter is zero.", "{{ humanizePercentage $value }} of {{ $labels.parameter }} is zero", {}},
    {"zero_gradient", PrometheusCoverage::expression, PrometheusSubject::parameter, 60, "min_over_time(vigil_gradient_zero_ratio{%weights%}[1m]) >= %share%",
     "A gradient is zero.", "{{ humanizePercentage $value }} of the gradient of {{ $labels.parameter }} is zero", {}},
    {"dead_units", PrometheusCoverage::expression, PrometheusSubject::layer, 60, "min_over_time(vigil_activation_dead_ratio[2m]) > %share%",
     "Units of a layer are dead.", "{{ humanizePercentage $value }} of the units of {{ $labels.layer }} are 0 for all of the batch", "3 minutes instead of observations in a row."},
    {"saturated_activation", PrometheusCoverage::expression, PrometheusSubject::layer, 60, "min_over_time(vigil_activation_saturated_ratio[2m]) > %share%",
     "A layer is saturated.", "{{ humanizePercentage $value }} of the inputs of {{ $labels.layer }} lie where its derivative is 0", "3 minutes instead of observations in a row."},
    {"poor_initialisation", PrometheusCoverage::engine, PrometheusSubject::rank, 0, {}, "The model is poorly initialised.",
     "weights begin as a constant, or the outputs of layers differ widely{{ with $labels.parameter }}; parameter {{ . }}{{ end }}{{ with $labels.layer }}; layer {{ . }}{{ end }}",
     "Only the first sample tells it, which is gone before the first scrape; and shapes are no metric."},
    {"tensor_variance", PrometheusCoverage::expression, PrometheusSubject::parameter, 60, R"(min_over_time(vigil_parameter_std{%weights%}[1m]) ^ 2 > %max%
or
max_over_time(vigil_parameter_std{%weights%}[1m]) ^ 2 < %min%)",
     "The variance of a parameter is out of bounds.", "the variance of {{ $labels.parameter }} is {{ humanize $value }}", {}},
    {"norm_drift", PrometheusCoverage::expression, PrometheusSubject::parameter, 120, R"(last_over_time(vigil_parameter_l2_norm{%weights%}[1m]) / parameter:vigil_parameter_l2_norm:first > %ratio%
or
parameter:vigil_parameter_l2_norm:first / (last_over_time(vigil_parameter_l2_norm{%weights%}[1m]) > 0) > %ratio%)",
     "The norm of a parameter drifts.", "the norm of {{ $labels.parameter }} has grown or shrunk by a factor of {{ humanize $value }}",
     "Since the end of the attempt's first minute; what Prometheus saw later only is not judged."},
    {"learning_rate_zero", PrometheusCoverage::expression, PrometheusSubject::rank, 120, R"(max without (group) (max_over_time(vigil_learning_rate[1m])) == 0
and %on% last_over_time(vigil_up[1m]) == 1)",
     "The learning rate is 0.", "every learning rate is 0", {}},
    {"learning_rate_jump", PrometheusCoverage::expression, PrometheusSubject::group, 0, R"((max_over_time(vigil_learning_rate[1m]) < Inf) > %ratio% * (group:vigil_learning_rate:highest offset 1m > 0)
and %on% %age% > 600)",
     "A learning rate has jumped.", "the learning rate of group {{ $labels.group }} is {{ humanize $value }}, above %ratio% times its highest until a minute ago",
     "Scrapes cannot tell a jump from a fast warm-up, so from the eleventh minute on."},
    {"learning_rate_nonfinite", PrometheusCoverage::expression, PrometheusSubject::group, 0, "last_over_time(vigil_learning_rate[1m]) unless (last_over_time(vigil_learning_rate[1m]) >= 0 and last_over_time(vigil_learning_rate[1m]) < Inf)",
     "A learning rate is NaN or infinite.", "the learning rate of group {{ $labels.group }} is {{ $value }}", {}},
    {"step_time_outlier", PrometheusCoverage::expression, PrometheusSubject::rank, 0, R"(histogram_quantile(1, sum without (phase) (rate(vigil_step_duration_seconds_bucket{phase="total"}[1m])))
  > 3 * %ratio% * (rank:vigil_step_duration_seconds:median5m offset 1m) > %min_seconds%
and %on% %age% > 360)",
     "A step took unusually long.", "a step took up to {{ humanizeDuration $value }}, above %ratio% times the median",
     "By buckets of the histogram, of which the widest is a factor of 3, and ends at 60 s; from the seventh minute on; deviations are not known."},
    {"throughput_drop", PrometheusCoverage::expression, PrometheusSubject::rank, 120, "rank:vigil_step_duration_seconds:median5m > %ratio% * rank:vigil_step_duration_seconds:shortest",
     "Training has become slow.", "a step takes {{ humanizeDuration $value }} (median of 5 minutes), above %ratio% times what it has taken",
     "By buckets of the histogram, interpolated; steps longer than 60 s are all alike."},
    {"input_starvation", PrometheusCoverage::expression, PrometheusSubject::rank, 60, R"(sum without (phase) (rate(vigil_step_duration_seconds_sum{phase="data"}[2m]))
/ sum without (phase) (rate(vigil_step_duration_seconds_sum{phase="total"}[2m]))
> %share%)",
     "Training waits for data.", "{{ humanizePercentage $value }} of the time of 2 minutes was spent on loading data", {}},
    {"memory_growth", PrometheusCoverage::expression, PrometheusSubject::kind, 0, R"((rank:memory_bytes:used - rank:memory_bytes:used offset 14m) > %min_bytes%
and rank:memory_bytes:used - rank:memory_bytes:used offset 14m > %share% * (rank:memory_bytes:used offset 14m)
and resets(rank:memory_bytes:used[16m:2m]) == 0
and changes(rank:memory_bytes:used[16m:2m]) >= 7
and %on% %age% > 960)",
     "Memory keeps growing.", "{{ $labels.kind }} memory has grown by {{ humanize1024 $value }}B in 14 minutes, without a pause", "8 readings 2 minutes apart."},
    {"stalled", PrometheusCoverage::other_alert, PrometheusSubject::rank, 0, "VigilStalled", {}, {}, "It waits for 10 minutes, as it has to outlast failed scrapes."},
    {"number_format_overflow", PrometheusCoverage::engine, PrometheusSubject::parameter, 0, {}, "A tensor is about to overflow its number format.",
     "an element of {{ $labels.parameter }} or of its gradient is near the end of what its type can hold", "The type of a tensor is no metric."},
    {"frozen_parameter", PrometheusCoverage::expression, PrometheusSubject::parameter, 120, R"(max_over_time(vigil_parameter_l2_norm[1m])
unless on (job, instance, run, rank, parameter) max_over_time(vigil_gradient_l2_norm[5m])
and %on% count without (parameter, layer) (vigil_gradient_l2_norm)
and %on% increase(vigil_samples_total[5m]) >= %samples%
and %on% vigil_model_parameters{kind="frozen"} == 0
unless %on% vigil_series_dropped_total > 0)",
     "A parameter has no gradient.", "{{ $labels.parameter }} has had no gradient for 5 minutes, though it is to be trained",
     "Which parameters are frozen on purpose is no metric, so in models without such only; nor where max_series leaves series out."},
    {"disk_full", PrometheusCoverage::engine, PrometheusSubject::rank, 0, {}, "The disk of the checkpoints is nearly full.",
     "less than %min_bytes% bytes are free where the checkpoints lie", "Free space is no metric of vigil; where node_exporter runs, node_filesystem_avail_bytes is."},
    {"rank_divergence", PrometheusCoverage::expression, PrometheusSubject::run, 0, R"(min_over_time(run:vigil_parameter_norm:difference[5m]) > %difference%
and count_over_time(run:vigil_parameter_norm:difference[5m]) >= 3)",
     "The ranks train different models.", "the parameter norms of two ranks differ by {{ humanizePercentage $value }} in the same sample",
     "Only while scrapes meet two ranks at the same sample, and all of them within 5 minutes differ. Ranks that hold different shards of a model are not meant: switch it off there."},
    {"straggler_rank", PrometheusCoverage::expression, PrometheusSubject::rank, 120, R"(rank:vigil_step_duration_seconds:outside2m
  > on (job, run) group_left () run:vigil_step_duration_seconds:outside2m / %ratio%
unless on (job, run) count by (job, run, rank) (rank:vigil_step_duration_seconds:outside2m) > 1
and rank:vigil_step_duration_seconds:outside2m > 0.1 * rank:vigil_step_duration_seconds:mean2m)",
     "A rank is slower than the others.", "outside of forward and backward a step takes {{ humanizeDuration $value }}, much longer than on the median rank",
     "Means of 2 minutes; only where that is a tenth of the step, below which it costs nothing."},
}};
// clang-format on

}  // namespace vigil
