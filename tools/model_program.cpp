#include "vigil/tools/model_program.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <iostream>
#include <string>
#include <system_error>

#include "vigil/config/printable.h"

namespace vigil::tools {
namespace {

constexpr const char* kModelProgram = "vigil-model";

}  // namespace

int become_model_program(char** arguments) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string beside = self.parent_path() / kModelProgram;
  if (!error) execv(beside.c_str(), arguments);
  execvp(kModelProgram, arguments);
  const int reason = errno;
  std::cerr << "vigil: '" << printable(arguments[1]) << "' is a subcommand of " << kModelProgram
            << ", which cannot be started: " << std::generic_category().message(reason)
            << ". It is built with libtorch (VIGIL_HOOKS=ON); install it beside " << printable(self.string())
            << ", or into a folder of PATH.\n";
  return 1;
}

}  // namespace vigil::tools
