// `vigil diff`
#pragma once

#include <iosfwd>
#include <string>

#include "vigil/terminal/text_style.h"

namespace vigil::tools {

struct DiffOptions {
  std::string a, b;
  /// A tensor that has changed by at most so much, in ‖b − a‖ / ‖a‖, and only in finite elements, counts as equal; 0: every bit counts.
  double threshold = 0;
  bool json = false;
  unsigned threads = 0;         ///< 0: as many as the machine runs at once
  bool shows_progress = false;  ///< on `err`, which is a terminal then
  OutputPlace place;
};

/// What differs between two saved models to `out`, errors to `err`. Returns the program's exit code, as of diff(1): 0 they are equal, 1
/// they are not, 2 one of them is no model or cannot be read as a whole.
int diff_models(const DiffOptions& options, std::ostream& out, std::ostream& err);

}  // namespace vigil::tools
