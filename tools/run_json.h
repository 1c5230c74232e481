// Records as JSON objects, with the members that a line of exporters.jsonl has; printable.
#pragma once

#include <string>

#include "vigil/monitor/snapshot.h"
#include "vigil/tools/step_window.h"

namespace vigil::tools {

/// `type`, unless empty, becomes the first member.
std::string json_of_step(const StepLine& line, const Schema& schema, const NameTable& names, std::string_view type = {});
std::string json_of_frame(const Frame& frame, const Schema& schema);
std::string json_of_event(const NonfiniteEvent& event, std::string_view type = {});

}  // namespace vigil::tools
