// Files that are whole or not there, and directories that one process writes at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace vigil {

/// Bytes that a file is made of; called once with what takes the next piece.
using ByteSource = std::function<void(const std::function<void(const void*, std::size_t)>&)>;

struct FileDigest {
  std::uint64_t bytes = 0;
  std::string sha256;  ///< 64 hexadecimal digits
  bool operator==(const FileDigest& other) const { return bytes == other.bytes && sha256 == other.sha256; }
};

/// Writes a new file, which must not exist, with mode 0640, and flushes it to the disk. What `source` throws passes through.
/// @throws std::system_error that names the file
FileDigest write_flushed(const std::filesystem::path& path, const ByteSource& source);
/// Of a regular file; a link or a device is none. @throws std::system_error that names it
FileDigest digest_of(const std::filesystem::path& path);
/// The text of a regular file of at most `most_bytes`. @throws std::system_error, std::runtime_error when it is larger
std::string read_small(const std::filesystem::path& path, std::size_t most_bytes);
/// Flushes the names in a directory. @throws std::system_error
void flush_directory(const std::filesystem::path& path);
/// Copies a file that is there to one that is not, flushed. @throws std::system_error
void copy_flushed(const std::filesystem::path& from, const std::filesystem::path& to);

/// The right to write into a directory: of one process, and of one object in it, at a time.
class DirectoryLock {
 public:
  /// Makes the directory when it is missing. @throws std::system_error; std::runtime_error when somebody else has it
  explicit DirectoryLock(const std::filesystem::path& directory);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int file_ = -1;
};

}  // namespace vigil
