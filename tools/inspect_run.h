// `vigil inspect` of a run: its latest sample.
#pragma once

#include <iosfwd>

#include "vigil/tools/inspect.h"

namespace vigil::tools {

/// As inspect(), of options that go together.
int inspect_run(const InspectOptions& options, std::ostream& out, std::ostream& err);

}  // namespace vigil::tools
