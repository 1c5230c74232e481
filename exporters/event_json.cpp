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

}  // namespace vigil
