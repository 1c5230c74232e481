#include "vigil/model_tools/model_commands.h"

#include "vigil/model_tools/audit_command.h"
#include "vigil/model_tools/count_command.h"
#include "vigil/model_tools/initialise_command.h"
#include "vigil/model_tools/prune_command.h"
#include "vigil/model_tools/quantise_command.h"
#include "vigil/model_tools/summary_command.h"

namespace vigil::model_tools {

std::vector<tools::Command> add_model_commands(CLI::App& app) {
  return {add_count(app), add_summary(app), add_initialise(app), add_audit(app), add_prune(app), add_quantise(app)};
}

}  // namespace vigil::model_tools
