// Which process, and of which start of the machine: what tells a trainer that lives from another one with its number.
#pragma once

#include <array>
#include <cstdint>

namespace vigil {

/// The calling process. What /proc does not tell is 0.
struct ProcessIdentity {
  std::int64_t pid = 0;
  std::uint64_t pid_namespace = 0;
  std::uint64_t process_start = 0;
  std::array<std::uint8_t, 16> boot_id{};
};
ProcessIdentity this_process();

/// What /proc says of a process.
struct ProcessSeen {
  bool is_known = true;     ///< false: it could not be asked, as there were no descriptors left; the rest says nothing then
  bool is_there = false;    ///< and not only waiting for its parent to look at its exit status
  std::uint64_t start = 0;  ///< clock ticks after boot; 0: not known
};
ProcessSeen look_at_process(std::int64_t pid);

/// Whether another process holds a write lock on byte 0 of an open file, as who writes a ring file does until it ends. Only who may write
/// to the file can hold one; who may read it can hold a read lock, which says nothing. False too where the file system knows no locks.
bool is_write_locked(int file) noexcept;

}  // namespace vigil
