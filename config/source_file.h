// A configuration file's bytes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace vigil::config_reader {

struct SourceFile {
  std::string text;
  std::string problem;  ///< `expected …, got …`; empty when `text` is what the file holds
};

/// The first `max_bytes` of a regular file, or all of it when it is shorter. Waits for nothing but the file system: a pipe or a device is a
/// problem, not a wait.
SourceFile read_source_file(const std::filesystem::path& path, std::size_t max_bytes);

}  // namespace vigil::config_reader
