// SQLite as the history uses it: a connection, statements that are prepared once, and errors as exceptions.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

struct sqlite3;
struct sqlite3_stmt;

namespace vigil {

/// What SQLite could not do. what() is its own message, behind what was tried.
class DatabaseError : public std::runtime_error {
 public:
  DatabaseError(int code, const std::string& what) : std::runtime_error(what), code_(code) {}

  /// SQLite's result code without its extension, e.g. SQLITE_FULL.
  int code() const noexcept { return code_ & 0xff; }
  /// The database contradicts itself, or is none at all.
  bool is_damage() const noexcept;

 private:
  int code_;
};

/// Bytes to bind as a BLOB.
struct Blob {
  std::string_view bytes;
};

/// A connection. One thread at a time.
class Database {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Access { read_write, read_only };

  /// Opens a file that exists. @throws DatabaseError
  Database(const std::string& path, Access access);
  Database(Database&&) noexcept = default;
  Database& operator=(Database&&) noexcept = default;

  /// Runs statements that have no parameters and whose rows nobody wants. @throws DatabaseError
  void execute(const char* sql);
  /// The number in the first row of `sql`; 0 when there is none. @throws DatabaseError
  std::int64_t integer_of(const char* sql);

  /// How long a statement waits for another connection's lock.
  void set_busy_timeout(std::chrono::milliseconds timeout);
  /// From `deadline` on statements end with SQLITE_INTERRUPT; empty: never. A wait for the disk is not cut short.
  void set_deadline(std::optional<Clock::time_point> deadline) noexcept;
  bool is_past_deadline() const noexcept;

  /// Rolls back what is open, if anything is. Never fails: SQLite has then rolled back by itself.
  void roll_back() noexcept;
  bool is_in_transaction() const noexcept;

  /// Rows that the latest INSERT, UPDATE or DELETE has touched.
  std::int64_t changes() const noexcept;
  std::int64_t last_row() const noexcept;
  /// Pages in the write-ahead log after the latest commit that are perhaps not in the file yet.
  int wal_pages() const noexcept;
  /// Brings what is in the write-ahead log into the file, as far as readers let it; `waits`: for them, as long as the busy timeout says.
  /// False when it could not. @throws DatabaseError
  bool checkpoint(bool waits);
  /// Likewise, and makes the log an empty file; waits. Where that fails the log stays.
  void empty_log() noexcept;
  /// Closing leaves the file and its log as they are.
  void keep_log_on_close() noexcept;

  sqlite3* handle() const noexcept { return handle_.get(); }
  [[noreturn]] void fail(int code, const std::string& what) const;

 private:
  struct Close {
    void operator()(sqlite3* handle) const noexcept;
  };
  // What SQLite's callbacks are given; stays where it is when the connection moves.
  struct Callbacks {
    std::optional<Clock::time_point> deadline;
    int wal_pages = 0;
  };
  std::unique_ptr<Callbacks> callbacks_;
  std::unique_ptr<sqlite3, Close> handle_;
};

/// A prepared statement. Does not outlive its connection.
class Statement {
 public:
  /// @throws DatabaseError
  Statement(Database& database, const char* sql);

  sqlite3_stmt* handle() const noexcept { return handle_.get(); }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* handle) const noexcept;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

/// One execution of a statement, with its parameters bound in order: whole numbers (64 bits as they are, so that a large unsigned one is
/// negative in SQL), texts and Blobs, which outlive it. Afterwards the statement is ready for the next one.
class Query {
 public:
  template <class... Values>
  explicit Query(Statement& statement, const Values&... values) : handle_(statement.handle()) {
    int index = 0;
    (bind(++index, values), ...);
  }
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  /// Moves on to the next row; false behind the last one. @throws DatabaseError
  bool next();
  /// For statements without rows. @throws DatabaseError
  void run() {
    while (next()) {
    }
  }

  // Columns of the row, from 0. Texts and blobs are valid until next().
  std::int64_t integer(int column) const noexcept;
  std::uint64_t word(int column) const noexcept { return static_cast<std::uint64_t>(integer(column)); }
  std::string_view text(int column) const noexcept;
  std::string_view blob(int column) const noexcept;
  bool is_null(int column) const noexcept;

 private:
  template <class Integer, std::enable_if_t<std::is_integral_v<Integer>, int> = 0>
  void bind(int index, Integer value) {
    bind_integer(index, static_cast<std::int64_t>(value));
  }
  void bind(int index, std::string_view text);
  void bind(int index, const std::string& text) { bind(index, std::string_view(text)); }
  void bind(int index, Blob blob);
  void bind_integer(int index, std::int64_t value);
  void check(int code) const;

  sqlite3_stmt* handle_;
};

}  // namespace vigil
