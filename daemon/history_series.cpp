// HistoryReader: series of steps.
#include <algorithm>
#include <utility>

#include "vigil/daemon/history_connection.h"
#include "vigil/daemon/step_columns.h"

namespace vigil {
namespace {

constexpr std::string_view kRatePrefix = "learning_rate[", kScalarPrefix = "user_scalar[";

// The name of parameter group `i`.
std::string group_name(const Schema& schema, std::size_t i) { return i < schema.groups.size() ? schema.groups[i] : std::to_string(i); }

// Between the brackets of `name`; nothing when it does not begin with `prefix`.
std::optional<std::string_view> in_brackets(std::string_view name, std::string_view prefix) {
  if (name.size() <= prefix.size() || name.substr(0, prefix.size()) != prefix || name.back() != ']') return {};
  return name.substr(prefix.size(), name.size() - prefix.size() - 1);
}

// What a series is made of.
struct Source {
  const StepColumn* column = nullptr;  // null: a learning rate or a user scalar
  std::optional<std::size_t> number;   // of the column; empty: the run has none
  std::size_t scalar = 0;              // which user scalar
  bool is_scalar = false;

  bool has_value(std::uint64_t flags, std::uint64_t user_scalars) const noexcept {
    if (column != nullptr) return vigil::has_value(*column, flags);
    return !is_scalar || scalar < user_scalars;
  }
  double value(std::uint64_t word) const noexcept { return column != nullptr ? value_of(*column, word) : double_of(word); }
};

Source find_source(const std::string& name, const Schema& schema, const std::vector<std::string>& scalars) {
  Source source;
  if (const StepColumn* const column = find_step_column(name)) {
    source.column = column;
    source.number = column->number;
  } else if (const auto group = in_brackets(name, kRatePrefix)) {
    const std::size_t rates = std::min(schema.learning_rates, kMaxLearningRates);
    for (std::size_t i = 0; i < rates && !source.number; ++i) {
      if (group_name(schema, i) == *group) source.number = kFirstRateColumn + i;
    }
  } else if (const auto scalar = in_brackets(name, kScalarPrefix)) {
    source.is_scalar = true;
    const auto found = std::find(scalars.begin(), scalars.end(), *scalar);
    source.scalar = static_cast<std::size_t>(found - scalars.begin());
    if (found != scalars.end()) source.number = kFirstScalarColumn + source.scalar;
  } else {
    throw HistoryError(HistoryError::Kind::invalid, "there is no series '" + name + "'; ask for the names of the run's series");
  }
  return source;
}

// Steps that lie together: a block, or a row of the tail.
struct Segment {
  std::size_t steps = 0;
  std::string_view axis, data;
};

// Collects the points of one range from segments in the order of their steps.
class SeriesBuilder {
 public:
  struct Range {
    std::uint64_t from = 1, until = kMaxStep;
    std::uint64_t scalars_from = 1;  // for user scalars, which may have changed at the step before `from`
  };

  SeriesBuilder(const Range& range, std::uint64_t width, std::vector<Source> sources)
      : range_(range), width_(width), sources_(std::move(sources)), samplers_(sources_.size(), Downsampler(range.scalars_from, width)) {}

  std::uint64_t width() const noexcept { return width_; }

  void add(const Segment& segment) {
    const ColumnSetReader axis(segment.axis, segment.steps), data(segment.data, segment.steps);
    const auto column = [&](const ColumnSetReader& set, std::size_t number, std::vector<std::uint64_t>& words) {
      words.resize(segment.steps);
      set.read(number, words.data());
    };
    column(axis, kStepNumber, steps_);
    column(axis, kTimeNumber, times_);
    column(data, kFlagsNumber, flags_);
    column(data, kUserScalarsNumber, user_scalars_);
    for (std::size_t i = 0; i < segment.steps; ++i) {
      if ((flags_[i] & StepRecord::nonfinite) != 0 && steps_[i] >= range_.from && steps_[i] <= range_.until)
        add_nonfinite(nonfinite_, {steps_[i], steps_[i], 1}, width_);
    }
    for (std::size_t k = 0; k < sources_.size(); ++k) {
      const Source& source = sources_[k];
      if (!source.number) continue;
      column(data, *source.number, words_);
      const std::uint64_t from = source.is_scalar ? range_.scalars_from : range_.from;
      for (std::size_t i = 0; i < segment.steps; ++i) {
        if (steps_[i] < from || steps_[i] > range_.until || !source.has_value(flags_[i], user_scalars_[i])) continue;
        samplers_[k].add({steps_[i], static_cast<std::int64_t>(times_[i]), source.value(words_[i])});
      }
    }
  }

  // All of a block, without its data.
  void add(std::string_view axis_bytes, std::string_view summary_bytes, std::size_t steps, const NonfiniteSteps& nonfinite) {
    const ColumnSetReader axis(axis_bytes, steps);
    steps_.resize(steps);
    times_.resize(steps);
    axis.read(kStepNumber, steps_.data());
    axis.read(kTimeNumber, times_.data());
    if (nonfinite.steps > 0) add_nonfinite(nonfinite_, nonfinite, width_);
    const std::vector<ColumnSummary> summaries = read_summaries(summary_bytes, steps);
    for (std::size_t k = 0; k < sources_.size(); ++k) {
      const auto found = std::find_if(summaries.begin(), summaries.end(),
                                      [&](const ColumnSummary& summary) { return sources_[k].number == std::size_t{summary.number}; });
      if (found != summaries.end()) samplers_[k].add(steps_.front(), points_of(*found, sources_[k]));
    }
  }

  void finish(std::vector<Series>& series, std::vector<NonfiniteSteps>& nonfinite) {
    for (std::size_t k = 0; k < series.size(); ++k) series[k].points = samplers_[k].finish();
    nonfinite = std::move(nonfinite_);
  }

 private:
  PointSummary points_of(const ColumnSummary& summary, const Source& source) const {
    const auto point = [&](ColumnSummary::Which which) -> std::optional<SeriesPoint> {
      const std::uint16_t place = summary.places[which];
      if (place == ColumnSummary::kNone) return {};
      return SeriesPoint{steps_[place], static_cast<std::int64_t>(times_[place]), source.value(summary.words[which])};
    };
    PointSummary points{point(ColumnSummary::first), point(ColumnSummary::smallest), point(ColumnSummary::largest),
                        point(ColumnSummary::last), point(ColumnSummary::first_nonfinite)};
    if (points.nonfinite) points.nonfinite->nonfinite = summary.nonfinite;
    return points;
  }

  const Range range_;
  const std::uint64_t width_;
  const std::vector<Source> sources_;
  std::vector<Downsampler> samplers_;
  std::vector<NonfiniteSteps> nonfinite_;
  std::vector<std::uint64_t> steps_, times_, flags_, user_scalars_, words_;  // of a segment
};

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
    const auto schema = connection_->schema(ring.row);
    std::vector<SeriesName> names;
    for (const StepColumn& column : step_columns()) {
      if (!column.series.empty()) names.push_back({std::string(column.series), std::string(column.unit)});
    }
    for (std::size_t i = 0; i < std::min(schema->learning_rates, kMaxLearningRates); ++i)
      names.push_back({std::string(kRatePrefix) + group_name(*schema, i) + "]", ""});
    for (const std::string& scalar : connection_->scalar_names(ring.row)) names.push_back({std::string(kScalarPrefix) + scalar + "]", ""});
    return names;
  });
}

SeriesReply HistoryReader::series(const SeriesRequest& request) {
  if (request.names.size() > kMaxNames) {
    throw HistoryError(HistoryError::Kind::invalid,
                       "at most " + std::to_string(kMaxNames) + " series are given at once, not " + std::to_string(request.names.size()));
  }
  return connection_->answer([&] {
    std::uint64_t after = 0;
    const ReadRing ring = connection_->ring(request.run, request.since, after);
    const auto schema = connection_->schema(ring.row);
    const std::vector<std::string> scalars = connection_->scalar_names(ring.row);
    SeriesReply reply;
    std::vector<Source> sources;
    for (const std::string& name : request.names) {
      sources.push_back(find_source(name, *schema, scalars));
      reply.series.push_back({name, sources.back().column != nullptr ? std::string(sources.back().column->unit) : "", {}});
    }
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
          // From its summary where it lies within the range and is not much longer than a bucket.
          const bool is_inside = query.word(0) >= range.from && query.word(1) <= range.until;
          if (is_inside && query.word(1) - query.word(0) < builder.width()) {
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
