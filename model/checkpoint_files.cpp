#include "vigil/model/checkpoint_files.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

namespace vigil {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& what, const fs::path& path) {
  throw std::system_error(errno, std::generic_category(), "cannot " + what + " '" + path.string() + "'");
}

// Of a file that is open.
class OpenFile {
 public:
  OpenFile(const fs::path& path, int flags) : path_(path), file_(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0640)) {
    if (file_ < 0) fail("open", path);
  }
  ~OpenFile() {
    if (file_ >= 0) ::close(file_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  void write(const void* data, std::size_t bytes) {
    const auto* next = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t written = ::write(file_, next, bytes);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) fail("write", path_);
      next += written;
      bytes -= static_cast<std::size_t>(written);
    }
  }
  std::size_t read(void* data, std::size_t bytes) {
    for (;;) {
      const ssize_t got = ::read(file_, data, bytes);
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) fail("read", path_);
    }
  }
  void flush_and_close() {
    if (::fsync(file_) != 0) fail("flush", path_);
    const int closing = std::exchange(file_, -1);
    if (::close(closing) != 0) fail("close", path_);
  }
  struct stat status() const {
    struct stat status {};
    if (::fstat(file_, &status) != 0) fail("look at", path_);
    return status;
  }
  void expect_regular() const {
    if (S_ISREG(status().st_mode)) return;
    errno = EINVAL;
    fail("read what is no regular file,", path_);
  }

 private:
  const fs::path path_;
  int file_;
};

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
  }
  void add(const void* data, std::size_t bytes) {
    if (EVP_DigestUpdate(context_.get(), data, bytes) != 1) throw std::runtime_error("SHA-256 failed");
    bytes_ += bytes;
  }
  FileDigest end() {
    std::array<unsigned char, 32> hash{};
    if (EVP_DigestFinal_ex(context_.get(), hash.data(), nullptr) != 1) throw std::runtime_error("SHA-256 failed");
    FileDigest digest{bytes_, {}};
    for (const unsigned char byte : hash) {
      digest.sha256 += "0123456789abcdef"[byte >> 4];
      digest.sha256 += "0123456789abcdef"[byte & 15];
    }
    return digest;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
  std::uint64_t bytes_ = 0;
};

constexpr std::size_t kPiece = std::size_t{1} << 20;

}  // namespace

FileDigest write_flushed(const fs::path& path, const ByteSource& source) {
  OpenFile file(path, O_WRONLY | O_CREAT | O_EXCL);
  Sha256 hash;
  source([&](const void* data, std::size_t bytes) {
    file.write(data, bytes);
    hash.add(data, bytes);
  });
  file.flush_and_close();
  return hash.end();
}

FileDigest digest_of(const fs::path& path) {
  OpenFile file(path, O_RDONLY | O_NONBLOCK);  // a FIFO in its place shall not hold us up
  file.expect_regular();
  Sha256 hash;
  std::vector<char> piece(kPiece);
  while (const std::size_t got = file.read(piece.data(), piece.size())) hash.add(piece.data(), got);
  return hash.end();
}

std::string read_small(const fs::path& path, std::size_t most_bytes) {
  OpenFile file(path, O_RDONLY | O_NONBLOCK);
  file.expect_regular();
  std::string text;
  std::vector<char> piece(64 << 10);
  while (const std::size_t got = file.read(piece.data(), piece.size())) {
    if (text.size() + got > most_bytes)
      throw std::runtime_error("'" + path.string() + "' is larger than " + std::to_string(most_bytes) + " bytes");
    text.append(piece.data(), got);
  }
  return text;
}

void flush_directory(const fs::path& path) {
  const int directory = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) fail("open", path);
  const int result = ::fsync(directory);
  const int error = errno;
  ::close(directory);
  errno = error;
  if (result != 0 && error != EINVAL) fail("flush", path);  // EINVAL: a file system that has no such thing
}

void copy_flushed(const fs::path& from, const fs::path& to) {
  OpenFile in(from, O_RDONLY | O_NONBLOCK);
  in.expect_regular();
  write_flushed(to, [&in](const auto& take) {
    std::vector<char> piece(kPiece);
    while (const std::size_t got = in.read(piece.data(), piece.size())) take(piece.data(), got);
  });
}

DirectoryLock::DirectoryLock(const fs::path& directory) {
  if (::mkdir(directory.c_str(), 0750) != 0 && errno != EEXIST) fail("make", directory);
  const fs::path path = directory / ".vigil-lock";
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (file_ < 0) fail("open", path);
  if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  ::close(file_);
  errno = error;
  if (error == EWOULDBLOCK) {
    throw std::runtime_error("another Checkpointer writes into '" + directory.string() + "'; give each run a directory of its own");
  }
  fail("lock", path);
}

DirectoryLock::~DirectoryLock() { ::close(file_); }  // and with it the lock

}  // namespace vigil
