#include "vigil/exporters/event_json.h"

#include "vigil/exporters/json_text.h"

namespace vigil {

std::string nonfinite_json(const NonfiniteEvent& event) {
  NonfiniteEvent known = event;
  if (static_cast<std::size_t>(known.found_by) >= kFoundByNames.size()) known.found_by = FoundBy::bracket;
  std::string json = "{";
  append_event(json, known);
  return json + "}";
}

std::string alert_json(const AlertMessage& message) {
  std::string json = "{";
  append_alert(json, message);
  return json + "}";
}

std::string state_json(std::string_view state, std::string_view reason) {
  std::string json = "{";
  append_member(json, "state", state);
  append_member(json, "reason", reason);
  return json + "}";
}

std::vector<RunMark> marks_of(const StepRecord& record, const NameTable& phases) {
  std::vector<RunMark> marks;
  // A record that comes again is of what happened after its step.
  const std::uint64_t step = record.has(StepRecord::again) || record.step == 0 ? record.step : record.step - 1;
  if (const std::size_t phase = record.phase_before(); phase > 0 && phase < phases.size()) {
    std::string json = "{";
    append_member(json, "phase", phases.at(phase));
    marks.push_back({"phase", step, json + "}"});
  }
  if (record.has(StepRecord::saved_checkpoint)) marks.push_back({"checkpoint", step, "{}"});
  return marks;
}

}  // namespace vigil
