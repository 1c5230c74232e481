// A file that is written as a whole or not at all.
#pragma once

#include <fstream>
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
  /// @throws std::runtime_error when not all could be written
  void commit();

 private:
  [[noreturn]] void fail(const std::string& what) const;

  const std::string path_;
  std::string beside_;  // empty: written to directly, or in its place
  std::ofstream stream_;
};

}  // namespace vigil
