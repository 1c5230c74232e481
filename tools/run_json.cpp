#include "vigil/tools/run_json.h"

#include <algorithm>

#include "vigil/exporters/json_text.h"
#include "vigil/exporters/record_json.h"
#include "vigil/exporters/seconds.h"
#include "vigil/terminal/text_cells.h"

namespace vigil::tools {
namespace {

std::string begin_object(std::string_view type) {
  std::string out = "{";
  if (!type.empty()) append_member(out, "type", type);
  return out;
}

}  // namespace

std::string json_of_step(const StepLine& line, const Schema& schema, const NameTable& names, std::string_view type) {
  std::string out = begin_object(type);
  append_step(out, line.record, line.scalars.data(), std::min(line.scalars.size(), schema.learning_rates));
  append_scalars(out, line.record, line.scalars.data(), schema, names);
  append_step_details(out, line.record, schema);
  return printable_json(out + '}');
}

std::string json_of_frame(const Frame& frame, const Schema& schema) {
  std::string out = "{";
  append_member(out, "step", frame.header.step);
  append_member(out, "time", to_seconds(frame.header.wall_time_ns));
  out += ",\"tensors\":[";
  for (std::size_t i = 0; i < std::min(frame.rows.size(), schema.rows.size()); ++i) {
    const RowSchema& row = schema.rows[i];
    out += i > 0 ? ",{" : "{";
    append_tensor_head(out, row);
    const auto histogram = static_cast<std::size_t>(row.histogram);  // kNone is beyond every list
    append_tensor(out, row, frame.rows[i], histogram < frame.histograms.size() ? &frame.histograms[histogram] : nullptr);
    out += '}';
  }
  out += "],\"activations\":[";
  bool is_first = true;
  for (std::size_t i = 0; i < std::min(frame.activations.size(), frame.layers.size()); ++i) {
    if (frame.activations[i].step == 0) continue;  // not measured yet
    out += is_first ? "{" : ",{";
    is_first = false;
    append_activation(out, frame.activations[i], frame.layers[i]);
    out += '}';
  }
  return printable_json(out + "]}");
}

std::string json_of_event(const NonfiniteEvent& event, std::string_view type) {
  std::string out = begin_object(type);
  append_event(out, event);
  return printable_json(out + '}');
}

}  // namespace vigil::tools
