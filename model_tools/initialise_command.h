// `vigil initialise`: new weights for a saved model, by a policy.
#pragma once

#include <CLI/CLI.hpp>

#include "vigil/tools/command_options.h"

namespace vigil::model_tools {

tools::Command add_initialise(CLI::App& app);

}  // namespace vigil::model_tools
