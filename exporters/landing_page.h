// The page at / of the endpoint.
#pragma once

#include <string>

#include "vigil/monitor/snapshot.h"

namespace vigil {

/// HTML with name, version, the run and its latest figures, and links. Refers to nothing outside itself; every text from the run
/// is escaped. `snapshot` may be null.
std::string render_landing_page(const Snapshot* snapshot);

}  // namespace vigil
