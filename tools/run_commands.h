// The subcommands that look at runs, as CLI11 has them.
#pragma once

#include <functional>
#include <vector>

#include <CLI/CLI.hpp>

namespace vigil::tools {

/// A subcommand and what it does once its options are read. Returns the program's exit code, or one of kReaderGone (tail.h).
struct Command {
  CLI::App* app = nullptr;
  std::function<int()> run;
};

/// Adds `ps`, `top`, `tail`, `dump` and `export`.
std::vector<Command> add_run_commands(CLI::App& app);

}  // namespace vigil::tools
