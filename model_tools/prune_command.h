// vigil prune: writes a saved model with weights set to zero.
#pragma once

#include "vigil/tools/command_options.h"

namespace vigil::model_tools {

tools::Command add_prune(CLI::App& app);

}  // namespace vigil::model_tools
