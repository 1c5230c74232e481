// Reading the project's own files in tests.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "files.h"

namespace vigil {

using test::read_text;

inline std::filesystem::path source_path(const std::string& relative) { return std::filesystem::path(VIGIL_SOURCE_DIR) / relative; }

/// The C++ files of a folder, sorted by the directory order of the file system.
inline std::vector<std::filesystem::path> cpp_files(const std::string& folder) {
  std::vector<std::filesystem::path> files;
  if (!std::filesystem::exists(source_path(folder))) return files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(source_path(folder))) {
    const auto extension = entry.path().extension();
    if (extension == ".h" || extension == ".cpp") files.push_back(entry.path());
  }
  return files;
}

}  // namespace vigil
