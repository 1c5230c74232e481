// Records as lines of CSV (RFC 4180, but for lines that end with a newline alone).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vigil/monitor/snapshot.h"
#include "vigil/tools/step_window.h"

namespace vigil::tools {

// Numbers come back as they were; NaN and infinities are NaN, Infinity and -Infinity; what a record does not have is an empty cell. Times
// are seconds since the epoch with nine digits behind the point. Texts are printable, and quoted where they have to be.

/// The first line of a table of steps: what every step may have, then `learning_rate:GROUP` for each parameter group, then `scalar:NAME`
/// for each of `names`.
std::string csv_head_of_steps(const Schema& schema, const NameTable& names);
/// A line of it. `scalars` are the first `names` of the user's.
std::string csv_of_step(const StepLine& line, const Schema& schema, std::size_t names);

/// The first line of a table of tensors: a line for each tensor of each frame.
std::string csv_head_of_tensors(const Schema& schema);
std::string csv_of_tensors(const Frame& frame, const Schema& schema);

std::string csv_head_of_events();
std::string csv_of_event(const NonfiniteEvent& event);

/// What a row of a frame is of, without a frame.
std::string csv_of_schema(const Schema& schema);

}  // namespace vigil::tools
