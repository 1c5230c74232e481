#include "vigil/daemon/history_rings.h"

#include <zlib.h>

#include <string_view>

#include "vigil/daemon/history_setup.h"

namespace vigil {
namespace {

std::string_view bytes_of(const std::array<std::uint8_t, 16>& ring) noexcept {
  return {reinterpret_cast<const char*>(ring.data()), ring.size()};
}

// Row of the one table of tensors that is equal: the hash finds it, the text decides.
std::int64_t store_tensors(Database& database, const std::string& json) {
  const std::int64_t hash = crc32_z(0, reinterpret_cast<const Bytef*>(json.data()), json.size());
  Statement find(database, "SELECT id FROM tensors WHERE hash = ? AND json = ?");
  Query found(find, hash, json);
  if (found.next()) return found.integer(0);
  Statement insert(database, "INSERT INTO tensors(hash, json) VALUES(?, ?)");
  Query(insert, hash, json).run();
  return database.last_row();
}

std::int64_t store_run(Database& database, const RunIdentity& identity) {
  Statement insert(database, "INSERT INTO runs(run, rank, attempts) VALUES(?, ?, 0) ON CONFLICT DO NOTHING");
  Query(insert, identity.run, identity.rank).run();
  Statement find(database, "SELECT id FROM runs WHERE run = ? AND rank = ?");
  Query found(find, identity.run, identity.rank);
  return found.next() ? found.integer(0) : 0;
}

// The number of a new attempt that began at `start_time_ns`; those that began later move up.
std::int64_t make_room_for_attempt(Database& database, std::int64_t run, std::int64_t start_time_ns) {
  Statement count(database, "UPDATE runs SET attempts = attempts + 1 WHERE id = ?");
  Query(count, run).run();
  Statement find(database,
                 "SELECT ifnull((SELECT min(attempt) FROM rings WHERE run = ?1 AND start_time_ns > ?2),"
                 " (SELECT attempts FROM runs WHERE id = ?1))");
  Query found(find, run, start_time_ns);
  const std::int64_t attempt = found.next() ? found.integer(0) : 1;
  Statement move(database, "UPDATE rings SET attempt = attempt + 1 WHERE run = ? AND attempt >= ?");
  Query(move, run, attempt).run();
  return attempt;
}

// What of a schema is stored as text.
struct SchemaText {
  std::string tensors, setup;
};

void add_ring(Database& database, const std::array<std::uint8_t, 16>& ring, const RunIdentity& identity, const SchemaText& text,
              std::int64_t now_ns) {
  const std::int64_t run = store_run(database, identity);
  const std::int64_t attempt = make_room_for_attempt(database, run, identity.start_time_ns);
  const std::int64_t tensors = store_tensors(database, text.tensors);
  Statement insert(database,
                   "INSERT INTO rings(ring, run, attempt, launcher_attempt, start_time_ns, world_size, model, libtorch, host, pid, tensors,"
                   " setup, state, reason, ended_ns) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', 0)");
  Query(insert, Blob{bytes_of(ring)}, run, attempt, identity.attempt, identity.start_time_ns, identity.world_size, identity.model,
        identity.libtorch, identity.host, identity.pid, tensors, text.setup)
      .run();
  Statement progress(database, "INSERT INTO progress VALUES(?, 0, 0, 0, 0, 0, 0, 0, 0, 0, ?)");
  Query(progress, database.last_row(), now_ns).run();
}

bool read_ring(Database& database, const std::array<std::uint8_t, 16>& ring, const SchemaText& text, StoredRing& stored) {
  Statement statement(database,
                      "SELECT r.id, r.attempt, r.state, r.reason, r.ended_ns, p.step_cursor, p.frame_cursor, p.event_cursor, p.steps,"
                      " p.first_step, p.last_step, p.first_time_ns, p.last_time_ns, p.revision,"
                      " (SELECT ifnull(sum(steps), 0) FROM step_tail WHERE ring = r.id),"
                      " (SELECT count(*) FROM scalar_names WHERE ring = r.id), (SELECT count(*) FROM layer_names WHERE ring = r.id),"
                      " (SELECT time_ns FROM frames WHERE ring = r.id ORDER BY step DESC LIMIT 1),"
                      " r.setup = ?2 AND (SELECT json = ?3 FROM tensors WHERE id = r.tensors)"
                      " FROM rings r JOIN progress p ON p.ring = r.id WHERE r.ring = ?1");
  Query query(statement, Blob{bytes_of(ring)}, text.setup, text.tensors);
  if (!query.next()) return false;
  int column = 0;
  stored.row = query.integer(column++);
  stored.attempt = query.integer(column++);
  stored.state = query.text(column++);
  stored.reason = query.text(column++);
  stored.ended_ns = query.integer(column++);
  for (std::uint64_t* word :
       {&stored.step_cursor, &stored.frame_cursor, &stored.event_cursor, &stored.steps, &stored.first_step, &stored.last_step})
    *word = query.word(column++);
  stored.first_time_ns = query.integer(column++);
  stored.last_time_ns = query.integer(column++);
  stored.revision = query.word(column++);
  stored.tail_steps = query.word(column++);
  stored.scalar_names = static_cast<std::size_t>(query.integer(column++));
  stored.layer_names = static_cast<std::size_t>(query.integer(column++));
  stored.has_frame = !query.is_null(column);
  stored.frame_time_ns = query.integer(column++);
  stored.has_schema = query.integer(column) != 0;
  return true;
}

}  // namespace

StoredRing store_ring(Database& database, const std::array<std::uint8_t, 16>& ring, const Schema& schema, std::int64_t now_ns) {
  StoredRing stored;
  const SchemaText text{tensors_json(schema), setup_json(schema)};
  database.execute("BEGIN IMMEDIATE");
  try {
    if (!read_ring(database, ring, text, stored)) {
      add_ring(database, ring, schema.identity, text, now_ns);
      read_ring(database, ring, text, stored);
    }
    database.execute("COMMIT");
  } catch (...) {
    database.roll_back();
    throw;
  }
  return stored;
}

void remove_ring(Database& database, std::int64_t row) {
  std::int64_t run = 0, tensors = 0;
  {
    Statement find(database, "SELECT run, tensors FROM rings WHERE id = ?");
    Query found(find, row);
    if (!found.next()) return;
    run = found.integer(0);
    tensors = found.integer(1);
  }
  for (const char* sql :
       {"DELETE FROM step_tail WHERE ring = ?", "DELETE FROM scalar_names WHERE ring = ?", "DELETE FROM layer_names WHERE ring = ?",
        "DELETE FROM progress WHERE ring = ?", "DELETE FROM rings WHERE id = ?"}) {
    Statement statement(database, sql);
    Query(statement, row).run();
  }
  Statement of_run(database, "DELETE FROM runs WHERE id = ?1 AND NOT EXISTS(SELECT 1 FROM rings WHERE run = ?1)");
  Query(of_run, run).run();
  Statement of_tensors(database, "DELETE FROM tensors WHERE id = ?1 AND NOT EXISTS(SELECT 1 FROM rings WHERE tensors = ?1)");
  Query(of_tensors, tensors).run();
}

}  // namespace vigil
