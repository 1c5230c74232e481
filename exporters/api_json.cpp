#include "vigil/exporters/api_json.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "vigil/exporters/json_text.h"
#include "vigil/exporters/seconds.h"
#include "vigil/monitor/number_format.h"
#include "vigil/monitor/statistics.h"
#include "vigil/monitor/update_ratio.h"

namespace vigil {
namespace {

// An object that is written member by member.
template <class Write>
void append_object(std::string& out, Write write) {
  out += '{';
  write(out);
  out += '}';
}

void append_time(std::string& out, std::string_view key, std::int64_t nanoseconds) {
  if (nanoseconds != 0) append_member(out, key, to_seconds(nanoseconds));
}

void append_identity(std::string& out, const RunIdentity& who) {
  append_member(out, "model", who.model);
  if (!who.model_fingerprint.empty()) append_member(out, "model_fingerprint", who.model_fingerprint);
  append_member(out, "libtorch", who.libtorch);
  append_member(out, "host", who.host);
  append_member(out, "world_size", who.world_size);
  append_member(out, "pid", who.pid);
  append_time(out, "start_time", who.start_time_ns);
}

void append_attempt(std::string& out, const HistoryAttempt& attempt) {
  append_object(out, [&](std::string& to) {
    append_member(to, "attempt", attempt.attempt);
    append_member(to, "state", attempt.state);
    if (!attempt.reason.empty()) append_member(to, "reason", attempt.reason);
    append_identity(to, attempt.identity);
    append_time(to, "end_time", attempt.ended_ns);
    append_member(to, "steps", attempt.steps);
    append_member(to, "first_step", attempt.first_step);
    append_member(to, "last_step", attempt.last_step);
    append_time(to, "first_time", attempt.first_time_ns);
    append_time(to, "last_time", attempt.last_time_ns);
  });
}

// A run as the host has it now.
void append_now(std::string& out, const Snapshot& snapshot) {
  append_member(out, "state", kRunStateNames[static_cast<std::size_t>(snapshot.state)]);
  if (!snapshot.end_reason.empty()) append_member(out, "reason", snapshot.end_reason);
  append_member(out, "step", snapshot.step.step);
  if (snapshot.has_step) append_time(out, "time", snapshot.step.wall_time_ns);
  if (snapshot.loss) append_member(out, "loss", *snapshot.loss);
  if (snapshot.gradient_norm) append_member(out, "gradient_norm", *snapshot.gradient_norm);
  if (snapshot.mean_step_seconds > 0) append_member(out, "step_seconds", snapshot.mean_step_seconds);
  append_member(out, "nonfinite_steps", snapshot.step.totals.nonfinite_steps);
  append_list(out, "alerts", snapshot.active_alerts, [](std::string& to, const AlertNotice& alert) {
    append_object(to, [&](std::string& object) {
      append_member(object, "alert", alert.alert);
      append_member(object, "severity", alert.severity);
      if (!alert.parameter.empty()) append_member(object, "parameter", alert.parameter);
      if (!alert.layer.empty()) append_member(object, "layer", alert.layer);
      if (!alert.subject.empty()) append_member(object, "subject", alert.subject);
      append_member(object, "sentence", alert.sentence);
      append_member(object, "since_step", alert.since_step);
    });
  });
}

const Snapshot* find(const std::vector<ExposedRun>& now, const std::string& run, int rank) {
  for (const ExposedRun& one : now) {
    const RunIdentity& who = one.snapshot->schema->identity;
    if (who.run == run && who.rank == rank) return one.snapshot.get();
  }
  return nullptr;
}

void append_points(std::string& out, const std::vector<SeriesPoint>& points) {
  append_list(out, "steps", points, [](std::string& to, const SeriesPoint& point) { append(to, point.step); });
  append_list(out, "times", points, [](std::string& to, const SeriesPoint& point) { append(to, to_seconds(point.time_ns)); });
  append_list(out, "values", points, [](std::string& to, const SeriesPoint& point) { append(to, point.value); });
  if (std::any_of(points.begin(), points.end(), [](const SeriesPoint& point) { return point.nonfinite > 0; }))
    append_list(out, "nonfinite", points, [](std::string& to, const SeriesPoint& point) { append(to, point.nonfinite); });
}

// Shares of its elements that a smaller number format would not hold, and what is advised.
void append_precision(std::string& out, const MagnitudeHistogram& histogram, const Moments& moments, DType type) {
  if (finite_count(moments) == 0) return;
  out += ",\"precision\":{";
  const PrecisionAdvice advice = advise(histogram, moments, kDTypeNames[static_cast<std::size_t>(type)]);
  for (std::size_t i = 0; i < advice.size(); ++i) {
    const FormatLoss& loss = advice[i].loss;
    if (i > 0) out += ',';
    out += to_json(kNumberFormats[i].name) + ":{";
    append_member(out, "overflow", loss.overflow);
    if (loss.subnormal) append_member(out, "subnormal", *loss.subnormal);
    if (loss.underflow) append_member(out, "underflow", *loss.underflow);
    append_member(out, "verdict", kFormatVerdictNames[static_cast<std::size_t>(advice[i].verdict)]);
    if (advice[i].verdict == FormatVerdict::safe_scaled) append_member(out, "scale", advice[i].scale);
    out += '}';
  }
  out += '}';
}

// Of a layer's activations, whose magnitudes are not counted.
void append_precision(std::string& out, const Moments& moments) {
  if (finite_count(moments) == 0) return;
  out += ",\"precision\":{";
  for (const NumberFormat& format : kNumberFormats) {
    if (format.is_uniform) continue;
    if (out.back() != '{') out += ',';
    out += to_json(format.name) + ":{";
    append_member(out, "overflow", overflow_bound(format, moments));
    out += '}';
  }
  out += '}';
}

// `histogram` is null where magnitudes are not counted.
void append_tensor_row(std::string& out, const RowSchema& schema, const TensorRow& row, const MagnitudeHistogram* histogram) {
  append_member(out, "kind", kTensorKindNames[static_cast<std::size_t>(schema.kind)]);
  append_member(out, "tensor", schema.name);
  append_member(out, "layer", schema.layer);
  append_member(out, "shape", schema.shape);
  append_member(out, "dtype", kDTypeNames[static_cast<std::size_t>(schema.dtype)]);
  append_member(out, "elements", schema.element_count);
  if (row.state != TensorRow::present) {
    static constexpr std::array<std::string_view, 4> kStates{"absent", "present", "unreadable", "frozen"};
    append_member(out, "missing", kStates[std::min<std::size_t>(row.state, kStates.size() - 1)]);
    return;
  }
  append_member(out, "count", row.moments.count);
  for (const Statistic& statistic : kStatistics) append_member(out, statistic.name, statistic.value(row.moments));
  const auto append_if = [&out](std::string_view key, const std::optional<double>& value) {
    if (value) append_member(out, key, *value);
  };
  if (schema.has_update) {
    append_if("update_norm", norm_of_change(row, row.update_norm));
    append_if("update_ratio", update_ratio(schema, row));
  }
  if (schema.has_distance) append_if("distance", norm_of_change(row, row.distance));
  if (schema.has_cosine) append_if("cosine", norm_of_change(row, row.cosine));
  for (std::size_t i = 0; i < schema.optimizer_state.size(); ++i) {
    if (!row.has_state(i)) continue;
    out += ',' + to_json(schema.optimizer_state[i] + "_norm") + ':';  // a name from a ring file may hold anything
    append(out, row.state_norms[i]);
  }
  if (histogram != nullptr) append_precision(out, *histogram, row.moments, schema.dtype);
}

}  // namespace

std::string runs_json(const std::vector<HistoryRun>& history, const std::vector<ExposedRun>& now, const std::string& problem) {
  std::set<std::pair<std::string, int>> stored;
  for (const HistoryRun& run : history) stored.emplace(run.run, run.rank);
  std::string out = "{\"runs\":[";
  bool is_first = true;
  const auto begin = [&](const std::string& run, int rank) {
    if (!std::exchange(is_first, false)) out += ',';
    out += '{';
    append_member(out, "run", run);
    append_member(out, "rank", rank);
  };
  for (const ExposedRun& run : now) {
    const RunIdentity& who = run.snapshot->schema->identity;
    if (stored.count({who.run, who.rank}) > 0) continue;
    begin(who.run, who.rank);
    append_now(out, *run.snapshot);
    append_identity(out, who);
    out += '}';
  }
  for (const HistoryRun& run : history) {
    begin(run.run, run.rank);
    if (const Snapshot* const snapshot = find(now, run.run, run.rank)) {
      append_now(out, *snapshot);
    } else if (!run.attempts.empty()) {
      append_member(out, "state", run.attempts.front().state);
      append_member(out, "step", run.attempts.front().last_step);
    }
    append_list(out, "attempts", run.attempts, append_attempt);
    out += '}';
  }
  out += ']';
  if (!problem.empty()) append_member(out, "history_error", problem);
  return out + "}\n";
}

std::string series_names_json(const std::vector<SeriesName>& names) {
  std::string out = "{";
  append_list(out, "series", names, [](std::string& to, const SeriesName& name) {
    append_object(to, [&](std::string& object) {
      append_member(object, "name", name.name);
      append_member(object, "unit", name.unit);
    });
  });
  return out + "}\n";
}

std::string series_json(const SeriesReply& reply) {
  std::string out = "{";
  append_member(out, "attempt", reply.attempt);
  append_member(out, "next", reply.next.text());
  append_member(out, "downsampled", reply.is_downsampled);
  if (reply.unreadable_steps > 0) append_member(out, "unreadable_steps", reply.unreadable_steps);
  append_list(out, "series", reply.series, [](std::string& to, const Series& series) {
    append_object(to, [&](std::string& object) {
      append_member(object, "name", series.name);
      append_member(object, "unit", series.unit);
      append_points(object, series.points);
    });
  });
  append_list(out, "nonfinite_steps", reply.nonfinite, [](std::string& to, const NonfiniteSteps& stretch) {
    append_object(to, [&](std::string& object) {
      append_member(object, "first", stretch.first_step);
      append_member(object, "last", stretch.last_step);
      append_member(object, "count", stretch.steps);
    });
  });
  return out + "}\n";
}

std::string tensors_json(const HistoryFrame& frame) {
  std::string out = "{";
  append_member(out, "attempt", frame.attempt);
  append_member(out, "step", frame.header.step);
  append_member(out, "time", to_seconds(frame.header.wall_time_ns));
  append_member(out, "finite", frame.is_finite);
  std::size_t i = 0;
  append_list(out, "tensors", frame.rows, [&](std::string& to, const TensorRow& row) {
    const RowSchema& schema = frame.schema->rows[i++];
    const auto histogram = static_cast<std::size_t>(schema.histogram);  // RowSchema::kNone is beyond every list
    append_object(to, [&](std::string& object) {
      append_tensor_row(object, schema, row, histogram < frame.histograms.size() ? &frame.histograms[histogram] : nullptr);
    });
  });
  i = 0;
  append_list(out, "activations", frame.activations, [&](std::string& to, const ActivationRow& row) {
    append_object(to, [&](std::string& object) {
      append_activation(object, row, frame.layers[i]);
      append_precision(object, row.moments);
    });
    ++i;
  });
  return out + "}\n";
}

std::string tensor_series_json(const TensorSeriesReply& reply) {
  std::string out = "{";
  append_member(out, "attempt", reply.attempt);
  append_member(out, "next", reply.next.text());
  append_member(out, "downsampled", reply.is_downsampled);
  if (reply.passed_over > 0) append_member(out, "passed_over", reply.passed_over);
  append_points(out, reply.points);
  return out + "}\n";
}

std::string heatmap_json(const HeatmapReply& reply, TensorKind kind, std::string_view statistic) {
  std::string out = "{";
  append_member(out, "attempt", reply.attempt);
  append_member(out, "next", reply.next.text());
  append_member(out, "kind", kTensorKindNames[static_cast<std::size_t>(kind)]);
  append_member(out, "statistic", statistic);
  if (reply.passed_over > 0) append_member(out, "passed_over", reply.passed_over);
  if (reply.unreadable_frames > 0) append_member(out, "unreadable_frames", reply.unreadable_frames);
  using Column = HeatmapReply::Column;
  append_list(out, "steps", reply.columns, [](std::string& to, const Column& column) { append(to, column.step); });
  append_list(out, "times", reply.columns, [](std::string& to, const Column& column) { append(to, to_seconds(column.time_ns)); });
  append_list(out, "tensors", reply.rows, [&](std::string& to, std::size_t row) { append(to, reply.schema->rows[row].name); });
  append_list(out, "layers", reply.rows, [&](std::string& to, std::size_t row) { append(to, reply.schema->rows[row].layer); });
  std::size_t i = 0;
  append_list(out, "values", reply.rows, [&](std::string& to, std::size_t) {
    to += '[';
    for (const Column& column : reply.columns) {
      if (&column != reply.columns.data()) to += ',';
      if (column.values[i]) {
        append(to, *column.values[i]);
      } else {
        to += "null";
      }
    }
    to += ']';
    ++i;
  });
  return out + "}\n";
}

std::string distribution_json(const HistoryDistribution& distribution) {
  std::string out = "{";
  append_member(out, "attempt", distribution.attempt);
  append_member(out, "step", distribution.step);
  append_member(out, "time", to_seconds(distribution.time_ns));
  append_member(out, "zeros", distribution.moments.zero_count);
  append_member(out, "nan", distribution.moments.nan_count);
  append_member(out, "inf", distribution.moments.inf_count);
  append_member(out, "underflow", distribution.histogram.underflow);
  append_member(out, "overflow", distribution.histogram.overflow);
  std::vector<double> bounds;
  for (std::size_t i = 0; i < distribution.histogram.buckets.size(); ++i) bounds.push_back(magnitude_bound(i + 1));
  append_member(out, "lowest_bound", magnitude_bound(0));
  append_member(out, "upper_bounds", bounds.data(), bounds.size());
  append_list(out, "counts", distribution.histogram.buckets, [](std::string& to, std::uint64_t count) { append(to, count); });
  return out + "}\n";
}

std::string events_json(const EventsReply& reply) {
  std::string out = "{";
  append_member(out, "next", reply.next);
  if (reply.lost > 0) append_member(out, "lost", reply.lost);
  append_list(out, "events", reply.events, [](std::string& to, const HistoryEvent& event) {
    append_object(to, [&](std::string& object) {
      append_member(object, "id", event.id);
      append_member(object, "run", event.run);
      append_member(object, "rank", event.rank);
      append_member(object, "attempt", event.attempt);
      append_member(object, "kind", event.kind);
      append_member(object, "step", event.step);
      append_member(object, "time", to_seconds(event.time_ns));
      object += ",\"details\":" + (event.json.empty() ? std::string("{}") : event.json);
    });
  });
  return out + "}\n";
}

std::string metrics_json(const std::vector<Family>& families) {
  const auto append_labels = [](std::string& object, const Labels& labels) {
    object += "\"labels\":{";
    for (const Label& label : labels->labels()) {
      if (object.back() != '{') object += ',';
      object += to_json(label.name) + ':' + to_json(label.value);
    }
    object += '}';
  };
  std::string out = "{";
  append_list(out, "metrics", families, [&](std::string& to, const Family& family) {
    append_object(to, [&](std::string& object) {
      append_member(object, "name", family.name);
      append_member(object, "kind", kMetricTypeNames[static_cast<std::size_t>(family.type)]);
      append_member(object, "unit", family.unit);
      append_member(object, "help", family.help);
      append_list(object, "samples", family.samples, [&](std::string& list, const Sample& sample) {
        append_object(list, [&](std::string& one) {
          append_labels(one, sample.labels);
          append_member(one, "value", sample.value);
        });
      });
      if (family.histograms.empty()) return;
      append_list(object, "histograms", family.histograms, [&](std::string& list, const HistogramSample& sample) {
        append_object(list, [&](std::string& one) {
          append_labels(one, sample.labels);
          append_member(one, "upper_bounds", sample.value.upper_bounds.data(), sample.value.upper_bounds.size());
          append_list(one, "cumulative", sample.value.cumulative, [](std::string& counts, std::uint64_t count) { append(counts, count); });
          append_member(one, "count", sample.value.count);
          append_member(one, "sum", sample.value.sum);
        });
      });
    });
  });
  return out + "}\n";
}

std::string error_json(std::string_view sentence) {
  std::string out = "{";
  append_member(out, "error", sentence);
  return out + "}\n";
}

}  // namespace vigil
