#include "vigil/inspection/zip_directory.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>

#include "vigil/inspection/little_endian.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

// Of APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.16.
constexpr std::size_t kCentralBytes = 46;
constexpr std::size_t kEndBytes = 22;
constexpr std::size_t kEnd64Bytes = 56;
constexpr std::size_t kLocatorBytes = 20;
constexpr std::size_t kMaxCommentBytes = 65535;
constexpr std::uint32_t kLocalSignature = 0x04034b50;
constexpr std::uint32_t kCentralSignature = 0x02014b50;
constexpr std::uint32_t kEndSignature = 0x06054b50;
constexpr std::uint32_t kEnd64Signature = 0x06064b50;
constexpr std::uint32_t kLocatorSignature = 0x07064b50;
constexpr std::uint32_t kIn64 = 0xffffffff;
constexpr std::uint16_t kEncrypted = 1;
// Deflate makes at most 1032 bytes of one.
constexpr std::uint64_t kMaxInflation = 1032;

constexpr const char* kDamaged = "its directory of entries is damaged; copy it again from where it came from";

struct Bounds {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t entries = 0;
  std::uint64_t end = 0;  // of what the directory may take
};

std::uint64_t number(const std::vector<unsigned char>& data, std::size_t offset, std::size_t bytes) {
  return little_endian(data.data() + offset, bytes);
}

Bounds bounds64(const RegularFile& file, const std::vector<unsigned char>& locator, std::uint64_t locator_offset) {
  const std::uint64_t offset = number(locator, 8, 8);
  if (locator_offset < kEnd64Bytes || offset > locator_offset - kEnd64Bytes || number(locator, 4, 4) != 0) file.fail(kDamaged);
  const std::vector<unsigned char> end = file.read(offset, kEnd64Bytes);
  if (number(end, 0, 4) != kEnd64Signature || number(end, 16, 4) != 0 || number(end, 20, 4) != 0 ||
      number(end, 24, 8) != number(end, 32, 8) || number(end, 4, 8) != locator_offset - offset - 12) {
    file.fail(kDamaged);
  }
  return {number(end, 48, 8), number(end, 40, 8), number(end, 32, 8), offset};
}

Bounds find_directory(const RegularFile& file) {
  const std::uint64_t tail_bytes = std::min<std::uint64_t>(file.bytes(), kEndBytes + kMaxCommentBytes);
  if (tail_bytes < kEndBytes) file.fail(describe_foreign_file(file));
  const std::vector<unsigned char> tail = file.read(file.bytes() - tail_bytes, tail_bytes);
  std::size_t at = tail.size() - kEndBytes + 1;
  do {
    if (at == 0) file.fail(describe_foreign_file(file));
    --at;
  } while (number(tail, at, 4) != kEndSignature || number(tail, at + 20, 2) != tail.size() - at - kEndBytes);
  const std::uint64_t end_offset = file.bytes() - tail_bytes + at;
  if (number(tail, at + 4, 4) != 0 || number(tail, at + 8, 2) != number(tail, at + 10, 2)) file.fail(kDamaged);
  Bounds found{number(tail, at + 16, 4), number(tail, at + 12, 4), number(tail, at + 10, 2), end_offset};
  if (end_offset < kLocatorBytes) return found;
  const std::vector<unsigned char> locator = file.read(end_offset - kLocatorBytes, kLocatorBytes);
  if (number(locator, 0, 4) != kLocatorSignature) return found;
  const Bounds wide = bounds64(file, locator, end_offset - kLocatorBytes);
  if ((found.offset != kIn64 && found.offset != wide.offset) || (found.bytes != kIn64 && found.bytes != wide.bytes) ||
      (found.entries != 0xffff && found.entries != wide.entries)) {
    file.fail(kDamaged);
  }
  return wide;
}

// Gives the numbers that did not fit into 32 bits the values that the extra field has for them.
bool widen(const unsigned char* extra, std::size_t extra_bytes, const std::vector<std::uint64_t*>& numbers) {
  std::vector<std::uint64_t*> wide;
  for (std::uint64_t* const each : numbers) {
    if (*each == kIn64) wide.push_back(each);
  }
  if (wide.empty()) return true;
  for (std::size_t at = 0; extra_bytes - at >= 4;) {
    const std::size_t size = little_endian(extra + at + 2, 2);
    if (size > extra_bytes - at - 4) return false;
    if (little_endian(extra + at, 2) == 1) {
      if (size < 8 * wide.size()) return false;
      for (std::size_t i = 0; i < wide.size(); ++i) *wide[i] = little_endian(extra + at + 4 + 8 * i, 8);
      return true;
    }
    at += 4 + size;
  }
  return false;
}

// Sets where the data of an entry begin; false: its own header is not as the directory says. `times` of the directory stand in the header
// too.
bool matches_local_header(const RegularFile& file, std::uint64_t end, const unsigned char* central, ZipEntry& entry) {
  if (entry.header_offset > end || end - entry.header_offset < ZipEntry::kHeaderBytes + entry.name.size()) return false;
  const std::vector<unsigned char> local = file.read(entry.header_offset, ZipEntry::kHeaderBytes + entry.name.size());
  const std::uint64_t extra_bytes = number(local, 28, 2);
  if (number(local, 0, 4) != kLocalSignature || std::memcmp(local.data() + 4, central + 6, 10) != 0 ||
      number(local, 26, 2) != entry.name.size() ||
      std::memcmp(local.data() + ZipEntry::kHeaderBytes, entry.name.data(), entry.name.size()) != 0 ||
      end - entry.header_offset - local.size() < extra_bytes) {
    return false;
  }
  entry.data_offset = entry.header_offset + local.size() + extra_bytes;
  if (end - entry.data_offset < entry.file_bytes) return false;
  std::uint64_t file_bytes = number(local, 18, 4);
  std::uint64_t bytes = number(local, 22, 4);
  if (file_bytes == kIn64 || bytes == kIn64) {
    const std::vector<unsigned char> extra = file.read(entry.header_offset + local.size(), extra_bytes);
    if (!widen(extra.data(), extra.size(), {&bytes, &file_bytes})) return false;
  }
  const std::uint64_t crc = number(local, 14, 4);
  const bool follow = (entry.flags & ZipEntry::kSizesFollow) != 0;
  return (crc == entry.crc || (follow && crc == 0)) && (file_bytes == entry.file_bytes || (follow && file_bytes == 0)) &&
         (bytes == entry.bytes || (follow && bytes == 0));
}

std::string what_hinders(const ZipEntry& entry) {
  if ((entry.flags & kEncrypted) != 0) return "is encrypted; unpack the archive with its password and pack it again";
  if (entry.method != ZipEntry::kStored && entry.method != ZipEntry::kDeflated)
    return "is packed by method " + std::to_string(entry.method) + "; pack the archive again with deflate or store";
  if (entry.method == ZipEntry::kStored && entry.bytes != entry.file_bytes) return "has two sizes; the file is damaged";
  if (entry.method == ZipEntry::kDeflated && entry.bytes / kMaxInflation > entry.file_bytes)
    return "says that it unpacks to more than it can; the file is damaged";
  return "";
}

void refuse_overlaps(const RegularFile& file, const std::vector<ZipEntry>& entries) {
  std::vector<std::size_t> order(entries.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return entries[a].header_offset < entries[b].header_offset; });
  const ZipEntry* before = nullptr;
  for (const std::size_t index : order) {
    const ZipEntry& entry = entries[index];
    // One whose header is damaged may lie anywhere.
    if (entry.data_offset == 0) continue;
    if (before != nullptr && entry.header_offset < before->data_offset + before->file_bytes)
      file.fail("has entries that lie upon each other (" + before->name + " and " + entry.name + "); it is damaged or made to deceive");
    before = &entry;
  }
}

}  // namespace

ZipDirectory read_zip_directory(const RegularFile& file) {
  const Bounds bounds = find_directory(file);
  if (bounds.offset > bounds.end || bounds.bytes != bounds.end - bounds.offset) file.fail(kDamaged);
  if (bounds.entries > ZipArchive::kMaxEntries || bounds.bytes > ZipArchive::kMaxDirectoryBytes) {
    file.fail("has a directory of " + grouped(bounds.entries) + " entries and " + bytes_text(bounds.bytes) + "; at most " +
              grouped(ZipArchive::kMaxEntries) + " and " + bytes_text(ZipArchive::kMaxDirectoryBytes) + " are read");
  }
  if (bounds.bytes / kCentralBytes < bounds.entries) file.fail(kDamaged);
  const std::vector<unsigned char> data = file.read(bounds.offset, bounds.bytes);
  ZipDirectory directory;
  directory.offset = bounds.offset;
  directory.entries.reserve(static_cast<std::size_t>(bounds.entries));
  std::size_t at = 0;
  for (std::uint64_t i = 0; i < bounds.entries; ++i) {
    if (data.size() - at < kCentralBytes || number(data, at, 4) != kCentralSignature) file.fail(kDamaged);
    const std::size_t name_bytes = number(data, at + 28, 2);
    const std::size_t extra_bytes = number(data, at + 30, 2);
    const std::size_t comment_bytes = number(data, at + 32, 2);
    if (data.size() - at - kCentralBytes < name_bytes + extra_bytes + comment_bytes || number(data, at + 34, 2) != 0) file.fail(kDamaged);
    if (name_bytes > ZipArchive::kMaxNameBytes) {
      file.fail("has an entry with a name of " + std::to_string(name_bytes) + " bytes; at most " +
                std::to_string(ZipArchive::kMaxNameBytes) + " are read");
    }
    const unsigned char* const central = data.data() + at;
    ZipEntry entry;
    entry.flags = static_cast<std::uint16_t>(number(data, at + 8, 2));
    entry.method = static_cast<std::uint16_t>(number(data, at + 10, 2));
    entry.crc = static_cast<std::uint32_t>(number(data, at + 16, 4));
    entry.file_bytes = number(data, at + 20, 4);
    entry.bytes = number(data, at + 24, 4);
    entry.header_offset = number(data, at + 42, 4);
    entry.name.assign(reinterpret_cast<const char*>(central) + kCentralBytes, name_bytes);
    if (!widen(central + kCentralBytes + name_bytes, extra_bytes, {&entry.bytes, &entry.file_bytes, &entry.header_offset}))
      file.fail(kDamaged);
    if (!matches_local_header(file, bounds.offset, central, entry)) {
      entry.data_offset = 0;
      entry.damage = "is not where or what the directory of the file says; the file is damaged";
    } else {
      entry.damage = what_hinders(entry);
    }
    if (entry.name.empty() || entry.name.back() != '/') directory.entries.push_back(std::move(entry));
    at += kCentralBytes + name_bytes + extra_bytes + comment_bytes;
  }
  if (at != data.size()) file.fail(kDamaged);
  refuse_overlaps(file, directory.entries);
  return directory;
}

}  // namespace vigil
