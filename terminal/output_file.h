// A file that is written as a whole or not at all.
#pragma once

#include <cstddef>
#include <fstream>
#include <functional>
#include <string>

namespace vigil {

/// Writes beside `path` and takes its place in commit(); without that, nothing is left. What is there and is no regular file (a pipe, a
/// terminal) is written to directly.
class OutputFile {
 public:
  /// @throws std::runtime_error that names the file
  explicit OutputFile(std::string path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  std::ostream& stream() noexcept { return stream_; }
  /// For writers that end the process when a write falls short, as libtorch's do: claims that all was written, and commit() tells.
  /// Valid as long as this is.
  std::function<std::size_t(const void* data, std::size_t bytes)> sink() {
    return [this](const void* data, std::size_t bytes) {
      stream_.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
      return bytes;
    };
  }
  /// @throws std::runtime_error when not all could be written
  void commit();

 private:
  [[noreturn]] void fail(const std::string& what) const;

  const std::string path_;
  std::string beside_;  // empty: written to directly, or in its place
  std::ofstream stream_;
};

}  // namespace vigil
