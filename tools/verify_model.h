// `vigil verify`
#pragma once

#include <iosfwd>
#include <string>

#include "vigil/terminal/text_style.h"

namespace vigil::tools {

struct VerifyOptions {
  std::string file;
  bool json = false;
  bool strict = false;          ///< notes count as faults
  unsigned threads = 0;         ///< 0: as many as the machine runs at once
  bool shows_progress = false;  ///< on `err`, which is a terminal then
  OutputPlace place;
};

/// Names every fault of a saved model to `out`, errors to `err`. Returns the program's exit code: 0 there is none; 1 there are; 2 the file
/// is no model.
int verify_model(const VerifyOptions& options, std::ostream& out, std::ostream& err);

}  // namespace vigil::tools
