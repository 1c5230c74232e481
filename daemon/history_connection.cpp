#include "vigil/daemon/history_connection.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include "vigil/daemon/history_opening.h"
#include "vigil/daemon/history_schema.h"
#include "vigil/daemon/history_setup.h"

namespace vigil {
namespace {

constexpr std::size_t kSchemas = 16;  // that a connection keeps
constexpr const char* kNoHistory = "' is not a history of vigild";

}  // namespace

HistoryConnection::Moment::Moment(HistoryConnection& from) : connection(from) {
  connection.open();
  connection.database_->set_deadline(Database::Clock::now() + connection.options_.time_limit);
  connection.database_->execute("BEGIN");
}

HistoryConnection::Moment::~Moment() {
  connection.database_->set_deadline({});
  connection.database_->roll_back();
}

void HistoryConnection::open() {
  struct stat status {};
  if (stat(options_.path.c_str(), &status) != 0 || status.st_size == 0) {
    database_.reset();
    throw HistoryError(
        HistoryError::Kind::unavailable,
        "there is no history at '" + options_.path + "'; vigild makes it when it starts, and anew within seconds when it was deleted");
  }
  // A damaged file is put aside and another one takes its place.
  const std::pair<dev_t, ino_t> file{status.st_dev, status.st_ino};
  if (database_ && file == file_) return;
  database_.reset();
  schemas_.clear();
  Database opened(options_.path, Database::Access::read_only);
  opened.keep_log_on_close();
  opened.set_busy_timeout(std::chrono::milliseconds(250));
  opened.execute("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA query_only = ON; PRAGMA temp_store = MEMORY;");
  if (opened.integer_of("PRAGMA application_id") != kHistoryApplicationId)
    throw HistoryError(HistoryError::Kind::unavailable, "'" + options_.path + kNoHistory);
  if (const std::int64_t version = opened.integer_of("PRAGMA user_version"); version != kHistoryVersion)
    throw HistoryError(HistoryError::Kind::unavailable, "'" + options_.path + "' is a history of version " + std::to_string(version) +
                                                            ", of which this vigil knows " + std::to_string(kHistoryVersion) + " only");
  database_.emplace(std::move(opened));
  file_ = file;
}

void HistoryConnection::fail(const DatabaseError& error) {
  // Whatever state it is in: the next answer opens another one.
  if (error.code() != SQLITE_INTERRUPT) database_.reset();
  if (error.code() == SQLITE_INTERRUPT) {
    throw HistoryError(HistoryError::Kind::too_long, "the answer takes more than " + std::to_string(options_.time_limit.count()) +
                                                         " ms; ask for fewer series, a shorter range of steps, or later");
  }
  // In a few words of SQLite, as the statement says nothing to who asked for a run.
  const std::string path = "'" + options_.path, what = sqlite3_errstr(error.code());
  if (error.code() == SQLITE_NOTADB) throw HistoryError(HistoryError::Kind::damaged, path + kNoHistory);
  if (error.is_damage() || error.code() == SQLITE_ERROR) {
    const std::string damage = error.code() == SQLITE_ERROR ? "a table or column is missing" : what;
    throw HistoryError(HistoryError::Kind::damaged, path + "' is damaged: " + damage + "; vigild puts it aside when it starts");
  }
  throw HistoryError(HistoryError::Kind::unavailable, path + "' cannot be read: " + what + what_to_do(error));
}

void HistoryConnection::check_time() const {
  if (database_->is_past_deadline()) throw DatabaseError(SQLITE_INTERRUPT, "past the deadline");
}

std::optional<ReadRing> HistoryConnection::find_ring(const RunSelector& run, const char* which, std::int64_t attempt) {
  const std::string sql =
      "SELECT r.id, r.attempt, r.ended_ns, p.last_step, p.revision FROM runs u JOIN rings r ON r.run = u.id"
      " JOIN progress p ON p.ring = r.id WHERE u.run = ?1 AND u.rank = ?2 AND r.attempt ";
  Statement statement(*database_, (sql + which + " LIMIT 1").c_str());
  Query query(statement, run.run, run.rank, attempt);
  if (!query.next()) return {};
  return ReadRing{query.integer(0), query.integer(1), query.word(3), query.word(4), query.integer(2) != 0};
}

ReadRing HistoryConnection::ring(const RunSelector& run) {
  const auto found = run.attempt ? find_ring(run, "= ?3", *run.attempt) : find_ring(run, "> ?3 ORDER BY r.attempt DESC", 0);
  if (found) return *found;
  throw HistoryError(HistoryError::Kind::not_found, "the history has no run '" + run.run + "' of rank " + std::to_string(run.rank) +
                                                        (run.attempt ? " with attempt " + std::to_string(*run.attempt) : ""));
}

ReadRing HistoryConnection::ring(const RunSelector& run, const std::optional<HistoryCursor>& since, std::uint64_t& after) {
  after = since ? since->step : 0;
  if (since && run.attempt && since->attempt != 0 && since->attempt != *run.attempt) {
    throw HistoryError(HistoryError::Kind::invalid, "what is known is of attempt " + std::to_string(since->attempt) + ", and attempt " +
                                                        std::to_string(*run.attempt) + " is asked for; leave one of them out");
  }
  if (!since || since->attempt == 0 || run.attempt) return ring(run);
  // Retention may have taken the one that was read.
  const auto current = find_ring(run, ">= ?3 ORDER BY r.attempt", since->attempt);
  if (!current) {
    after = 0;  // nor is it one that comes
    return ring(run);
  }
  if (current->attempt != since->attempt) {
    after = 0;
    return *current;
  }
  const bool is_read =
      current->last_step <= since->step && (since->revision == current->revision || since->revision == HistoryCursor::kAnyRevision);
  if (!is_read || !current->has_ended) return *current;
  const auto next = find_ring(run, "> ?3 ORDER BY r.attempt", since->attempt);
  if (!next) return *current;
  after = 0;
  return *next;
}

std::shared_ptr<const Schema> HistoryConnection::schema(std::int64_t row) {
  if (const auto known = schemas_.find(row); known != schemas_.end()) return known->second;
  Statement statement(*database_,
                      "SELECT u.run, u.rank, r.world_size, r.model, r.libtorch, r.host, r.pid, r.launcher_attempt, r.start_time_ns, t.json,"
                      " r.setup FROM rings r JOIN runs u ON u.id = r.run JOIN tensors t ON t.id = r.tensors WHERE r.id = ?");
  Query query(statement, row);
  if (!query.next()) throw DamagedData("a ring has no run or no tensors");
  Schema schema = read_setup(query.text(9), query.text(10));
  schema.identity = {std::string(query.text(0)),
                     static_cast<int>(query.integer(1)),
                     static_cast<int>(query.integer(2)),
                     std::string(query.text(3)),
                     std::string(query.text(4)),
                     std::string(query.text(5)),
                     query.integer(6),
                     query.integer(7),
                     query.integer(8)};
  if (schemas_.size() >= kSchemas) schemas_.clear();
  return schemas_[row] = std::make_shared<const Schema>(std::move(schema));
}

std::vector<std::string> HistoryConnection::scalar_names(std::int64_t row) {
  Statement statement(*database_, "SELECT number, name FROM scalar_names WHERE ring = ? ORDER BY number");
  std::vector<std::string> names;
  for (Query query(statement, row); query.next();) {
    const auto number = query.word(0);
    if (number >= ScalarNames::kCapacity) throw DamagedData("a user scalar has a number that there is not");
    names.resize(number + 1);
    names[number] = query.text(1);
  }
  return names;
}

}  // namespace vigil
