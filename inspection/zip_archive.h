// ZIP archives of any origin, read with pread into private memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "vigil/inspection/inspection_error.h"

namespace vigil {

/// Says of one entry what is wrong with it.
class ZipEntryError : public InspectionError {
 public:
  ZipEntryError(const std::string& message, std::string reason) : InspectionError(message), reason_(std::move(reason)) {}
  /// The end of a sentence that begins with the entry's name.
  const std::string& reason() const noexcept { return reason_; }

 private:
  std::string reason_;
};

/// A file, to be read at any place of it.
class RegularFile {
 public:
  /// Follows links. @throws InspectionError if it is not there, not readable, or a folder, pipe, socket or device
  explicit RegularFile(std::filesystem::path path);
  ~RegularFile();
  RegularFile(const RegularFile&) = delete;
  RegularFile& operator=(const RegularFile&) = delete;

  const std::filesystem::path& path() const noexcept { return path_; }
  /// When it was opened.
  std::uint64_t bytes() const noexcept { return bytes_; }
  /// @throws InspectionError if there are fewer bytes or they cannot be read
  void read(std::uint64_t offset, void* into, std::size_t count) const;
  std::vector<unsigned char> read(std::uint64_t offset, std::uint64_t count) const;
  /// Throws what names the file.
  [[noreturn]] void fail(const std::string& what) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t bytes_ = 0;
};

struct ZipEntry {
  static constexpr std::uint16_t kStored = 0;
  static constexpr std::uint16_t kDeflated = 8;
  static constexpr std::uint16_t kSizesFollow = 8;  ///< a flag: checksum and sizes stand behind the contents
  static constexpr std::size_t kHeaderBytes = 30;   ///< of its own header, without name and extra field

  std::string name;
  std::uint64_t header_offset = 0;  ///< of its local header in the file
  std::uint64_t data_offset = 0;    ///< of its data in the file
  std::uint64_t file_bytes = 0;     ///< that its data take in the file
  std::uint64_t bytes = 0;          ///< of its contents
  std::uint32_t crc = 0;            ///< CRC-32 of its contents
  std::uint16_t method = kStored;
  std::uint16_t flags = 0;
  /// Why its contents cannot be had, as the end of a sentence that begins with its name; empty for a good one.
  std::string damage;
};

/// The directory of an archive, and the contents of its entries. Any thread, several at once.
class ZipArchive {
 public:
  static constexpr std::uint64_t kMaxEntries = std::uint64_t{1} << 20;
  static constexpr std::uint64_t kMaxDirectoryBytes = std::uint64_t{1} << 28;
  static constexpr std::size_t kMaxNameBytes = 4096;
  static constexpr std::size_t kPieceBytes = std::size_t{1} << 18;

  /// What `stream` calls; `data` is aligned to 64 bytes.
  using Use = std::function<void(const std::byte* data, std::size_t bytes)>;

  /// Reads the directory and the entries' own headers. Entries that lie upon each other, leave the file or have one name are refused.
  /// @throws InspectionError that says what the file is instead, where that can be told
  explicit ZipArchive(const std::filesystem::path& path);

  const RegularFile& file() const noexcept { return *file_; }
  /// In the order of the file's directory; none is a folder.
  const std::vector<ZipEntry>& entries() const noexcept { return entries_; }
  /// Null if there is none.
  const ZipEntry* find(std::string_view name) const noexcept;
  std::uint64_t directory_offset() const noexcept { return directory_offset_; }

  /// All of an entry's contents, whose checksum was verified. @throws InspectionError also where it has more than `max_bytes`
  std::string read(const ZipEntry& entry, std::uint64_t max_bytes) const;
  /// `bytes` of its contents from `offset` on, all pieces but the last of kPieceBytes. Where that is all of it its checksum is verified
  /// after the last piece, else before the first, once for each entry. @throws InspectionError, a ZipEntryError where the entry is to
  /// blame; what `use` throws
  void stream(const ZipEntry& entry, std::uint64_t offset, std::uint64_t bytes, const Use& use) const;
  /// Throws a ZipEntryError, which names the file and the entry.
  [[noreturn]] void fail(const ZipEntry& entry, const std::string& what) const;

 private:
  void verify_once(const ZipEntry& entry) const;
  void stream_all(const ZipEntry& entry, const Use& use) const;

  std::unique_ptr<RegularFile> file_;
  std::vector<ZipEntry> entries_;
  std::unordered_map<std::string_view, std::size_t> by_name_;
  std::unique_ptr<std::atomic<bool>[]> verified_;
  std::uint64_t directory_offset_ = 0;
};

}  // namespace vigil
