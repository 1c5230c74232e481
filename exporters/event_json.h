// What a history says of an event, as one JSON object; docs/history.md lists the members.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/exporters/alert_text.h"
#include "vigil/monitor/records.h"
#include "vigil/monitor/schema.h"

namespace vigil {

/// Of a non-finite event: docs/nan-report.md. One that says to be found in a way that there is not (it may come from a ring file) is told
/// as found by bracket.
std::string nonfinite_json(const NonfiniteEvent& event);
/// Of an alert that begins or ends.
std::string alert_json(const AlertMessage& message);
/// Of a run's change of state; `reason` may be empty.
std::string state_json(std::string_view state, std::string_view reason);

/// What a step record tells of the time since the record before it.
struct RunMark {
  std::string_view kind;   ///< "phase" or "checkpoint"
  std::uint64_t step = 0;  ///< the latest before it
  std::string json;        ///< of a phase {"phase":"validation"}, else an empty object
};
/// Of a hostile record, too. `phases` are the names of the run's phases.
std::vector<RunMark> marks_of(const StepRecord& record, const NameTable& phases);

}  // namespace vigil
