#include "vigil/daemon/history_opening.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include "vigil/daemon/history_schema.h"
#include "vigil/exporters/logging.h"

namespace vigil {
namespace {

constexpr const char* kOtherFile = "; give another file with --storage.path";

std::runtime_error history_error(const std::string& path, const std::string& what) {
  return std::runtime_error("cannot keep the history in '" + path + "': " + what);
}

std::runtime_error system_error(const std::string& path, int error) {
  const std::string text = std::generic_category().message(error);
  std::error_code ignored;
  const bool has_folder = std::filesystem::is_directory(std::filesystem::absolute(path, ignored).parent_path(), ignored);
  if ((error == ENOENT || error == ENOTDIR) && !has_folder)
    return history_error(path, "its folder does not exist; make it, or give another with --storage.path");
  if (error == ENOENT) return history_error(path, std::string("no files can be made in its folder") + kOtherFile);
  if (error == ELOOP) return history_error(path, "it is a symbolic link, which is not followed; give the file itself with --storage.path");
  if (error == EACCES || error == EPERM || error == EROFS)
    return history_error(path, text + "; let this user write the file and its folder, or give another with --storage.path");
  if (error == ENOSPC || error == EDQUOT)
    return history_error(path, text + "; make room on its disk, or give another file with --storage.path");
  return history_error(path, text + kOtherFile);
}

// Makes an empty file that only user and group may read. Returns its size when there is one.
std::int64_t make_file(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
  if (file >= 0) {
    close(file);
    return 0;
  }
  if (errno != EEXIST) throw system_error(path, errno);
  // Not opened to look at it: closing it again would take the locks of this process's other connections away.
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) throw system_error(path, errno);
  if (S_ISLNK(status.st_mode)) throw system_error(path, ELOOP);
  if (!S_ISREG(status.st_mode)) throw history_error(path, std::string("it is no file") + kOtherFile);
  if (access(path.c_str(), R_OK | W_OK) != 0) throw system_error(path, errno);
  return status.st_size;
}

// Whether the first bytes of a file that SQLite does not want are those of a history.
bool begins_as_history(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  std::array<char, 100> header{};
  const bool is_read = file >= 0 && read(file, header.data(), header.size()) == static_cast<ssize_t>(header.size());
  if (file >= 0) close(file);
  constexpr std::size_t kApplicationIdOffset = 68;
  std::int64_t application_id = 0;
  for (std::size_t i = 0; i < 4; ++i) application_id = application_id << 8 | static_cast<unsigned char>(header[kApplicationIdOffset + i]);
  return is_read && std::memcmp(header.data(), "SQLite format 3", 16) == 0 && application_id == kHistoryApplicationId;
}

void set_up(Database& database, const std::string& path) {
  database.execute(
      "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096;"
      // A commit is safe from the end of this process at once, from the end of the machine after the next checkpoint.
      "PRAGMA synchronous = NORMAL;"
      // What is removed is no secret; overwriting it would write each page twice.
      "PRAGMA secure_delete = OFF;");
  Statement statement(database, "PRAGMA journal_mode = WAL");
  Query query(statement);
  const bool is_wal = query.next() && query.text(0) == "wal";
  if (!is_wal)
    throw history_error(path,
                        "its file system has no shared memory for a write-ahead log; give a file on a local disk with --storage.path");
}

void create(Database& database) {
  // Takes effect where there are no tables yet.
  database.execute("PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL;");
}

enum class Found { empty, history };

// What the file is, as its header says.
Found identify(Database& database, const std::string& path) {
  const std::int64_t application_id = database.integer_of("PRAGMA application_id");
  if (application_id == 0 && database.integer_of("SELECT count(*) FROM sqlite_schema") == 0) return Found::empty;
  if (application_id != kHistoryApplicationId) throw history_error(path, std::string("it is a database of another program") + kOtherFile);
  const std::int64_t version = database.integer_of("PRAGMA user_version");
  if (version > kHistoryVersion) {
    throw history_error(path, "a newer vigild has written it (version " + std::to_string(version) + ", this one knows " +
                                  std::to_string(kHistoryVersion) + "); start that one, or give another file with --storage.path");
  }
  return Found::history;
}

// Empty where the file is a sound history now; else what is wrong with it.
std::string try_open(const std::string& path, std::int64_t check_bytes, std::unique_ptr<Database>& opened) {
  const std::int64_t size = make_file(path);
  try {
    auto database = std::make_unique<Database>(path, Database::Access::read_write);
    database->set_busy_timeout(std::chrono::milliseconds(250));
    if (size == 0) create(*database);
    try {
      const Found found = identify(*database, path);
      set_up(*database, path);
      const std::string damage = found == Found::history ? history_damage(*database, check_bytes) : "";
      if (!damage.empty()) {
        database->keep_log_on_close();
        return damage;
      }
      if (found == Found::empty) database->execute(kCreateHistory);
    } catch (const DatabaseError& error) {
      if (!error.is_damage()) throw;
      database->keep_log_on_close();
      database.reset();
      if (!begins_as_history(path)) throw history_error(path, std::string("it is no database") + kOtherFile);
      return error.what();
    }
    opened = std::move(database);
    return "";
  } catch (const DatabaseError& error) {
    throw history_error(path, error.what() + what_to_do(error));
  }
}

}  // namespace

std::string what_to_do(const DatabaseError& error) {
  switch (error.code()) {
    case SQLITE_FULL: return "; make room on its disk, or set --storage.retention.size lower";
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return "; another program has locked it: end that one";
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM: return "; let this user write the file and its folder";
    case SQLITE_IOERR: return "; look at its disk: the system's log says more";
    default: return "";
  }
}

HistoryLock::HistoryLock(const std::string& path) : path_(path + ".lock") {
  constexpr int kFlags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
  file_ = ::open(path_.c_str(), kFlags | O_EXCL, 0640);
  is_new_ = file_ >= 0;
  if (!is_new_ && errno == EEXIST) file_ = ::open(path_.c_str(), kFlags, 0640);
  if (file_ < 0) throw system_error(path, errno);
  // flock(2), as against a lock of fcntl(2), also keeps a second writer of this process away.
  if (flock(file_, LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  close(file_);
  if (error != EWOULDBLOCK) throw system_error(path, error);
  throw history_error(path, "another vigild keeps its history there; end that one, or give another file with --storage.path");
}

HistoryLock::~HistoryLock() { close(file_); }

void HistoryLock::take_back() noexcept {
  if (is_new_) unlink(path_.c_str());
}

FileAtPath::FileAtPath(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return;
  path_ = path;
  device_ = status.st_dev;
  inode_ = status.st_ino;
}

bool FileAtPath::is_there() const noexcept {
  struct stat status {};
  return !path_.empty() && stat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
}

std::string history_damage(Database& database, std::int64_t check_bytes) {
  const auto check = [&database](const std::string& argument) {
    Statement statement(database, ("PRAGMA quick_check(" + argument + ")").c_str());
    Query query(statement);
    std::string damage(query.next() && query.text(0) != "ok" ? query.text(0) : "");
    std::replace(damage.begin(), damage.end(), '\n', ' ');  // it is one line of a log
    return damage;
  };
  const std::int64_t bytes = database.integer_of("PRAGMA page_count") * database.integer_of("PRAGMA page_size");
  try {
    if (bytes <= check_bytes) return check("1");
    for (const char* table : kSmallHistoryTables) {
      if (std::string damage = check(table); !damage.empty()) return damage;
    }
    return "";
  } catch (const DatabaseError& error) {
    // SQLITE_ERROR: a table is not there, or not what it was.
    if (!error.is_damage() && error.code() != SQLITE_ERROR) throw;
    return error.what();
  }
}

void put_history_aside(const std::string& path, const std::string& reason) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  const std::string stem = path + ".damaged-" + std::string(text, std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts));
  std::string name = stem;
  for (int i = 2; access(name.c_str(), F_OK) == 0; ++i) name = stem + "." + std::to_string(i);
  // The log first: a database without its log is an older one, a log without its database nothing.
  for (const char* suffix : {"-wal", "-shm", ""}) {
    if (std::rename((path + suffix).c_str(), (name + suffix).c_str()) != 0 && errno != ENOENT)
      throw history_error(path, "it is damaged (" + reason + ") and cannot be put aside: " + std::generic_category().message(errno) +
                                    "; move it away by hand");
  }
  log(LogLevel::error, "the history in '" + path + "' is damaged (" + reason + "): it is now '" + name + "', and a new one is begun");
}

OpenedHistory open_history(const std::string& path, std::int64_t check_bytes) {
  std::unique_ptr<Database> database;
  std::string damage = try_open(path, check_bytes, database);
  const bool was_put_aside = !damage.empty();
  if (was_put_aside) {
    put_history_aside(path, damage);
    damage = try_open(path, check_bytes, database);
    if (!damage.empty()) throw history_error(path, "a new one is damaged as well (" + damage + "); look at its disk");
  }
  return {std::move(*database), was_put_aside};
}

}  // namespace vigil
