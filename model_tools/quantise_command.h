// vigil quantise: what integers for weights lose of a saved model, and the model with them.
#pragma once

#include "vigil/tools/command_options.h"

namespace vigil::model_tools {

tools::Command add_quantise(CLI::App& app);

}  // namespace vigil::model_tools
