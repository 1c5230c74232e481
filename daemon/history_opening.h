// Opening the file of the history for writing: who may, what it has to be, and what becomes of one that is damaged.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <sys/types.h>

#include "vigil/daemon/database.h"

namespace vigil {

/// Keeps other processes, and other writers of this one, from the same history. The lock is the file `<path>.lock`, which stays.
class HistoryLock {
 public:
  /// @throws std::runtime_error that says what to do when another holds it, or the file cannot be made
  explicit HistoryLock(const std::string& path);
  ~HistoryLock();
  HistoryLock(const HistoryLock&) = delete;
  HistoryLock& operator=(const HistoryLock&) = delete;
  /// Removes the file if this has made it: for a path that is not to have a history.
  void take_back() noexcept;

 private:
  const std::string path_;
  int file_ = -1;
  bool is_new_ = false;
};

/// Which file a path led to, to tell whether it still does. Immutable.
class FileAtPath {
 public:
  FileAtPath() = default;                        ///< none: is_there() is false
  explicit FileAtPath(const std::string& path);  ///< what is there now
  /// False once it was deleted or moved, or another one has its path. A system call.
  bool is_there() const noexcept;

 private:
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

struct OpenedHistory {
  Database database;
  bool was_put_aside = false;  ///< there was one before, damaged
};

/// Opens or makes the history at `path` while HistoryLock is held. One that is damaged is put aside; its check looks at the whole of a file
/// of at most `check_bytes`, else at the small tables.
/// @throws std::runtime_error that says what to do: no folder, no permission, no room, not a history, one of a newer vigild
OpenedHistory open_history(const std::string& path, std::int64_t check_bytes);

/// Renames the file to `<path>.damaged-<time>` and its write-ahead log with it. All connections for writing are closed by then. Logs it.
/// @throws std::runtime_error when that fails
void put_history_aside(const std::string& path, const std::string& reason);

/// The checks that open_history() makes of an open database: empty when it is sound, else what is wrong. @throws DatabaseError
std::string history_damage(Database& database, std::int64_t check_bytes);

/// What is to be done about an error, for the end of a sentence: "; make room on its disk…". May be empty.
std::string what_to_do(const DatabaseError& error);

}  // namespace vigil
