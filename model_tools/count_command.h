// `vigil count`: the parameters of a saved model, module by module.
#pragma once

#include <CLI/CLI.hpp>

#include "vigil/tools/command_options.h"

namespace vigil::model_tools {

tools::Command add_count(CLI::App& app);

}  // namespace vigil::model_tools
