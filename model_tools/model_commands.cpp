#include "vigil/model_tools/model_commands.h"

namespace vigil::model_tools {

std::vector<tools::Command> add_model_commands(CLI::App&) { return {}; }

}  // namespace vigil::model_tools
