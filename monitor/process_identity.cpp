#include "vigil/monitor/process_identity.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>

namespace vigil {
namespace {

// The beginning of a file of /proc; empty when it cannot be read, for the reason in errno.
std::string read_start(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  std::array<char, 1024> buffer;
  const ssize_t size = read(file, buffer.data(), buffer.size());
  const int error = errno;
  close(file);
  errno = error;
  return size > 0 ? std::string(buffer.data(), static_cast<std::size_t>(size)) : std::string();
}

// State and start time out of proc(5)'s stat, whose second field is a name that may hold anything.
ProcessSeen parse_stat(std::string_view text) {
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos || name_end + 2 >= text.size()) return {};
  text.remove_prefix(name_end + 2);
  const char state = text.front();
  ProcessSeen seen;
  seen.is_there = state != 'Z' && state != 'X' && state != 'x';
  constexpr int kStartField = 22, kStateField = 3;
  for (int field = kStateField; field < kStartField; ++field) {
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos) return seen;
    text.remove_prefix(space + 1);
  }
  std::from_chars(text.data(), text.data() + text.size(), seen.start);
  return seen;
}

std::array<std::uint8_t, 16> parse_uuid(std::string_view text) {
  std::array<std::uint8_t, 16> bytes{};
  std::size_t digits = 0;
  for (const char c : text) {
    std::uint8_t digit = 0;
    if (std::from_chars(&c, &c + 1, digit, 16).ec != std::errc{}) continue;  // a dash, or the newline
    if (digits == 2 * bytes.size()) break;
    bytes[digits / 2] = static_cast<std::uint8_t>(bytes[digits / 2] << 4 | digit);
    ++digits;
  }
  return bytes;
}

}  // namespace

ProcessSeen look_at_process(std::int64_t pid) {
  const std::string stat = read_start("/proc/" + std::to_string(pid) + "/stat");
  const bool is_known = !stat.empty() || errno == ENOENT || errno == ESRCH;  // gone before, or since, the file was opened
  ProcessSeen seen = parse_stat(stat);
  seen.is_known = is_known;
  return seen;
}

bool is_write_locked(int file) noexcept {
  struct flock lock {};
  lock.l_type = F_RDLCK;  // which a write lock alone would be in the way of
  lock.l_whence = SEEK_SET;
  lock.l_len = 1;
  return fcntl(file, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

ProcessIdentity this_process() {
  ProcessIdentity identity;
  identity.pid = getpid();
  struct stat status {};
  if (stat("/proc/self/ns/pid", &status) == 0) identity.pid_namespace = status.st_ino;
  identity.process_start = parse_stat(read_start("/proc/self/stat")).start;
  identity.boot_id = parse_uuid(read_start("/proc/sys/kernel/random/boot_id"));
  return identity;
}

}  // namespace vigil
