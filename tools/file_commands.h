// The subcommands that look at saved models without libtorch, as CLI11 has them.
#pragma once

#include <vector>

#include <CLI/CLI.hpp>

#include "vigil/tools/command_options.h"

namespace vigil::tools {

/// Adds `inspect`, `diff` and `verify`.
std::vector<Command> add_file_commands(CLI::App& app);

}  // namespace vigil::tools
