// What a history says of an event, as one JSON object; docs/history.md lists the members.
#pragma once

#include <string>
#include <string_view>

#include "vigil/exporters/alert_text.h"
#include "vigil/monitor/records.h"

namespace vigil {

/// Of a non-finite event: docs/nan-report.md. One that says to be found in a way that there is not (it may come from a ring file) is told
/// as found by bracket.
std::string nonfinite_json(const NonfiniteEvent& event);
/// Of an alert that begins or ends.
std::string alert_json(const AlertMessage& message);
/// Of a run's change of state; `reason` may be empty.
std::string state_json(std::string_view state, std::string_view reason);

}  // namespace vigil
