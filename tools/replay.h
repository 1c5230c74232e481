// `vigil replay`
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "vigil/config/rule_table.h"

namespace vigil::tools {

struct ReplayOptions {
  std::vector<std::string> files;
  std::string rules;  ///< a configuration file; empty: the defaults
  bool json = false;
  std::optional<Severity> fail_on;  ///< exit code 1 when a rule of at least this severity fired
  bool shows_progress = false;      ///< on `err`, which is a terminal then
};

/// Runs the rules over JSONL files: alerts to `out`, notes and errors to `err`. Returns the program's exit code.
int replay(const ReplayOptions& options, std::ostream& out, std::ostream& err);

}  // namespace vigil::tools
