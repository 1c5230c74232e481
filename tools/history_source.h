// A run out of the history that vigild keeps, for `vigil export`.
#pragma once

#include <string>

#include "vigil/tools/export.h"

namespace vigil::tools {

/// The newest attempt of a run of rank `rank` in the database `path`: its schema, its events, and all of its steps that are kept, bit
/// by bit; frames are left in the database. @throws std::runtime_error when there is no such database or run
ExportSource history_source(const std::string& path, const std::string& run, int rank);

}  // namespace vigil::tools
