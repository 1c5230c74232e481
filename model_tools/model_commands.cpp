#include "vigil/model_tools/model_commands.h"

#include "vigil/model_tools/count_command.h"

namespace vigil::model_tools {

std::vector<tools::Command> add_model_commands(CLI::App& app) { return {add_count(app)}; }

}  // namespace vigil::model_tools
