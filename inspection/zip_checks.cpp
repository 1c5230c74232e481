#include "vigil/inspection/zip_checks.h"

#include <algorithm>
#include <string>

#include "vigil/inspection/little_endian.h"

namespace vigil {
namespace {

constexpr std::uint32_t kDescriptorSignature = 0x08074b50;
// "FB" with a filling of 'Z', so that contents begin at a multiple of 64 bytes.
constexpr std::uint64_t kFilling = 0x4246;

// The extra field of its own header; empty for a good one.
std::string damage_before(const ZipArchive& archive, const ZipEntry& entry) {
  const std::uint64_t begin = entry.header_offset + ZipEntry::kHeaderBytes + entry.name.size();
  const std::vector<unsigned char> extra = archive.file().read(begin, entry.data_offset - begin);
  for (std::size_t at = 0; at < extra.size();) {
    if (extra.size() - at < 4) return "has a damaged header";
    const std::size_t size = little_endian(extra.data() + at + 2, 2);
    if (size > extra.size() - at - 4) return "has a damaged header";
    const auto* const content = extra.data() + at + 4;
    if (little_endian(extra.data() + at, 2) == kFilling && std::any_of(content, content + size, [](unsigned char c) { return c != 'Z'; }))
      return "has a damaged filling before its contents, which are not concerned";
    at += 4 + size;
  }
  return "";
}

// The checksum and the sizes that follow its contents, in 32 or 64 bits.
std::string damage_behind(const ZipArchive& archive, const ZipEntry& entry) {
  if ((entry.flags & ZipEntry::kSizesFollow) == 0) return "";
  const std::uint64_t begin = entry.data_offset + entry.file_bytes;
  const std::vector<unsigned char> behind = archive.file().read(begin, std::min<std::uint64_t>(24, archive.directory_offset() - begin));
  // A signature before them is usual and not required.
  for (const std::size_t at : {std::size_t{4}, std::size_t{0}}) {
    for (const std::size_t width : {std::size_t{4}, std::size_t{8}}) {
      if (behind.size() < at + 4 + 2 * width || (at == 4 && little_endian(behind.data(), 4) != kDescriptorSignature)) continue;
      if (little_endian(behind.data() + at, 4) == entry.crc && little_endian(behind.data() + at + 4, width) == entry.file_bytes &&
          little_endian(behind.data() + at + 4 + width, width) == entry.bytes) {
        return "";
      }
    }
  }
  return "is followed by another checksum or size than the directory of the file says";
}

std::string damage_of(const ZipArchive& archive, const ZipEntry& entry) {
  try {
    archive.stream(entry, 0, entry.bytes, [](const std::byte*, std::size_t) {});
  } catch (const ZipEntryError& error) {
    return error.reason();
  }
  const std::string before = damage_before(archive, entry);
  return before.empty() ? damage_behind(archive, entry) : before;
}

}  // namespace

std::vector<DamagedEntry> damaged_entries(const ZipArchive& archive) {
  std::vector<DamagedEntry> damaged;
  for (const ZipEntry& entry : archive.entries()) {
    std::string what = damage_of(archive, entry);
    if (!what.empty()) damaged.push_back({entry.name, "", std::move(what)});
  }
  return damaged;
}

}  // namespace vigil
