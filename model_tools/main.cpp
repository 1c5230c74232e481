// vigil-model: what `vigil` starts for the subcommands that need libtorch.
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <c10/util/Exception.h>
#include <CLI/CLI.hpp>

#include "vigil/config/flag_values.h"
#include "vigil/model_tools/model_commands.h"

namespace {

constexpr int kUsage = 2;

int run(int argc, char** argv) {
  // As the user called it: every message reads as if there were one program.
  CLI::App app{"The subcommands of vigil that need libtorch.", "vigil"};
  app.set_version_flag("--version", std::string("vigil ") + VIGIL_VERSION);
  app.require_subcommand(1);
  const std::vector<vigil::tools::Command> commands = vigil::model_tools::add_model_commands(app);
  try {
    for (const vigil::tools::Command& command : commands) {
      if (argc < 2 || command.app->get_name() != argv[1]) continue;
      if (const auto fault = vigil::find_app_flag_fault(argc, argv, *command.app)) throw CLI::ValidationError(fault->flag, fault->text);
    }
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  for (const vigil::tools::Command& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  return kUsage;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int code = run(argc, argv);
    std::cout.flush();
    if (std::cout) return code;
    std::cerr << "vigil: the output cannot be written\n";
  } catch (const c10::Error& error) {
    std::cerr << "vigil: " << error.what_without_backtrace() << '\n';
  } catch (const std::exception& error) {
    std::cerr << "vigil: " << error.what() << '\n';
  }
  return 1;
}
