// `vigil check-config`
#pragma once

#include <iosfwd>
#include <string>

namespace vigil::tools {

struct CheckConfigOptions {
  std::string file;
  bool quiet = false, json = false;
};

/// Writes what the rules of the file are to `out`, or what is wrong with it to `err`. Returns the program's exit code.
int check_config(const CheckConfigOptions& options, std::ostream& out, std::ostream& err);

}  // namespace vigil::tools
