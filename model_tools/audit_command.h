// `vigil audit`: how the weights of a saved model begin, and what one batch does in it.
#pragma once

#include <CLI/CLI.hpp>

#include "vigil/tools/command_options.h"

namespace vigil::model_tools {

tools::Command add_audit(CLI::App& app);

}  // namespace vigil::model_tools
