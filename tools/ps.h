// `vigil ps`
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "vigil/terminal/text_style.h"

namespace vigil::tools {

struct PsOptions {
  std::vector<std::string> directories;  ///< empty: the usual ones
  std::string rules;                     ///< a configuration file; empty: the defaults
  bool json = false;
  bool shows_progress = false;  ///< on `err`, which is a terminal then
  OutputPlace place;
};

/// One line for each ring file to `out`, notes and errors to `err`. Returns the program's exit code.
int ps(const PsOptions& options, std::ostream& out, std::ostream& err);

}  // namespace vigil::tools
