#include "vigil/inspection/zip_archive.h"

#include <zlib.h>

#include <algorithm>
#include <new>

#include "vigil/inspection/piece_buffer.h"
#include "vigil/inspection/zip_checksum.h"
#include "vigil/inspection/zip_directory.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

constexpr std::size_t kInputBytes = std::size_t{1} << 16;

// The contents of an entry, from the beginning on.
class EntryContents {
 public:
  EntryContents(const ZipArchive& archive, const ZipEntry& entry) : archive_(archive), entry_(entry) {
    if (!entry.damage.empty()) archive.fail(entry, entry.damage);
    if (entry.method != ZipEntry::kDeflated) return;
    input_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kInputBytes, entry.file_bytes)));
    if (inflateInit2(&stream_, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
    inflating_ = true;
  }
  ~EntryContents() {
    if (inflating_) inflateEnd(&stream_);
  }
  EntryContents(const EntryContents&) = delete;
  EntryContents& operator=(const EntryContents&) = delete;

  // The next `count` bytes, which are there.
  void read(std::byte* into, std::size_t count) {
    if (inflating_) {
      inflate_into(into, count);
    } else {
      archive_.file().read(entry_.data_offset + position_, into, count);
    }
    position_ += count;
  }

  void skip(std::uint64_t count, std::byte* scratch, std::size_t scratch_bytes) {
    if (!inflating_) position_ += count;
    while (inflating_ && count > 0) {
      const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(count, scratch_bytes));
      read(scratch, piece);
      count -= piece;
    }
  }

  // That the packed data end where the contents do.
  void expect_end() {
    if (!inflating_) return;
    std::byte more;
    stream_.next_out = reinterpret_cast<Bytef*>(&more);
    stream_.avail_out = 1;
    int state = ended_ ? Z_STREAM_END : Z_OK;
    while (state == Z_OK && stream_.avail_out == 1) state = step();
    if (state != Z_STREAM_END || stream_.avail_out != 1 || consumed_ != entry_.file_bytes || stream_.avail_in != 0) refuse();
  }

 private:
  [[noreturn]] void refuse() const {
    archive_.fail(entry_, "has packed data that are damaged; copy the file again from where it came from");
  }

  int step() {
    if (stream_.avail_in == 0 && consumed_ < entry_.file_bytes) {
      const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(input_.size(), entry_.file_bytes - consumed_));
      archive_.file().read(entry_.data_offset + consumed_, input_.data(), piece);
      consumed_ += piece;
      stream_.next_in = input_.data();
      stream_.avail_in = static_cast<uInt>(piece);
    }
    return inflate(&stream_, Z_NO_FLUSH);
  }

  void inflate_into(std::byte* into, std::size_t count) {
    stream_.next_out = reinterpret_cast<Bytef*>(into);
    stream_.avail_out = static_cast<uInt>(count);
    while (stream_.avail_out > 0) {
      const int state = ended_ ? Z_BUF_ERROR : step();
      ended_ = state == Z_STREAM_END;
      if (state != Z_OK && !(ended_ && stream_.avail_out == 0)) refuse();
    }
  }

  const ZipArchive& archive_;
  const ZipEntry& entry_;
  std::uint64_t position_ = 0;
  std::uint64_t consumed_ = 0;
  std::vector<unsigned char> input_;
  z_stream stream_{};
  bool inflating_ = false;
  bool ended_ = false;
};

std::size_t piece_bytes(std::uint64_t left) { return static_cast<std::size_t>(std::min<std::uint64_t>(left, ZipArchive::kPieceBytes)); }

}  // namespace

ZipArchive::ZipArchive(const std::filesystem::path& path) : file_(std::make_unique<RegularFile>(path)) {
  ZipDirectory directory = read_zip_directory(*file_);
  entries_ = std::move(directory.entries);
  directory_offset_ = directory.offset;
  verified_ = std::make_unique<std::atomic<bool>[]>(entries_.size());
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (!by_name_.emplace(entries_[i].name, i).second)
      file_->fail("has two entries of the name " + entries_[i].name + "; it is damaged or made to deceive");
  }
}

const ZipEntry* ZipArchive::find(std::string_view name) const noexcept {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &entries_[found->second];
}

std::string ZipArchive::read(const ZipEntry& entry, std::uint64_t max_bytes) const {
  if (entry.bytes > max_bytes) fail(entry, "has " + bytes_text(entry.bytes) + "; at most " + bytes_text(max_bytes) + " of it are read");
  std::string contents;
  stream_all(entry, [&](const std::byte* data, std::size_t bytes) { contents.append(reinterpret_cast<const char*>(data), bytes); });
  return contents;
}

void ZipArchive::stream(const ZipEntry& entry, std::uint64_t offset, std::uint64_t bytes, const Use& use) const {
  if (offset > entry.bytes || bytes > entry.bytes - offset) fail(entry, "has fewer bytes than are asked for");
  if (bytes == entry.bytes) return stream_all(entry, use);
  verify_once(entry);
  const PieceBuffer buffer = piece_buffer(entry.method == ZipEntry::kDeflated ? kPieceBytes : piece_bytes(bytes));
  EntryContents contents(*this, entry);
  contents.skip(offset, buffer.get(), kPieceBytes);
  while (bytes > 0) {
    const std::size_t piece = piece_bytes(bytes);
    contents.read(buffer.get(), piece);
    use(buffer.get(), piece);
    bytes -= piece;
  }
}

void ZipArchive::verify_once(const ZipEntry& entry) const {
  // Relaxed: nothing else is published by it, and verifying twice does no harm.
  if (!verified_[static_cast<std::size_t>(&entry - entries_.data())].load(std::memory_order_relaxed))
    stream_all(entry, [](const std::byte*, std::size_t) {});
}

void ZipArchive::stream_all(const ZipEntry& entry, const Use& use) const {
  const PieceBuffer buffer = piece_buffer(piece_bytes(entry.bytes));
  EntryContents contents(*this, entry);
  std::uint32_t crc = 0;
  for (std::uint64_t left = entry.bytes; left > 0;) {
    const std::size_t piece = piece_bytes(left);
    contents.read(buffer.get(), piece);
    crc = zip_checksum(crc, buffer.get(), piece);
    use(buffer.get(), piece);
    left -= piece;
  }
  contents.expect_end();
  if (crc != entry.crc) fail(entry, "has a checksum that does not match its contents; copy the file again from where it came from");
  verified_[static_cast<std::size_t>(&entry - entries_.data())].store(true, std::memory_order_relaxed);
}

void ZipArchive::fail(const ZipEntry& entry, const std::string& what) const {
  throw ZipEntryError(printable(file_->path().string() + ": its entry " + entry.name + " " + what), what);
}

}  // namespace vigil
