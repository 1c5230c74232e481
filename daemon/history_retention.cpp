#include "vigil/daemon/history_retention.h"

#include <array>
#include <cmath>

#include "vigil/daemon/history_rings.h"

namespace vigil {
namespace {

// Rows in one transaction, and pages that one call cuts off the file.
constexpr std::size_t kPieceRows = 16;
constexpr const char* kCutPages = "PRAGMA incremental_vacuum(64)";

// A table whose rows are numbered as they came.
struct Table {
  Statement oldest, remove;
  double age_factor;

  Table(Database& database, const std::string& name, double factor)
      : oldest(database, ("SELECT id, stored_ns FROM " + name + " ORDER BY id LIMIT 1").c_str()),
        remove(database, ("DELETE FROM " + name + " WHERE id = ?").c_str()),
        age_factor(factor) {}
};

class Remover {
 public:
  Remover(Database& database, const RetentionLimits& limits, const std::string& open_rings)
      : database_(database),
        limits_(limits),
        open_rings_(open_rings),
        looks_at_rings_(limits.looks_at_rings),
        tables_{Table(database, "step_blocks", 1), Table(database, "frames", kFrameAge), Table(database, "events", 1)},
        // A ring that nothing is left of. Its tail, of at most a block, goes with it when it is too old.
        empty_ring_(database,
                    "SELECT r.id FROM rings r JOIN progress p ON p.ring = r.id"
                    " WHERE NOT EXISTS(SELECT 1 FROM step_blocks WHERE ring = r.id) AND NOT EXISTS(SELECT 1 FROM frames WHERE ring = r.id)"
                    " AND NOT EXISTS(SELECT 1 FROM events WHERE ring = r.id) AND r.id NOT IN (SELECT value FROM json_each(?1))"
                    " AND (p.stored_ns < ?2 OR (NOT EXISTS(SELECT 1 FROM step_tail WHERE ring = r.id)"
                    " AND EXISTS(SELECT 1 FROM rings n WHERE n.run = r.run AND n.attempt > r.attempt))) LIMIT 1"),
        oldest_ring_(database,
                     "SELECT p.ring FROM progress p WHERE p.ring NOT IN (SELECT value FROM json_each(?)) ORDER BY p.stored_ns LIMIT 1") {}

  // One transaction. Returns how many rows are gone.
  std::size_t remove_piece() {
    std::size_t removed = 0;
    database_.execute("BEGIN IMMEDIATE");
    while (removed < kPieceRows && (remove_row() || remove_ring_row())) ++removed;
    database_.execute("COMMIT");
    looks_at_rings_ = looks_at_rings_ || removed > 0;
    return removed;
  }

 private:
  bool is_too_much() {
    const DatabaseBytes bytes = bytes_of(database_);
    return bytes.file - bytes.free > limits_.bytes / 20 * 19;
  }

  // One block, frame or event, if one has to go.
  bool remove_row() {
    struct Candidate {
      Table* table = nullptr;
      std::int64_t row = 0;
      double age = -1;
    } aged, oldest;
    for (Table& table : tables_) {
      Query query(table.oldest);
      if (!query.next()) continue;
      const std::int64_t stored_ns = query.integer(1);
      // What a clock that was set back has left in the future is not newer than what comes now.
      const double age = std::fabs(static_cast<double>(limits_.now_ns) - static_cast<double>(stored_ns)) * table.age_factor;
      if (stored_ns < limits_.cutoff_ns) aged = {&table, query.integer(0), age};
      if (age > oldest.age) oldest = {&table, query.integer(0), age};
    }
    has_rows_ = oldest.table != nullptr;
    const Candidate& next = aged.table != nullptr ? aged : oldest;
    if (next.table == nullptr || (aged.table == nullptr && !is_too_much())) return false;
    Query(next.table->remove, next.row).run();
    return true;
  }

  bool remove_ring_row() {
    if (!looks_at_rings_) return false;
    std::int64_t row = 0;
    {
      Query query(empty_ring_, open_rings_, limits_.cutoff_ns);
      if (query.next()) row = query.integer(0);
    }
    if (row == 0 && !has_rows_ && is_too_much()) {
      Query query(oldest_ring_, open_rings_);
      if (query.next()) row = query.integer(0);
    }
    if (row == 0) return false;
    remove_ring(database_, row);
    return true;
  }

  Database& database_;
  const RetentionLimits limits_;
  const std::string& open_rings_;
  bool looks_at_rings_;
  std::array<Table, 3> tables_;
  Statement empty_ring_, oldest_ring_;
  bool has_rows_ = true;
};

}  // namespace

DatabaseBytes bytes_of(Database& database) {
  const std::int64_t page = database.integer_of("PRAGMA page_size");
  return {page * database.integer_of("PRAGMA page_count"), page * database.integer_of("PRAGMA freelist_count")};
}

std::size_t remove_old_history(Database& database, const RetentionLimits& limits, const std::string& open_rings,
                               Database::Clock::time_point deadline) {
  const auto has_time = [deadline] { return Database::Clock::now() < deadline; };
  std::size_t removed = 0;
  try {
    Remover remover(database, limits, open_rings);
    for (;;) {
      const std::size_t piece = remover.remove_piece();
      removed += piece;
      if (piece == 0 || !has_time()) break;
    }
  } catch (...) {
    database.roll_back();
    throw;
  }
  DatabaseBytes bytes = bytes_of(database);
  while (bytes.file > limits.bytes && bytes.free > 0 && has_time()) {
    database.execute(kCutPages);
    bytes = bytes_of(database);
  }
  return removed;
}

}  // namespace vigil
