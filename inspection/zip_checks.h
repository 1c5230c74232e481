// What is damaged in an archive that can be opened.
#pragma once

#include <vector>

#include "vigil/inspection/saved_model.h"
#include "vigil/inspection/zip_archive.h"

namespace vigil {

/// Reads all of the archive: every entry's checksum, what follows its contents, and the filling that libtorch writes before them; in the
/// order of the directory, without the tensors' names.
std::vector<DamagedEntry> damaged_entries(const ZipArchive& archive);

}  // namespace vigil
