#include "vigil/config/source_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace vigil::config_reader {
namespace {

class Descriptor {
 public:
  explicit Descriptor(const std::filesystem::path& path) : value_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int value() const { return value_; }

 private:
  int value_;
};

SourceFile failed(const std::string& got) { return {"", "expected a readable file, got " + got}; }

SourceFile failed_with(int error) { return failed("the error: " + std::generic_category().message(error)); }

}  // namespace

SourceFile read_source_file(const std::filesystem::path& path, std::size_t max_bytes) {
  const Descriptor file(path);
  if (file.value() < 0) return failed_with(errno);
  struct stat status = {};
  if (::fstat(file.value(), &status) != 0) return failed_with(errno);
  if (S_ISDIR(status.st_mode)) return failed("a directory");
  if (!S_ISREG(status.st_mode)) return failed("a pipe, socket or device");

  std::string text(max_bytes, '\0');  // not st_size, which is 0 for files that the kernel makes up
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = ::read(file.value(), text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed_with(errno);
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  text.resize(size);
  return {text, ""};
}

}  // namespace vigil::config_reader
