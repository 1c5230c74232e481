// `vigil summary`: the modules of a saved model, what goes in and comes out of them, and what they cost.
#pragma once

#include <CLI/CLI.hpp>

#include "vigil/tools/command_options.h"

namespace vigil::model_tools {

tools::Command add_summary(CLI::App& app);

}  // namespace vigil::model_tools
