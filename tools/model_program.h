// The subcommands that need libtorch. They are those of a program of their own, so that all others start without it.
#pragma once

#include <array>
#include <string_view>

namespace vigil::tools {

struct ModelSubcommand {
  std::string_view name, description;
};
inline constexpr std::array<ModelSubcommand, 6> kModelSubcommands{{
    {"count", "Counts the parameters of a saved model, module by module"},
    {"summary", "Shows the modules of a saved model, their sizes and what they cost"},
    {"initialise", "Writes a saved model with new weights"},
    {"audit", "Judges how the weights of a saved model begin, and what one batch does in it"},
    {"prune", "Writes a saved model with its smallest weights set to zero"},
    {"quantise", "Tells what int8 weights would lose of a saved model, and writes it with them"},
}};

/// Of one of them.
constexpr std::string_view description_of(std::string_view name) {
  for (const ModelSubcommand& one : kModelSubcommands) {
    if (one.name == name) return one.description;
  }
  return {};
}

/// Becomes `vigil-model`, which lies beside this program or, else, in PATH, with the same arguments. Returns only when it is not there:
/// the exit code, after a line on stderr that says what to do.
int become_model_program(char** arguments);

}  // namespace vigil::tools
