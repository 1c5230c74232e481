// The directory of a ZIP archive.
#pragma once

#include <cstdint>
#include <vector>

#include "vigil/inspection/zip_archive.h"

namespace vigil {

struct ZipDirectory {
  std::uint64_t offset = 0;  ///< in the file
  std::vector<ZipEntry> entries;
};

/// As ZipArchive's constructor. An entry whose own header is not as the directory says has a `damage`.
ZipDirectory read_zip_directory(const RegularFile& file);

/// What a file is that is no archive, as the end of a sentence that begins with its name, with advice: "is a PNG picture; …".
std::string describe_foreign_file(const RegularFile& file);

}  // namespace vigil
