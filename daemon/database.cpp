#include "vigil/daemon/database.h"

#include <sqlite3.h>

namespace vigil {
namespace {

// Operations of SQLite's virtual machine between two looks at the clock: some ten microseconds.
constexpr int kOperationsPerLook = 1000;

}  // namespace

bool DatabaseError::is_damage() const noexcept { return code() == SQLITE_CORRUPT || code() == SQLITE_NOTADB; }

void Database::Close::operator()(sqlite3* handle) const noexcept { sqlite3_close_v2(handle); }

Database::Database(const std::string& path, Access access) : callbacks_(std::make_unique<Callbacks>()) {
  sqlite3* handle = nullptr;
  const int flags = (access == Access::read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  handle_.reset(handle);
  if (code != SQLITE_OK) fail(code, "cannot open it");
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_progress_handler(
      handle, kOperationsPerLook,
      [](void* callbacks) {
        const auto& deadline = static_cast<Callbacks*>(callbacks)->deadline;
        return deadline && Clock::now() >= *deadline ? 1 : 0;
      },
      callbacks_.get());
  // In place of SQLite's own hook, which would begin a checkpoint within a commit: the writer has its own time for that.
  sqlite3_wal_hook(
      handle,
      [](void* callbacks, sqlite3*, const char*, int pages) {
        static_cast<Callbacks*>(callbacks)->wal_pages = pages;
        return SQLITE_OK;
      },
      callbacks_.get());
}

void Database::fail(int code, const std::string& what) const {
  const char* const message =
      handle_ != nullptr && sqlite3_errcode(handle_.get()) != SQLITE_OK ? sqlite3_errmsg(handle_.get()) : sqlite3_errstr(code);
  throw DatabaseError(code, what + ": " + message);
}

void Database::execute(const char* sql) {
  const int code = sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(code, sql);
}

std::int64_t Database::integer_of(const char* sql) {
  Statement statement(*this, sql);
  Query query(statement);
  return query.next() ? query.integer(0) : 0;
}

void Database::set_busy_timeout(std::chrono::milliseconds timeout) {
  sqlite3_busy_timeout(handle_.get(), static_cast<int>(timeout.count()));
}

void Database::set_deadline(std::optional<Clock::time_point> deadline) noexcept { callbacks_->deadline = deadline; }

bool Database::is_past_deadline() const noexcept { return callbacks_->deadline && Clock::now() >= *callbacks_->deadline; }

void Database::roll_back() noexcept {
  if (is_in_transaction()) sqlite3_exec(handle_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

bool Database::is_in_transaction() const noexcept { return sqlite3_get_autocommit(handle_.get()) == 0; }

std::int64_t Database::changes() const noexcept { return sqlite3_changes(handle_.get()); }
std::int64_t Database::last_row() const noexcept { return sqlite3_last_insert_rowid(handle_.get()); }
int Database::wal_pages() const noexcept { return callbacks_->wal_pages; }

bool Database::checkpoint(bool waits) {
  const int mode = waits ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE;
  int in_log = 0, in_file = 0;
  const int code = sqlite3_wal_checkpoint_v2(handle_.get(), nullptr, mode, &in_log, &in_file);
  if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY) fail(code, "cannot bring the write-ahead log into the file");
  if (code != SQLITE_OK) return false;
  if (in_log == in_file) callbacks_->wal_pages = 0;
  return true;
}

void Database::empty_log() noexcept { sqlite3_wal_checkpoint_v2(handle_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr); }

void Database::keep_log_on_close() noexcept { sqlite3_db_config(handle_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr); }

void Statement::Finalize::operator()(sqlite3_stmt* handle) const noexcept { sqlite3_finalize(handle); }

Statement::Statement(Database& database, const char* sql) {
  sqlite3_stmt* handle = nullptr;
  const int code = sqlite3_prepare_v3(database.handle(), sql, -1, SQLITE_PREPARE_PERSISTENT, &handle, nullptr);
  handle_.reset(handle);
  if (code != SQLITE_OK) database.fail(code, sql);
}

Query::~Query() { sqlite3_reset(handle_); }

void Query::check(int code) const {
  if (code == SQLITE_OK) return;
  throw DatabaseError(code, std::string(sqlite3_sql(handle_)) + ": " + sqlite3_errmsg(sqlite3_db_handle(handle_)));
}

void Query::bind_integer(int index, std::int64_t value) { check(sqlite3_bind_int64(handle_, index, value)); }

void Query::bind(int index, std::string_view text) {
  check(sqlite3_bind_text64(handle_, index, text.empty() ? "" : text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8));
}

void Query::bind(int index, Blob blob) {
  check(sqlite3_bind_blob64(handle_, index, blob.bytes.empty() ? "" : blob.bytes.data(), blob.bytes.size(), SQLITE_STATIC));
}

bool Query::next() {
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  check(code == SQLITE_DONE ? SQLITE_OK : code);
  return false;
}

std::int64_t Query::integer(int column) const noexcept { return sqlite3_column_int64(handle_, column); }

std::string_view Query::text(int column) const noexcept {
  const auto* const begin = sqlite3_column_text(handle_, column);
  if (begin == nullptr) return {};
  return {reinterpret_cast<const char*>(begin), static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
}

std::string_view Query::blob(int column) const noexcept {
  const void* const begin = sqlite3_column_blob(handle_, column);
  if (begin == nullptr) return {};
  return {static_cast<const char*>(begin), static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
}

bool Query::is_null(int column) const noexcept { return sqlite3_column_type(handle_, column) == SQLITE_NULL; }

}  // namespace vigil
