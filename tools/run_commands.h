// The subcommands that look at runs, as CLI11 has them.
#pragma once

#include <vector>

#include <CLI/CLI.hpp>

#include "vigil/tools/command_options.h"

namespace vigil::tools {

/// Adds `ps`, `top`, `tail`, `dump` and `export`.
std::vector<Command> add_run_commands(CLI::App& app);

}  // namespace vigil::tools
