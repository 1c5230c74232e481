#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vigil/inspection/zip_archive.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

constexpr const char* kCutOff = "is cut off; copy it again from where it came from";

}  // namespace

RegularFile::RegularFile(std::filesystem::path path) : path_(std::move(path)) {
  // Without waiting: a pipe has no other end perhaps.
  descriptor_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor_ < 0) fail(std::string("cannot be opened: ") + std::strerror(errno));
  struct stat status {};
  const bool known = fstat(descriptor_, &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    close(descriptor_);
    fail(known && S_ISDIR(status.st_mode) ? "is a folder; name a file of a saved model in it" : "is no regular file; copy it to one first");
  }
  bytes_ = static_cast<std::uint64_t>(status.st_size);
}

RegularFile::~RegularFile() { close(descriptor_); }

void RegularFile::read(std::uint64_t offset, void* into, std::size_t count) const {
  auto* data = static_cast<char*>(into);
  if (offset > bytes_ || count > bytes_ - offset) fail(kCutOff);
  while (count > 0) {
    const ssize_t got = pread(descriptor_, data, count, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(std::string("cannot be read: ") + std::strerror(errno));
    if (got == 0) fail("became shorter while it was read; try again when whatever writes it is done");
    data += got;
    offset += static_cast<std::uint64_t>(got);
    count -= static_cast<std::size_t>(got);
  }
}

std::vector<unsigned char> RegularFile::read(std::uint64_t offset, std::uint64_t count) const {
  // Before memory is asked for.
  if (offset > bytes_ || count > bytes_ - offset) fail(kCutOff);
  std::vector<unsigned char> data(static_cast<std::size_t>(count));
  read(offset, data.data(), data.size());
  return data;
}

void RegularFile::fail(const std::string& what) const { throw InspectionError(printable(path_.string() + ": " + what)); }

}  // namespace vigil
