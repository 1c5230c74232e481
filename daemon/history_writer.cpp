#include "vigil/daemon/history_writer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

#include "vigil/config/printable.h"
#include "vigil/daemon/database.h"
#include "vigil/daemon/history_opening.h"
#include "vigil/daemon/history_retention.h"
#include "vigil/daemon/history_rows.h"
#include "vigil/exporters/logging.h"
#include "vigil/exporters/run_log.h"
#include "vigil/monitor/clock.h"

namespace vigil {
namespace {

constexpr std::int64_t kRingsPauseNs = 60'000'000'000;  // between two looks at all rings
constexpr std::int64_t kMinBytes = std::int64_t{1} << 20, kSpareBytes = std::int64_t{64} << 20;
constexpr std::int64_t kPageBytes = 4096;
constexpr const char* kPutAside = "the file was damaged and has been put aside; a new one is to be begun";

std::string reason_of(const DatabaseError& error) { return error.what() + what_to_do(error); }

}  // namespace

struct HistoryWriter::State {
  explicit State(HistoryOptions given) : options(std::move(given)), lock(options.path) {}

  HistoryOptions options;
  HistoryLock lock;
  FileAtPath file;
  // Empty once the file has been put aside. The statements of `rows` go before the connection.
  std::optional<Database> database;
  std::optional<HistoryRows> rows;
  std::map<std::int64_t, WrittenRing> rings;  // those that are begun, by row
  std::string failure;                        // of what is being done; empty: none so far
  bool is_damaged = false;
  std::int64_t rings_looked_at_ns = 0;
  LogGate failure_gate, refused_gate;

  mutable std::mutex mutex;  // of the counters
  HistoryCounters counters;

  // Runs what the database may refuse; after the first refusal nothing is run any more.
  template <class Work>
  void attempt(Work work);
  template <class Work>
  void attempt(RingKey key, Work work);
  // Rolls back, and tells of it.
  HistoryOutcome fail(const std::string& doing);
  void put_aside(const std::string& reason);
  void undo() noexcept;
  void count(const BatchCounts& batch);
  void checkpoint();
  void measure();
};

template <class Work>
void HistoryWriter::State::attempt(Work work) {
  if (!failure.empty()) return;
  if (!database) {
    failure = kPutAside;
    is_damaged = true;
    return;
  }
  try {
    work();
  } catch (const DatabaseError& error) {
    failure = reason_of(error);
    is_damaged = error.is_damage();
  } catch (const std::exception& error) {
    failure = error.what();
  }
}

template <class Work>
void HistoryWriter::State::attempt(RingKey key, Work work) {
  const auto found = rings.find(key.row);
  if (found == rings.end()) return;
  found->second.is_touched = true;
  attempt([&] { work(found->second); });
}

void HistoryWriter::State::undo() noexcept {
  if (database) database->roll_back();
  for (auto& [row, ring] : rings) {
    if (ring.is_touched) ring.undo();
  }
}

void HistoryWriter::State::put_aside(const std::string& reason) {
  // As it is: for whoever wants to see what is in it.
  database->keep_log_on_close();
  rows.reset();
  database.reset();
  try {
    put_history_aside(options.path, reason);
  } catch (const std::exception& error) {
    log(LogLevel::error, error.what());
  }
  const std::lock_guard<std::mutex> guard(mutex);
  ++counters.put_aside;
}

HistoryOutcome HistoryWriter::State::fail(const std::string& doing) {
  undo();
  const HistoryOutcome outcome{is_damaged ? HistoryOutcome::Kind::damaged : HistoryOutcome::Kind::failed, std::exchange(failure, "")};
  is_damaged = false;
  {
    const std::lock_guard<std::mutex> guard(mutex);
    ++counters.failures;
  }
  if (outcome.kind == HistoryOutcome::Kind::damaged && database) {
    put_aside(outcome.reason);
  } else if (failure_gate.open(LogGate::Time::clock::now())) {
    log(LogLevel::error, "cannot " + doing + " the history in '" + options.path + "': " + outcome.reason + "; trying again");
  }
  return outcome;
}

void HistoryWriter::State::count(const BatchCounts& batch) {
  if (batch.steps_refused > 0 && refused_gate.open(LogGate::Time::clock::now()))
    log(LogLevel::warning, "the history has refused " + std::to_string(batch.steps_refused) + " steps whose numbers do not go up");
  const std::lock_guard<std::mutex> guard(mutex);
  counters.steps += batch.steps;
  counters.frames += batch.frames;
  counters.events += batch.events;
  counters.frames_passed_over += batch.frames_passed_over;
  counters.steps_refused += batch.steps_refused;
  counters.steps_unreadable += batch.steps_unreadable;
  counters.bytes += batch.bytes;
  ++counters.transactions;
}

void HistoryWriter::State::checkpoint() {
  const int pages = database->wal_pages();
  if (pages < kCheckpointPages) return;
  // Readers keep pages of the log in use. A passive checkpoint does what it can beside them; when the log grows all the same, one waits
  // for them, which new ones do not prolong: they need the log no more.
  bool is_done = false;
  try {
    is_done = database->checkpoint(std::int64_t{pages} * kPageBytes > kMaxWalBytes);
  } catch (const DatabaseError& error) {
    if (failure_gate.open(LogGate::Time::clock::now()))
      log(LogLevel::error, "cannot write the history in '" + options.path + "': " + reason_of(error) + "; trying again");
  }
  const std::lock_guard<std::mutex> guard(mutex);
  if (!is_done) {
    ++counters.checkpoint_failures;
    return;
  }
  ++counters.checkpoints;
  counters.last_checkpoint_ns = wall_time_ns();
}

void HistoryWriter::State::measure() {
  const DatabaseBytes bytes = bytes_of(*database);
  const auto size_of = [this](const char* suffix) {
    struct stat status {};
    return stat((options.path + suffix).c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
  };
  const std::uint64_t disk_bytes = size_of("") + size_of("-wal");
  const std::lock_guard<std::mutex> guard(mutex);
  counters.database_bytes = static_cast<std::uint64_t>(bytes.file);
  counters.free_bytes = static_cast<std::uint64_t>(bytes.free);
  counters.disk_bytes = disk_bytes;
}

HistoryWriter::HistoryWriter(HistoryOptions options, const HistoryCounters& earlier) : state_(std::make_unique<State>(std::move(options))) {
  State& state = *state_;
  state.options.retention_bytes = std::max(state.options.retention_bytes, kMinBytes);
  OpenedHistory opened = [&state] {
    try {
      return open_history(state.options.path, state.options.check_bytes);
    } catch (...) {
      state.lock.take_back();
      throw;
    }
  }();
  state.counters = earlier;
  state.counters.put_aside += opened.was_put_aside ? 1 : 0;
  state.database.emplace(std::move(opened.database));
  state.file = FileAtPath(state.options.path);
  try {
    // Retention keeps the file within its bound; this is for a batch that is larger than retention's pace.
    const std::int64_t pages = (state.options.retention_bytes + kSpareBytes) / state.database->integer_of("PRAGMA page_size");
    state.database->execute(("PRAGMA max_page_count = " + std::to_string(pages)).c_str());
    state.database->execute(("PRAGMA journal_size_limit = " + std::to_string(kMaxWalBytes)).c_str());
    state.rows.emplace(*state.database, state.options.frame_interval_ms);
    state.measure();
  } catch (const DatabaseError& error) {
    throw std::runtime_error("cannot keep the history in '" + state.options.path + "': " + reason_of(error));
  }
}

HistoryWriter::~HistoryWriter() {
  State& state = *state_;
  state.undo();
  if (!state.database || state.file.is_there()) return;
  // SQLite leaves the log of a file that was moved as it is, and where it is. The file is to be whole without it, and whoever opens another
  // one at the path is not to find the log, nor the shared memory that readers of the old one still look at.
  state.database->empty_log();
  state.rows.reset();
  state.database.reset();
  unlink((state.options.path + "-shm").c_str());
}

const FileAtPath& HistoryWriter::file() const noexcept { return state_->file; }

BegunRing HistoryWriter::begin_ring(const std::array<std::uint8_t, 16>& ring, const Schema& schema, std::int64_t now_ns) {
  State& state = *state_;
  abandon();
  StoredRing stored;
  state.attempt([&] { stored = store_ring(*state.database, ring, schema, now_ns); });
  if (!state.failure.empty())
    throw std::runtime_error("cannot take up run '" + printable(schema.identity.run) + "': " + state.fail("write").reason);
  if (state.rings.count(stored.row) > 0)
    throw std::invalid_argument("run '" + printable(schema.identity.run) + "' is followed already: another ring file has the same id");
  if (!stored.has_schema)
    throw std::invalid_argument("run '" + printable(schema.identity.run) +
                                "' is not the one that the history has under the id of its ring file");
  state.rings.emplace(stored.row, WrittenRing(stored, schema));
  if (schema.learning_rates > kMaxLearningRates) {
    const std::lock_guard<std::mutex> guard(state.mutex);
    state.counters.scalars_refused += schema.learning_rates - kMaxLearningRates;
  }
  return {{stored.row}, {stored.step_cursor, stored.frame_cursor, stored.event_cursor}, stored.attempt, stored.last_step};
}

void HistoryWriter::end_ring(RingKey key) noexcept { state_->rings.erase(key.row); }

HistoryCursors HistoryWriter::cursors(RingKey key) const noexcept {
  const auto found = state_->rings.find(key.row);
  if (found == state_->rings.end()) return {};
  const StoredRing& stored = found->second.stored;
  return {stored.step_cursor, stored.frame_cursor, stored.event_cursor};
}

std::size_t HistoryWriter::end_absent_rings(std::string_view state_name, std::string_view reason, std::int64_t ended_ns) {
  State& state = *state_;
  std::vector<std::int64_t> begun;
  for (const auto& [row, ring] : state.rings) begun.push_back(row);
  std::size_t ended = 0;
  begin(ended_ns);
  state.attempt([&] { ended = state.rows->end_absent_rings(begun, state_name, reason, ended_ns); });
  const HistoryOutcome outcome = commit();
  if (!outcome.ok()) throw std::runtime_error("cannot end the runs that are gone: " + outcome.reason);
  return ended;
}

void HistoryWriter::begin(std::int64_t now_ns) {
  State& state = *state_;
  abandon();
  state.attempt([&] {
    state.rows->begin(now_ns);
    state.database->execute("BEGIN IMMEDIATE");
  });
}

void HistoryWriter::add_marks(RingKey key, const StepRecord& record, const NameTable& phases) {
  state_->attempt(key, [&](WrittenRing& ring) { state_->rows->add_marks(ring, record, phases); });
}

void HistoryWriter::add_step(RingKey key, const StepRecord& record, const double* scalars, const NameTable& names) {
  state_->attempt(key, [&](WrittenRing& ring) { state_->rows->add_step(ring, record, scalars, names); });
}

void HistoryWriter::add_frame(RingKey key, const Frame& frame) {
  state_->attempt(key, [&](WrittenRing& ring) { state_->rows->add_frame(ring, frame); });
}

void HistoryWriter::add_event(RingKey key, const NonfiniteEvent& event) {
  state_->attempt(key, [&](WrittenRing& ring) { state_->rows->add_event(ring, event); });
}

void HistoryWriter::add_alert(RingKey key, const AlertMessage& alert) {
  state_->attempt(key, [&](WrittenRing& ring) { state_->rows->add_alert(ring, alert); });
}

void HistoryWriter::set_state(RingKey key, std::string_view state, std::string_view reason, std::int64_t ended_ns) {
  state_->attempt(key, [&](WrittenRing& ring) { state_->rows->set_state(ring, state, reason, ended_ns); });
}

void HistoryWriter::set_cursors(RingKey key, const HistoryCursors& cursors) {
  state_->attempt(key, [&](WrittenRing& ring) {
    ring.working.step_cursor = cursors.steps;
    ring.working.frame_cursor = cursors.frames;
    ring.working.event_cursor = cursors.events;
  });
}

HistoryOutcome HistoryWriter::commit() {
  State& state = *state_;
  state.attempt([&] {
    for (auto& [row, ring] : state.rings) {
      if (ring.is_touched) state.rows->flush(ring);
    }
    state.database->execute("COMMIT");
  });
  if (!state.failure.empty()) return state.fail("write");
  for (auto& [row, ring] : state.rings) {
    if (ring.is_touched) ring.keep();
  }
  state.count(state.rows->counts());
  state.checkpoint();
  return {};
}

void HistoryWriter::abandon() noexcept {
  state_->undo();
  state_->failure.clear();
}

HistoryCounters HistoryWriter::counters() const {
  const std::lock_guard<std::mutex> guard(state_->mutex);
  return state_->counters;
}

HistoryOutcome HistoryWriter::retain(std::int64_t now_ns, std::chrono::milliseconds budget) {
  State& state = *state_;
  abandon();
  std::size_t removed = 0;
  state.attempt([&] {
    RetentionLimits limits;
    limits.now_ns = now_ns;
    limits.bytes = state.options.retention_bytes;
    const std::int64_t age_ms = state.options.retention_ms;
    limits.cutoff_ns = age_ms > 0 && age_ms < now_ns / 1'000'000 ? now_ns - age_ms * 1'000'000 : std::numeric_limits<std::int64_t>::min();
    limits.looks_at_rings = now_ns - state.rings_looked_at_ns >= kRingsPauseNs || now_ns < state.rings_looked_at_ns;
    if (limits.looks_at_rings) state.rings_looked_at_ns = now_ns;
    std::string open_rings = "[";
    for (const auto& [row, ring] : state.rings) open_rings += (open_rings.size() > 1 ? "," : "") + std::to_string(row);
    removed = remove_old_history(*state.database, limits, open_rings + "]", Database::Clock::now() + budget);
    state.checkpoint();
    state.measure();
  });
  {
    const std::lock_guard<std::mutex> guard(state.mutex);
    state.counters.rows_removed += removed;
  }
  return state.failure.empty() ? HistoryOutcome{} : state.fail("remove what is old from");
}

}  // namespace vigil
