// What is known of a run, in words and tables for people.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "vigil/terminal/text_style.h"
#include "vigil/tools/dump.h"
#include "vigil/tools/followed_run.h"
#include "vigil/tools/step_window.h"

namespace vigil::tools {

// All of them return whole lines, printable but for colours.

/// What the file is, who ran, how it is or how it ended, and the latest figures. `steps` is how many are there, `losses` the loss of each
/// that has one.
std::string summary_text(const FollowedRun& run, std::uint64_t steps, const std::vector<double>& losses, const OutputPlace& place);

/// The alerts that the rules make of what is there: which fire, and how often each fired.
std::string alerts_text(const FollowedRun& run, const OutputPlace& place);

std::string steps_text(const std::deque<StepLine>& steps, const FollowedRun& run, const OutputPlace& place);

/// Of the latest frame. Nothing before there is one.
std::string tensors_text(const FollowedRun& run, TensorOrder order, const OutputPlace& place);

std::string events_text(const std::vector<NonfiniteEvent>& events, const OutputPlace& place);

/// What hooks noted when they first failed; nothing when none did.
std::string notes_text(const FollowedRun& run, const OutputPlace& place);

std::string schema_text(const Schema& schema, const OutputPlace& place);

}  // namespace vigil::tools
