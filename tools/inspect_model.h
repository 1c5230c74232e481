// `vigil inspect` of a saved model.
#pragma once

#include <iosfwd>

#include "vigil/tools/inspect.h"

namespace vigil::tools {

/// As inspect(), of options that go together.
int inspect_model(const InspectOptions& options, std::ostream& out, std::ostream& err);

}  // namespace vigil::tools
