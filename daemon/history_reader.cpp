#include "vigil/daemon/history_reader.h"

#include <algorithm>
#include <utility>

#include "vigil/daemon/history_connection.h"
#include "vigil/history/frame_columns.h"
#include "vigil/history/tensor_figures.h"

namespace vigil {
namespace {

HistoryAttempt attempt_of(const Query& query) {
  HistoryAttempt attempt;
  RunIdentity& identity = attempt.identity;
  identity.run = query.text(0);
  identity.rank = static_cast<int>(query.integer(1));
  identity.world_size = static_cast<int>(query.integer(2));
  identity.model = query.text(3);
  identity.libtorch = query.text(4);
  identity.host = query.text(5);
  identity.pid = query.integer(6);
  identity.attempt = query.integer(7);
  identity.start_time_ns = query.integer(8);
  attempt.attempt = query.integer(9);
  attempt.state = query.text(10);
  attempt.reason = query.text(11);
  attempt.ended_ns = query.integer(12);
  attempt.steps = query.word(13);
  attempt.first_step = query.word(14);
  attempt.last_step = query.word(15);
  attempt.first_time_ns = query.integer(16);
  attempt.last_time_ns = query.integer(17);
  return attempt;
}

// A frame's row in its table.
struct FrameRow {
  std::int64_t id = 0;
  std::uint64_t step = 0;
  std::int64_t time_ns = 0;
  bool is_finite = true;
  std::size_t layers = 0;
};

FrameRow find_frame(HistoryConnection& connection, const ReadRing& ring, std::optional<std::uint64_t> step) {
  Statement statement(connection.database(),
                      "SELECT id, step, time_ns, nonfinite, layers FROM frames WHERE ring = ? AND step <= ? ORDER BY step DESC LIMIT 1");
  Query query(statement, ring.row, std::min(step.value_or(kMaxStep), kMaxStep));
  if (!query.next()) {
    throw HistoryError(HistoryError::Kind::not_found, "the history has no frame of attempt " + std::to_string(ring.attempt) +
                                                          (step ? " up to step " + std::to_string(*step) : ""));
  }
  return {query.integer(0), query.word(1), query.integer(2), query.integer(3) == 0, static_cast<std::size_t>(query.integer(4))};
}

std::vector<LayerLabel> layers_of(Database& database, const ReadRing& ring, std::size_t count) {
  Statement statement(database, "SELECT layer, phase FROM layer_names WHERE ring = ? AND number < ? ORDER BY number");
  std::vector<LayerLabel> layers;
  for (Query query(statement, ring.row, count); query.next();) layers.push_back({std::string(query.text(0)), std::string(query.text(1))});
  if (layers.size() != count) throw DamagedData("a frame has layers without names");
  return layers;
}

}  // namespace

HistoryReader::HistoryReader(HistoryReaderOptions options) : connection_(std::make_unique<HistoryConnection>(std::move(options))) {}
HistoryReader::~HistoryReader() = default;
HistoryReader::HistoryReader(HistoryReader&&) noexcept = default;
HistoryReader& HistoryReader::operator=(HistoryReader&&) noexcept = default;

std::vector<HistoryRun> HistoryReader::runs(std::size_t max_attempts) {
  return connection_->answer([&] {
    // Attempts of one run stand together, the run whose newest attempt is the newest first.
    Statement statement(connection_->database(),
                        "SELECT u.run, u.rank, r.world_size, r.model, r.libtorch, r.host, r.pid, r.launcher_attempt, r.start_time_ns,"
                        " r.attempt, r.state, r.reason, r.ended_ns, p.steps, p.first_step, p.last_step, p.first_time_ns, p.last_time_ns,"
                        " (SELECT max(start_time_ns) FROM rings WHERE run = u.id) AS newest"
                        " FROM rings r JOIN runs u ON u.id = r.run JOIN progress p ON p.ring = r.id"
                        " ORDER BY newest DESC, u.run, u.rank, r.attempt DESC LIMIT ?");
    std::vector<HistoryRun> runs;
    for (Query query(statement, std::min(max_attempts, kMaxRuns)); query.next();) {
      HistoryAttempt attempt = attempt_of(query);
      const RunIdentity& identity = attempt.identity;
      if (runs.empty() || runs.back().run != identity.run || runs.back().rank != identity.rank)
        runs.push_back({identity.run, identity.rank, {}});
      runs.back().attempts.push_back(std::move(attempt));
    }
    return runs;
  });
}

std::shared_ptr<const Schema> HistoryReader::schema(const RunSelector& run) {
  return connection_->answer([&] { return connection_->schema(connection_->ring(run).row); });
}

HistoryFrame HistoryReader::frame(const RunSelector& run, std::optional<std::uint64_t> step) {
  return connection_->answer([&] {
    const ReadRing ring = connection_->ring(run);
    const FrameRow row = find_frame(*connection_, ring, step);
    HistoryFrame frame;
    frame.attempt = ring.attempt;
    frame.header = {row.step, row.time_ns, row.layers};
    frame.is_finite = row.is_finite;
    frame.schema = connection_->schema(ring.row);
    frame.layers = layers_of(connection_->database(), ring, row.layers);
    Statement statement(connection_->database(), "SELECT tensors, activations, histograms FROM frames WHERE id = ?");
    Query query(statement, row.id);
    if (!query.next()) throw DamagedData("a frame is in the index only");
    frame.rows = read_rows(query.blob(0), elements_of(*frame.schema));
    frame.activations = read_activations(query.blob(1), row.layers);
    frame.histograms = read_histograms(query.blob(2), frame.schema->histograms);
    return frame;
  });
}

HistoryDistribution HistoryReader::distribution(const RunSelector& run, TensorKind kind, const std::string& tensor,
                                                std::optional<std::uint64_t> step) {
  return connection_->answer([&] {
    const ReadRing ring = connection_->ring(run);
    const auto schema = connection_->schema(ring.row);
    const std::size_t index = row_of(*schema, kind, tensor);
    const std::size_t histogram = histogram_of(schema->rows[index]);
    const FrameRow row = find_frame(*connection_, ring, step);
    Statement statement(connection_->database(), "SELECT tensors, histograms FROM frames WHERE id = ?");
    Query query(statement, row.id);
    if (!query.next()) throw DamagedData("a frame is in the index only");
    HistoryDistribution distribution{ring.attempt, row.step, row.time_ns, {}, {}};
    distribution.histogram = read_histogram(query.blob(1), histogram);
    distribution.moments = read_rows(query.blob(0), elements_of(*schema))[index].moments;
    return distribution;
  });
}

EventsReply HistoryReader::events(const EventsRequest& request) {
  return connection_->answer([&] {
    if (request.run) connection_->ring(*request.run);  // throws when there is none
    std::string sql =
        "SELECT e.id, u.run, u.rank, r.attempt, e.kind, e.step, e.time_ns, e.json FROM events e JOIN rings r ON r.id = e.ring"
        " JOIN runs u ON u.id = r.run WHERE e.id > ?1";
    if (request.run) {
      sql +=
          " AND e.ring IN (SELECT a.id FROM rings a JOIN runs b ON b.id = a.run WHERE b.run = ?3 AND b.rank = ?4"
          " AND (?5 = 0 OR a.attempt = ?5))";
    }
    if (!request.kinds.empty()) {
      // Of kEventKinds, or nothing has that kind.
      sql += " AND e.kind IN (''";
      for (const std::string_view kind : kEventKinds) {
        if (std::find(request.kinds.begin(), request.kinds.end(), kind) != request.kinds.end()) sql.append(",'").append(kind).append("'");
      }
      sql += ")";
    }
    // Without a place to go on from the latest ones, which are turned round below.
    sql += request.since ? " ORDER BY e.id LIMIT ?2" : " ORDER BY e.id DESC LIMIT ?2";
    Statement statement(connection_->database(), sql.c_str());
    const RunSelector run = request.run.value_or(RunSelector{});
    const std::int64_t since = request.since.value_or(0);
    const std::size_t limit = std::min(request.max_events, kMaxEvents);
    Query query = request.run ? Query(statement, since, limit, run.run, run.rank, run.attempt.value_or(0)) : Query(statement, since, limit);
    EventsReply reply;
    while (query.next()) {
      reply.events.push_back({query.integer(0), std::string(query.text(1)), static_cast<int>(query.integer(2)), query.integer(3),
                              std::string(query.text(4)), query.word(5), query.integer(6), std::string(query.text(7))});
    }
    if (!request.since) std::reverse(reply.events.begin(), reply.events.end());
    reply.next = reply.events.empty() ? request.since.value_or(0) : reply.events.back().id;
    return reply;
  });
}

HistoryReaders::HistoryReaders(const HistoryReaderOptions& options, std::size_t count) : time_limit_(options.time_limit) {
  for (std::size_t i = 0; i < count; ++i) all_.emplace_back(options);
  free_.reserve(count);
  for (HistoryReader& reader : all_) free_.push_back(&reader);
}

HistoryReader* HistoryReaders::take() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!is_free_.wait_for(lock, time_limit_, [this] { return !free_.empty(); })) {
    throw HistoryError(HistoryError::Kind::unavailable,
                       "all " + std::to_string(all_.size()) + " connections to the history are busy; ask again later");
  }
  HistoryReader* const reader = free_.back();
  free_.pop_back();
  return reader;
}

void HistoryReaders::give_back(HistoryReader* reader) noexcept {
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    free_.push_back(reader);  // within its capacity
  }
  is_free_.notify_one();
}

}  // namespace vigil
