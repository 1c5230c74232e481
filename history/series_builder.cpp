#include "vigil/history/series_builder.h"

#include <algorithm>
#include <utility>

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

// `value` makes a number of a word.
template <class Value>
PointSummary points_of(const ColumnSummary& summary, const std::vector<std::uint64_t>& steps, const std::vector<std::uint64_t>& times,
                       Value value) {
  const auto point = [&](ColumnSummary::Which which) -> std::optional<SeriesPoint> {
    const std::uint16_t place = summary.places[which];
    if (place == ColumnSummary::kNone) return {};
    return SeriesPoint{steps[place], static_cast<std::int64_t>(times[place]), value(summary.words[which])};
  };
  PointSummary points{point(ColumnSummary::first), point(ColumnSummary::smallest), point(ColumnSummary::largest),
                      point(ColumnSummary::last), point(ColumnSummary::first_nonfinite)};
  if (points.nonfinite) points.nonfinite->nonfinite = summary.nonfinite;
  return points;
}

}  // namespace

void SummarizedSteps::add(const SummarizedSteps& later) {
  last_step = later.last_step;
  steps += later.steps;
  if (nonfinite.steps == 0) {
    nonfinite = later.nonfinite;
  } else if (later.nonfinite.steps > 0) {
    nonfinite.last_step = later.nonfinite.last_step;
    nonfinite.steps += later.nonfinite.steps;
  }
  for (const auto& [number, points] : later.series) {
    const auto found = std::find_if(series.begin(), series.end(), [number = number](const auto& one) { return one.first == number; });
    if (found != series.end()) {
      found->second.add(points);
    } else {
      series.emplace_back(number, points);
    }
  }
}

SummarizedSteps summarize(const StepBlock& block) {
  SummarizedSteps made{block.first_step, block.last_step, block.steps, {block.first_nonfinite, block.last_nonfinite, block.nonfinite}, {}};
  const ColumnSetReader axis(block.axis, block.steps);
  std::vector<std::uint64_t> steps(block.steps), times(block.steps);
  axis.read(kStepNumber, steps.data());
  axis.read(kTimeNumber, times.data());
  for (const ColumnSummary& summary : read_summaries(block.summary, block.steps)) {
    const StepColumn* const column = find_step_column(std::size_t{summary.number});
    const auto value = [column](std::uint64_t word) { return column != nullptr ? value_of(*column, word) : double_of(word); };
    made.series.emplace_back(summary.number, points_of(summary, steps, times, value));
  }
  made.series.shrink_to_fit();
  return made;
}

SeriesSource find_source(const std::string& name, const Schema& schema, const std::vector<std::string>& scalars) {
  SeriesSource source;
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

std::vector<SeriesName> series_names(const Schema& schema, const std::vector<std::string>& scalars) {
  std::vector<SeriesName> names;
  for (const StepColumn& column : step_columns()) {
    if (!column.series.empty()) names.push_back({std::string(column.series), std::string(column.unit)});
  }
  for (std::size_t i = 0; i < std::min(schema.learning_rates, kMaxLearningRates); ++i)
    names.push_back({std::string(kRatePrefix) + group_name(schema, i) + "]", ""});
  for (const std::string& scalar : scalars) names.push_back({std::string(kScalarPrefix) + scalar + "]", ""});
  return names;
}

std::vector<SeriesSource> begin_series(const std::vector<std::string>& names, const Schema& schema, const std::vector<std::string>& scalars,
                                       std::vector<Series>& series) {
  if (names.size() > RunHistory::kMaxNames) {
    throw HistoryError(HistoryError::Kind::invalid, "at most " + std::to_string(RunHistory::kMaxNames) + " series are given at once, not " +
                                                        std::to_string(names.size()));
  }
  std::vector<SeriesSource> sources;
  for (const std::string& name : names) {
    sources.push_back(find_source(name, schema, scalars));
    series.push_back({name, sources.back().column != nullptr ? std::string(sources.back().column->unit) : "", {}});
  }
  return sources;
}

void SeriesBuilder::add(const Segment& segment) {
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
    const SeriesSource& source = sources_[k];
    if (!source.number) continue;
    column(data, *source.number, words_);
    const std::uint64_t from = source.is_scalar ? range_.scalars_from : range_.from;
    for (std::size_t i = 0; i < segment.steps; ++i) {
      if (steps_[i] < from || steps_[i] > range_.until || !source.has_value(flags_[i], user_scalars_[i])) continue;
      samplers_[k].add({steps_[i], static_cast<std::int64_t>(times_[i]), source.value(words_[i])});
    }
  }
}

void SeriesBuilder::add(std::string_view axis_bytes, std::string_view summary_bytes, std::size_t steps, const NonfiniteSteps& nonfinite) {
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
    if (found != summaries.end()) {
      const auto value = [&source = sources_[k]](std::uint64_t word) { return source.value(word); };
      samplers_[k].add(steps_.front(), points_of(*found, steps_, times_, value));
    }
  }
}

void SeriesBuilder::add(const SummarizedSteps& steps) {
  if (steps.last_step < range_.from || steps.first_step > range_.until) return;
  if (steps.nonfinite.steps > 0) add_nonfinite(nonfinite_, steps.nonfinite, width_);
  for (std::size_t k = 0; k < sources_.size(); ++k) {
    const auto found =
        std::find_if(steps.series.begin(), steps.series.end(), [&](const auto& one) { return sources_[k].number == one.first; });
    if (found == steps.series.end()) continue;
    if (takes_summary(steps.first_step, steps.last_step)) {
      samplers_[k].add(steps.first_step, found->second);
      continue;
    }
    for (const SeriesPoint& point : points_in_order(found->second)) {
      if (point.step >= range_.from && point.step <= range_.until) samplers_[k].add(point);
    }
  }
}

void SeriesBuilder::finish(std::vector<Series>& series, std::vector<NonfiniteSteps>& nonfinite) {
  for (std::size_t k = 0; k < series.size(); ++k) series[k].points = samplers_[k].finish();
  nonfinite = std::move(nonfinite_);
}

}  // namespace vigil
