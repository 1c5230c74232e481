// The subcommands that need libtorch. They are those of a program of their own, so that all others start without it.
#pragma once

#include <array>
#include <string_view>

namespace vigil::tools {

struct ModelSubcommand {
  std::string_view name, description;
};
inline constexpr std::array<ModelSubcommand, 1> kModelSubcommands{{
    {"count", "Counts the parameters of a saved model, module by module"},
}};

/// Becomes `vigil-model`, which lies beside this program or, else, in PATH, with the same arguments. Returns only when it is not there:
/// the exit code, after a line on stderr that says what to do.
int become_model_program(char** arguments);

}  // namespace vigil::tools
