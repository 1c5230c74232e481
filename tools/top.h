// `vigil top`
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

#include "vigil/terminal/text_style.h"
#include "vigil/tools/ring_search.h"

namespace vigil::tools {

struct TopOptions {
  RunChoice run;
  bool once = false;  ///< one picture as text, without a terminal
  std::int64_t interval_ms = 1000;
  std::string rules;  ///< a configuration file; empty: the defaults
  OutputPlace place;  ///< of `out`
};

/// Shows a run in the terminal on stdin and stdout until the user quits, or a signal comes, by which the program then dies once the
/// terminal is as it was. Errors go to `err`. Returns the program's exit code.
int top(const TopOptions& options, std::ostream& out, std::ostream& err);

}  // namespace vigil::tools
