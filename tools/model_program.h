// The subcommands that need libtorch. They are those of a program of their own, so that all others start without it.
#pragma once

#include <array>
#include <string_view>

namespace vigil::tools {

struct ModelSubcommand {
  std::string_view name, description;
};
inline constexpr std::array<ModelSubcommand, 5> kModelSubcommands{{
    {"summary", "Shows a saved model as a tree: shapes, parameters, multiply-accumulates, memory"},
    {"audit", "Judges how the weights of a saved model are initialised"},
    {"initialise", "Writes a saved model with new weights"},
    {"prune", "Writes a saved model with its smallest weights set to zero"},
    {"quantise", "Says what int8 weights do to a saved model, and writes it with them"},
}};

/// Becomes `vigil-model`, which lies beside this program or, else, in PATH, with the same arguments. Returns only when it is not there:
/// the exit code, after a line on stderr that says what to do.
int become_model_program(char** arguments);

}  // namespace vigil::tools
