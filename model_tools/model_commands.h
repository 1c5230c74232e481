// The subcommands of vigil-model: of `vigil` those that need libtorch. A subcommand is a file of its own and a line in
// add_model_commands(); its name stands in tools/model_program.h.
#pragma once

#include <vector>

#include <CLI/CLI.hpp>

#include "vigil/tools/command_options.h"

namespace vigil::model_tools {

std::vector<tools::Command> add_model_commands(CLI::App& app);

}  // namespace vigil::model_tools
