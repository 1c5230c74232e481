// HistoryReader: series of steps.
#include <algorithm>
#include <utility>

#include "vigil/daemon/history_connection.h"
#include "vigil/history/series_builder.h"

namespace vigil {
namespace {

// The blocks and the rows of the tail that a range touches, in order; `from` is at most `until`.
struct RangeQuery {
  // The last one that begins at or before `from` may reach into the range.
  static constexpr const char* kBlocks =
      " FROM step_blocks WHERE ring = ?1 AND first_step <= ?3 AND first_step >="
      " ifnull((SELECT max(first_step) FROM step_blocks WHERE ring = ?1 AND first_step <= ?2), 0) AND last_step >= ?2";
  static constexpr const char* kTail =
      " FROM step_tail WHERE ring = ?1 AND first_step <= ?3 AND first_step >="
      " ifnull((SELECT max(first_step) FROM step_tail WHERE ring = ?1 AND first_step <= ?2), 0) AND last_step >= ?2";
};

std::uint64_t count_steps(Database& database, std::int64_t row, std::uint64_t from, std::uint64_t until) {
  std::uint64_t steps = 0;
  for (const char* range : {RangeQuery::kBlocks, RangeQuery::kTail}) {
    Statement statement(database, (std::string("SELECT ifnull(sum(steps), 0)") + range).c_str());
    Query query(statement, row, from, until);
    if (query.next()) steps += query.word(0);
  }
  return steps;
}

std::size_t checked_steps(std::int64_t steps) {
  if (steps < 1 || steps > static_cast<std::int64_t>(kMaxBlockSteps)) throw DamagedData("a block has a size that there is not");
  return static_cast<std::size_t>(steps);
}

}  // namespace

std::vector<SeriesName> HistoryReader::series_names(const RunSelector& run) {
  return connection_->answer([&] {
    const ReadRing ring = connection_->ring(run);
    return vigil::series_names(*connection_->schema(ring.row), connection_->scalar_names(ring.row));
  });
}

SeriesReply HistoryReader::series(const SeriesRequest& request) {
  return connection_->answer([&] {
    std::uint64_t after = 0;
    const ReadRing ring = connection_->ring(request.run, request.since, after);
    const auto schema = connection_->schema(ring.row);
    const std::vector<std::string> scalars = connection_->scalar_names(ring.row);
    SeriesReply reply;
    std::vector<SeriesSource> sources = begin_series(request.names, *schema, scalars, reply.series);
    SeriesBuilder::Range range;
    range.until = std::min({request.until, ring.last_step, kMaxStep});
    range.from = std::min(after, kMaxStep - 1) + 1;
    const bool is_revised =
        request.since && after > 0 && request.since->revision != HistoryCursor::kAnyRevision && request.since->revision != ring.revision;
    range.scalars_from = is_revised ? range.from - 1 : range.from;
    reply.attempt = ring.attempt;
    reply.next = {ring.attempt, std::max(after, range.until), ring.revision};
    if (range.scalars_from > range.until) return reply;

    Database& database = connection_->database();
    const std::uint64_t steps = range.until - range.scalars_from + 1;
    const std::size_t max_points = std::clamp<std::size_t>(request.max_points, 1, kMaxPoints);
    SeriesBuilder builder(range, bucket_width(steps, count_steps(database, ring.row, range.scalars_from, range.until), max_points),
                          std::move(sources));
    reply.is_downsampled = builder.width() > 0;
    {
      Statement statement(database, (std::string("SELECT first_step, last_step, steps, nonfinite, first_nonfinite, last_nonfinite, axis,"
                                                 " summary, data") +
                                     RangeQuery::kBlocks + " ORDER BY first_step")
                                        .c_str());
      for (Query query(statement, ring.row, range.scalars_from, range.until); query.next();) {
        connection_->check_time();
        try {
          const std::size_t count = checked_steps(query.integer(2));
          if (builder.takes_summary(query.word(0), query.word(1))) {
            builder.add(query.blob(6), query.blob(7), count, {query.word(4), query.word(5), query.word(3)});
          } else {
            builder.add({count, query.blob(6), query.blob(8)});
          }
        } catch (const DamagedData&) {
          reply.unreadable_steps += query.word(2);
        }
      }
    }
    Statement statement(database, (std::string("SELECT steps, data") + RangeQuery::kTail + " ORDER BY first_step").c_str());
    for (Query query(statement, ring.row, range.scalars_from, range.until); query.next();) {
      try {
        builder.add({checked_steps(query.integer(0)), query.blob(1), query.blob(1)});
      } catch (const DamagedData&) {
        reply.unreadable_steps += query.word(0);
      }
    }
    builder.finish(reply.series, reply.nonfinite);
    return reply;
  });
}

StepsReply HistoryReader::steps(const RunSelector& run, const std::optional<HistoryCursor>& since, std::size_t max_steps) {
  return connection_->answer([&] {
    std::uint64_t after = 0;
    const ReadRing ring = connection_->ring(run, since, after);
    const std::size_t rates = std::min(connection_->schema(ring.row)->learning_rates, kMaxLearningRates);
    StepsReply reply;
    reply.attempt = ring.attempt;
    reply.scalar_names = connection_->scalar_names(ring.row);
    reply.rows = StepRows(rates);
    reply.next = {ring.attempt, after, ring.revision};
    const std::size_t limit = std::clamp<std::size_t>(max_steps, 1, kMaxSteps);
    const std::string blocks = std::string("SELECT steps, axis, data") + RangeQuery::kBlocks + " ORDER BY first_step";
    const std::string tail = std::string("SELECT steps, data, data") + RangeQuery::kTail + " ORDER BY first_step";
    for (const std::string* sql : {&blocks, &tail}) {
      Statement statement(connection_->database(), sql->c_str());
      Query query(statement, ring.row, std::min(after, kMaxStep - 1) + 1, kMaxStep);
      while (reply.rows.size() < limit && query.next()) {
        connection_->check_time();
        try {
          StepRows rows = StepRows::read(query.blob(1), query.blob(2), checked_steps(query.integer(0)), rates);
          while (rows.size() > 0 && rows.step(0) <= after) rows.remove_front(1);
          reply.rows.add(rows);
        } catch (const DamagedData&) {
          reply.unreadable_steps += query.word(0);
        }
      }
    }
    reply.rows.truncate(limit);
    if (reply.rows.size() > 0) reply.next.step = reply.rows.step(reply.rows.size() - 1);
    return reply;
  });
}

}  // namespace vigil
