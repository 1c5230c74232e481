#include "vigil/exporters/record_json.h"

#include <algorithm>
#include <cmath>

#include "vigil/exporters/json_text.h"
#include "vigil/exporters/seconds.h"
#include "vigil/monitor/dtype.h"
#include "vigil/monitor/metric_table.h"
#include "vigil/monitor/statistics.h"
#include "vigil/monitor/update_ratio.h"

namespace vigil {
namespace {

void append_magnitudes(std::string& out, const MagnitudeHistogram& histogram, const Moments& moments) {
  for (const double q : kMagnitudeQuantiles) {
    const int percent = static_cast<int>(std::lround(100 * q));
    append_member(out, (percent < 10 ? "magnitude_p0" : "magnitude_p") + std::to_string(percent),
                  magnitude_quantile(histogram, moments, q));
  }
  out += ",\"magnitude_buckets\":[" + std::to_string(histogram.underflow);
  for (const std::uint64_t count : histogram.buckets) out += ',' + std::to_string(count);
  out += ',' + std::to_string(histogram.overflow) + ']';
}

}  // namespace

void append_step_details(std::string& out, const StepRecord& record, const Schema& schema) {
  if (record.has(StepRecord::has_total_time)) {
    append_member(out, "total_seconds", to_seconds(record.total_ns));
    append_member(out, "forward_backward_seconds", to_seconds(record.forward_backward_ns));
    append_member(out, "vigil_seconds", to_seconds(record.vigil_ns));
  }
  if (record.has(StepRecord::has_data_time)) append_member(out, "data_seconds", to_seconds(record.data_ns));
  if (record.has(StepRecord::has_optimizer_time)) append_member(out, "optimizer_seconds", to_seconds(record.optimizer_ns));
  if (record.has(StepRecord::has_clip_ratio)) append_member(out, "clip_ratio", record.clip_ratio);
  if (record.examples > 0) append_member(out, "examples", record.examples);
  if (record.multiply_accumulates > 0) append_member(out, "multiply_accumulates", record.multiply_accumulates);
  append_member(out, "nonfinite", record.has(StepRecord::nonfinite));
  append_member(out, "skipped", record.has(StepRecord::skipped));
  if (record.origin_step != 0) {
    append_member(out, "origin_step", record.origin_step);
    const std::string_view origin = origin_parameter(record, schema);
    if (!origin.empty()) append_member(out, "origin", origin);
  }
}

void append_scalars(std::string& out, const StepRecord& record, const double* scalars, const Schema& schema, const NameTable& names) {
  out += ",\"scalars\":{";
  const std::size_t count = std::min<std::size_t>(record.user_scalars, names.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) out += ',';
    out += to_json(names.at(i)) + ':';
    append(out, scalars[schema.learning_rates + i]);
  }
  out += '}';
}

void append_tensor_head(std::string& out, const RowSchema& schema) {
  append_member(out, "kind", kTensorKindNames[static_cast<std::size_t>(schema.kind)]);
  append_member(out, "name", schema.name);
  append_member(out, "layer", schema.layer);
}

void append_tensor_description(std::string& out, const RowSchema& schema) {
  append_tensor_head(out, schema);
  append_member(out, "shape", schema.shape);
  append_member(out, "elements", schema.element_count);
  append_member(out, "dtype", kDTypeNames[static_cast<std::size_t>(schema.dtype)]);
}

void append_tensor(std::string& out, const RowSchema& schema, const TensorRow& row, const MagnitudeHistogram* histogram) {
  if (row.state != TensorRow::present) {
    append_member(out, "state",
                  row.state == TensorRow::absent   ? std::string_view("absent")
                  : row.state == TensorRow::frozen ? "frozen"
                                                   : "unreadable");
    return;
  }
  append_member(out, "elements", row.moments.count);
  for (const Statistic& statistic : kStatistics) append_member(out, statistic.name, statistic.value(row.moments));
  if (const auto ratio = update_ratio(schema, row)) {
    append_member(out, "update_norm", row.update_norm);
    append_member(out, metric_row(TensorMetric::update_ratio).name, *ratio);
  }
  if (schema.has_distance) {
    if (const auto distance = norm_of_change(row, row.distance)) append_member(out, metric_row(TensorMetric::distance).name, *distance);
  }
  if (schema.has_cosine && !is_nan_bits(row.cosine)) append_member(out, metric_row(TensorMetric::cosine).name, row.cosine);
  for (std::size_t i = 0; i < schema.optimizer_state.size() && i < RowSchema::kStateNorms; ++i) {
    if (!row.has_state(i)) continue;
    out += ',' + to_json(schema.optimizer_state[i] + "_norm") + ':';  // a name from a ring file may hold anything
    append(out, row.state_norms[i]);
  }
  if (histogram != nullptr) append_magnitudes(out, *histogram, row.moments);
}

void append_schema(std::string& out, const Schema& schema) {
  if (schema.is_continued) out += ",\"continued\":true";
  append_member(out, "learning_rates", schema.learning_rates);
  append_member(out, "groups", schema.groups);
  append_member(out, "max_activations", schema.activations);
  append_member(out, "parameters", schema.parameters);
  out += ",\"tensors\":[";
  for (const RowSchema& row : schema.rows) {
    out += &row == schema.rows.data() ? "{" : ",{";
    append_tensor_description(out, row);
    if (row.part != 0) append_member(out, "part", static_cast<std::uint64_t>(row.part));
    if (row.learning_rate != RowSchema::kNone) append_member(out, "learning_rate", static_cast<std::uint64_t>(row.learning_rate));
    if (row.infinite != 0) append_member(out, "infinite", row.infinite);
    out += '}';
  }
  out += ']';
}

}  // namespace vigil
