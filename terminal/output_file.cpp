#include "vigil/terminal/output_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace vigil {

OutputFile::OutputFile(std::string path) : path_(std::move(path)) {
  struct stat status {};
  const bool is_direct = stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode);
  if (!is_direct) beside_ = path_ + ".tmp-" + std::to_string(getpid());
  errno = 0;
  stream_.open(is_direct ? path_ : beside_, std::ios::binary | std::ios::trunc);
  if (!stream_) {
    beside_.clear();
    fail("opened");
  }
}

OutputFile::~OutputFile() {
  if (!beside_.empty()) unlink(beside_.c_str());
}

void OutputFile::commit() {
  if (stream_) errno = 0;  // else it is of the write that failed
  stream_.close();
  if (!stream_) fail("written");
  if (!beside_.empty() && std::rename(beside_.c_str(), path_.c_str()) != 0) fail("put in its place");
  beside_.clear();
}

void OutputFile::fail(const std::string& what) const {
  const std::string reason = errno != 0 ? ": " + std::generic_category().message(errno) : std::string();
  throw std::runtime_error("'" + path_ + "' cannot be " + what + reason);
}

}  // namespace vigil
