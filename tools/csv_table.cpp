#include "vigil/tools/csv_table.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "vigil/exporters/seconds.h"
#include "vigil/monitor/dtype.h"
#include "vigil/monitor/statistics.h"
#include "vigil/monitor/update_ratio.h"
#include "vigil/terminal/text_cells.h"

namespace vigil::tools {
namespace {

// One line in the making.
class CsvLine {
 public:
  CsvLine& text(std::string_view text) {
    begin();
    const std::string shown = printable(text);
    if (shown.find_first_of(",\"") == std::string::npos) {
      line_ += shown;
      return *this;
    }
    line_ += '"';
    for (const char c : shown) line_ += c == '"' ? std::string("\"\"") : std::string(1, c);
    line_ += '"';
    return *this;
  }
  CsvLine& number(double value) {
    begin();
    if (is_nan_bits(value)) {
      line_ += "NaN";
    } else if (!is_finite_bits(value)) {
      line_ += value > 0 ? "Infinity" : "-Infinity";
    } else {
      std::array<char, 32> digits;
      line_.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
    }
    return *this;
  }
  CsvLine& number(const std::optional<double>& value) { return value ? number(*value) : nothing(); }
  CsvLine& count(std::uint64_t value) {
    begin();
    line_ += std::to_string(value);
    return *this;
  }
  CsvLine& time(std::int64_t ns) {
    begin();
    constexpr std::int64_t kPerSecond = 1'000'000'000;
    // Of times before 1970, which only a damaged file has, the fraction is left out.
    const std::string fraction = std::to_string(kPerSecond + (ns < 0 ? 0 : ns % kPerSecond));
    line_ += std::to_string(ns / kPerSecond) + '.' + fraction.substr(1);
    return *this;
  }
  CsvLine& nothing() {
    begin();
    return *this;
  }
  std::string end() const { return line_ + '\n'; }

 private:
  void begin() {
    if (!is_first_) line_ += ',';
    is_first_ = false;
  }

  std::string line_;
  bool is_first_ = true;
};

// What a step has beside its number, time, learning rates and user scalars; in this order.
struct StepField {
  std::string_view name;
  std::uint64_t needs;  // flags without which there is nothing
  void (*add)(CsvLine& line, const StepRecord& record);
};

template <double StepRecord::*kMember>
void add_number(CsvLine& line, const StepRecord& record) {
  line.number(record.*kMember);
}
template <std::uint64_t StepRecord::*kMember>
void add_count(CsvLine& line, const StepRecord& record) {
  line.count(record.*kMember);
}
template <std::uint64_t StepRecord::*kMember>
void add_seconds(CsvLine& line, const StepRecord& record) {
  line.number(to_seconds(record.*kMember));
}
template <std::uint64_t RunTotals::*kMember>
void add_total(CsvLine& line, const StepRecord& record) {
  line.count(record.totals.*kMember);
}
template <StepRecord::Flag kFlag>
void add_flag(CsvLine& line, const StepRecord& record) {
  line.count(record.has(kFlag) ? 1 : 0);
}
template <NonfiniteIn kWhere>
void add_nan(CsvLine& line, const StepRecord& record) {
  line.count(record.totals.nonfinite_values[static_cast<std::size_t>(kWhere)].nan);
}
template <NonfiniteIn kWhere>
void add_inf(CsvLine& line, const StepRecord& record) {
  line.count(record.totals.nonfinite_values[static_cast<std::size_t>(kWhere)].inf);
}

constexpr std::array<StepField, 33> kStepFields{{
    {"loss", StepRecord::has_loss, add_number<&StepRecord::loss>},
    {"gradient_norm", StepRecord::has_gradient_norm, add_number<&StepRecord::gradient_norm>},
    {"parameter_norm", StepRecord::has_parameter_norm, add_number<&StepRecord::parameter_norm>},
    {"clip_ratio", StepRecord::has_clip_ratio, add_number<&StepRecord::clip_ratio>},
    {"total_seconds", StepRecord::has_total_time, add_seconds<&StepRecord::total_ns>},
    {"data_seconds", StepRecord::has_data_time, add_seconds<&StepRecord::data_ns>},
    {"forward_backward_seconds", StepRecord::has_total_time, add_seconds<&StepRecord::forward_backward_ns>},
    {"optimizer_seconds", StepRecord::has_optimizer_time, add_seconds<&StepRecord::optimizer_ns>},
    {"vigil_seconds", StepRecord::has_total_time, add_seconds<&StepRecord::vigil_ns>},
    {"examples", 0, add_count<&StepRecord::examples>},
    {"multiply_accumulates", 0, add_count<&StepRecord::multiply_accumulates>},
    {"nonfinite", 0, add_flag<StepRecord::nonfinite>},
    {"skipped", 0, add_flag<StepRecord::skipped>},
    {"loss_nan_total", 0, add_nan<NonfiniteIn::loss>},
    {"loss_inf_total", 0, add_inf<NonfiniteIn::loss>},
    {"gradient_nan_total", 0, add_nan<NonfiniteIn::gradient>},
    {"gradient_inf_total", 0, add_inf<NonfiniteIn::gradient>},
    {"parameter_nan_total", 0, add_nan<NonfiniteIn::parameter>},
    {"parameter_inf_total", 0, add_inf<NonfiniteIn::parameter>},
    {"activation_nan_total", 0, add_nan<NonfiniteIn::activation>},
    {"activation_inf_total", 0, add_inf<NonfiniteIn::activation>},
    {"nonfinite_steps_total", 0, add_total<&RunTotals::nonfinite_steps>},
    {"skipped_steps_total", 0, add_total<&RunTotals::skipped_steps>},
    {"rollbacks_total", 0, add_total<&RunTotals::rollbacks>},
    {"micro_batches_total", 0, add_total<&RunTotals::micro_batches>},
    {"examples_total", 0, add_total<&RunTotals::examples>},
    {"samples_total", 0, add_total<&RunTotals::samples>},
    {"overhead_seconds_total", 0, [](CsvLine& line, const StepRecord& record) { line.number(to_seconds(record.totals.overhead_ns)); }},
    {"device_allocated_bytes", StepRecord::has_device_memory, add_count<&StepRecord::device_allocated>},
    {"device_reserved_bytes", StepRecord::has_device_memory, add_count<&StepRecord::device_reserved>},
    {"device_peak_bytes", StepRecord::has_device_memory, add_count<&StepRecord::device_peak>},
    {"allocation_retries_total", StepRecord::has_device_memory, add_count<&StepRecord::device_retries>},
    {"out_of_memory_total", StepRecord::has_device_memory, add_count<&StepRecord::device_out_of_memory>},
}};

// Optimizers have three; a file may say anything.
std::vector<std::string> moments_in(const Schema& schema) {
  constexpr std::size_t kMaxMoments = 16;
  std::vector<std::string> moments;
  for (const RowSchema& row : schema.rows) {
    for (const std::string& moment : row.optimizer_state) {
      if (moments.size() < kMaxMoments && std::find(moments.begin(), moments.end(), moment) == moments.end()) moments.push_back(moment);
    }
  }
  return moments;
}

std::string_view state_of(const TensorRow& row) noexcept {
  switch (row.state) {
    case TensorRow::present: return "present";
    case TensorRow::absent: return "absent";
    case TensorRow::frozen: return "frozen";
    default: return "unreadable";
  }
}

}  // namespace

std::string csv_head_of_steps(const Schema& schema, const NameTable& names) {
  CsvLine line;
  line.text("step").text("time");
  for (const StepField& field : kStepFields) line.text(field.name);
  for (std::size_t i = 0; i < schema.learning_rates; ++i)
    line.text("learning_rate:" + (i < schema.groups.size() ? schema.groups[i] : std::to_string(i)));
  for (std::size_t i = 0; i < names.size(); ++i) line.text("scalar:" + std::string(names.at(i)));
  return line.end();
}

std::string csv_of_step(const StepLine& step, const Schema& schema, std::size_t names) {
  const StepRecord& record = step.record;
  CsvLine line;
  line.count(record.step).time(record.wall_time_ns);
  for (const StepField& field : kStepFields) {
    if ((record.flags & field.needs) == field.needs) {
      field.add(line, record);
    } else {
      line.nothing();
    }
  }
  const std::size_t rates = schema.learning_rates;
  for (std::size_t i = 0; i < rates; ++i) line.number(step.scalars[i]);
  for (std::size_t i = 0; i < names; ++i) {
    if (i < record.user_scalars && rates + i < step.scalars.size()) {
      line.number(step.scalars[rates + i]);
    } else {
      line.nothing();
    }
  }
  return line.end();
}

std::string csv_head_of_tensors(const Schema& schema) {
  CsvLine line;
  for (const char* name : {"step", "time", "kind", "name", "layer", "state", "elements"}) line.text(name);
  for (const Statistic& statistic : kStatistics) line.text(statistic.name);
  for (const char* name : {"update_norm", "update_ratio", "distance", "cosine"}) line.text(name);
  for (const std::string& moment : moments_in(schema)) line.text("moment:" + moment);
  return line.end();
}

std::string csv_of_tensors(const Frame& frame, const Schema& schema) {
  const std::vector<std::string> moments = moments_in(schema);
  std::string lines;
  for (std::size_t i = 0; i < schema.rows.size() && i < frame.rows.size(); ++i) {
    const RowSchema& of = schema.rows[i];
    const TensorRow& row = frame.rows[i];
    CsvLine line;
    line.count(frame.header.step).time(frame.header.wall_time_ns);
    line.text(kTensorKindNames[static_cast<std::size_t>(of.kind)]).text(of.name).text(of.layer).text(state_of(row));
    if (row.state != TensorRow::present) {
      for (std::size_t k = 0; k < 1 + kStatistics.size() + 4 + moments.size(); ++k) line.nothing();
      lines += line.end();
      continue;
    }
    line.count(row.moments.count);
    for (const Statistic& statistic : kStatistics) line.number(statistic.value(row.moments));
    const std::optional<double> ratio = update_ratio(of, row);
    line.number(ratio ? std::optional(row.update_norm) : std::nullopt).number(ratio);
    line.number(of.has_distance ? norm_of_change(row, row.distance) : std::nullopt);
    line.number(of.has_cosine && !is_nan_bits(row.cosine) ? std::optional(row.cosine) : std::nullopt);
    for (const std::string& moment : moments) {
      const auto k =
          static_cast<std::size_t>(std::find(of.optimizer_state.begin(), of.optimizer_state.end(), moment) - of.optimizer_state.begin());
      line.number(k < of.optimizer_state.size() && row.has_state(k) ? std::optional(row.state_norms[k]) : std::nullopt);
    }
    lines += line.end();
  }
  return lines;
}

std::string csv_head_of_events() {
  CsvLine line;
  for (const char* name :
       {"step", "time", "found_by", "layer", "operation", "forward_operation", "backward", "parameter", "nonfinite_parameters", "message"})
    line.text(name);
  return line.end();
}

std::string csv_of_event(const NonfiniteEvent& event) {
  CsvLine line;
  line.count(event.step).time(event.wall_time_ns).text(kFoundByNames[static_cast<std::size_t>(event.found_by)]);
  line.text(event.layer.view()).text(event.operation.view()).text(event.forward_operation.view()).count(event.backward != 0 ? 1 : 0);
  line.text(event.parameter.view()).count(event.nonfinite_parameters).text(event.message.view());
  return line.end();
}

std::string csv_of_schema(const Schema& schema) {
  CsvLine head;
  for (const char* name : {"row", "kind", "name", "layer", "shape", "dtype", "elements", "learning_rate"}) head.text(name);
  std::string lines = head.end();
  for (std::size_t i = 0; i < schema.rows.size(); ++i) {
    const RowSchema& row = schema.rows[i];
    CsvLine line;
    line.count(i).text(kTensorKindNames[static_cast<std::size_t>(row.kind)]).text(row.name).text(row.layer).text(row.shape);
    line.text(kDTypeNames[static_cast<std::size_t>(row.dtype)]).count(row.element_count);
    if (row.learning_rate == RowSchema::kNone) {
      line.nothing();
    } else {
      line.count(static_cast<std::uint64_t>(row.learning_rate));
    }
    lines += line.end();
  }
  return lines;
}

}  // namespace vigil::tools
