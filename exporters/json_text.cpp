#include "vigil/exporters/json_text.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "vigil/exporters/activation_series.h"
#include "vigil/exporters/metric_families.h"
#include "vigil/exporters/seconds.h"
#include "vigil/monitor/dtype.h"
#include "vigil/monitor/metric_table.h"
#include "vigil/monitor/statistics.h"

namespace vigil {

std::string to_json(std::string_view text) { return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace); }

void append(std::string& out, double value) {
  if (is_nan_bits(value)) {
    out += "\"NaN\"";
  } else if (!is_finite_bits(value)) {
    out += value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  } else {
    char text[32];
    out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
  }
}

void append(std::string& out, std::string_view text) { out += to_json(text); }

void append_member(std::string& out, std::string_view key, const double* values, std::size_t count) {
  struct Numbers {
    const double *first, *last;
    const double* begin() const { return first; }
    const double* end() const { return last; }
  };
  append_list(out, key, Numbers{values, values + count}, [](std::string& to, double value) { append(to, value); });
}

void append_member(std::string& out, std::string_view key, const std::vector<std::string>& texts) {
  append_list(out, key, texts, [](std::string& to, const std::string& text) { append(to, text); });
}

void append_run(std::string& out, const RunIdentity& identity) {
  append_member(out, "run", identity.run);
  append_member(out, "rank", identity.rank);
  append_member(out, "world_size", identity.world_size);
  append_member(out, "model", identity.model);
  if (!identity.model_fingerprint.empty()) append_member(out, "model_fingerprint", identity.model_fingerprint);
  append_member(out, "libtorch", identity.libtorch);
  append_member(out, "host", identity.host);
  append_member(out, "pid", identity.pid);
  append_member(out, "attempt", identity.attempt);
  append_member(out, "start_time", to_seconds(identity.start_time_ns));
  append_member(out, "vigil", vigil_version());
}

void append_step(std::string& out, const StepRecord& record, const double* learning_rates, std::size_t rates) {
  append_member(out, "step", record.step);
  append_member(out, "time", to_seconds(record.wall_time_ns));
  if (record.has(StepRecord::has_loss)) append_member(out, "loss", record.loss);
  if (record.has(StepRecord::has_gradient_norm)) append_member(out, "gradient_norm", record.gradient_norm);
  if (record.has(StepRecord::has_parameter_norm)) append_member(out, "parameter_norm", record.parameter_norm);
  append_member(out, "learning_rates", learning_rates, rates);
}

void append_activation(std::string& out, const ActivationRow& row, const LayerLabel& label) {
  append_member(out, "layer", label.layer);
  append_member(out, "phase", label.phase);
  append_member(out, "step", row.step);
  append_member(out, "elements", row.moments.count);
  for (const Statistic* statistic : activation_statistics()) append_member(out, statistic->name, statistic->value(row.moments));
  for (const ActivationMetricRow& metric : kActivationMetrics) {
    if (const double value = row.*metric.value; !is_nan_bits(value)) append_member(out, metric.name, value);
  }
}

void append_event(std::string& out, const NonfiniteEvent& event) {
  append_member(out, "step", event.step);
  append_member(out, "time", to_seconds(event.wall_time_ns));
  append_member(out, "found_by", kFoundByNames[static_cast<std::size_t>(event.found_by)]);
  append_member(out, "message", event.message.view());
  append_member(out, "loss_nonfinite", event.loss_nonfinite != 0);
  append_member(out, "layer", event.layer.view());
  append_member(out, "operation", event.operation.view());
  append_member(out, "forward_operation", event.forward_operation.view());
  append_member(out, "backward", event.backward != 0);
  append_member(out, "parameter", event.parameter.view());
  append_member(out, "nearest_finite", event.nearest_finite.view());
  append_member(out, "nonfinite_parameters", event.nonfinite_parameters);
  out += ",\"operands\":[";
  for (std::size_t i = 0; i < std::min<std::size_t>(event.operand_count, event.operands.size()); ++i) {
    const OperandSeen& operand = event.operands[i];
    out += i > 0 ? ",{" : "{";
    append_member(out, "tensor", operand.description.view());
    append_member(out, "elements", operand.moments.count);
    append_member(out, "min", operand.moments.min);
    append_member(out, "max", operand.moments.max);
    append_member(out, "mean", operand.moments.mean);
    append_member(out, "nan_values", operand.moments.nan_count);
    append_member(out, "inf_values", operand.moments.inf_count);
    out += '}';
  }
  out += ']';
}

}  // namespace vigil
