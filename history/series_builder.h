// Series of steps out of packed blocks and rows: what a history answers with, wherever it keeps them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vigil/history/column_codec.h"
#include "vigil/history/downsampling.h"
#include "vigil/history/run_history.h"
#include "vigil/history/step_columns.h"
#include "vigil/monitor/schema.h"

namespace vigil {

/// What a series is made of.
struct SeriesSource {
  const StepColumn* column = nullptr;  ///< null: a learning rate or a user scalar
  std::optional<std::size_t> number;   ///< of the column; empty: the run has none
  std::size_t scalar = 0;              ///< which user scalar
  bool is_scalar = false;

  bool has_value(std::uint64_t flags, std::uint64_t user_scalars) const noexcept {
    if (column != nullptr) return vigil::has_value(*column, flags);
    return !is_scalar || scalar < user_scalars;
  }
  double value(std::uint64_t word) const noexcept { return column != nullptr ? value_of(*column, word) : double_of(word); }
};

/// `scalars` are the names of the run's user scalars. @throws HistoryError invalid when no run has such a series
SeriesSource find_source(const std::string& name, const Schema& schema, const std::vector<std::string>& scalars);

/// Every series that a run with this schema and these user scalars may have.
std::vector<SeriesName> series_names(const Schema& schema, const std::vector<std::string>& scalars);

/// Names of a request and empty series for them. @throws HistoryError invalid where there are too many, or one is none
std::vector<SeriesSource> begin_series(const std::vector<std::string>& names, const Schema& schema, const std::vector<std::string>& scalars,
                                       std::vector<Series>& series);

/// Steps of which only a summary is kept.
struct SummarizedSteps {
  std::uint64_t first_step = 0, last_step = 0;
  std::uint64_t steps = 0;
  NonfiniteSteps nonfinite;
  std::vector<std::pair<std::size_t, PointSummary>> series;  ///< by number of the column, of those with a value

  void add(const SummarizedSteps& later);
  std::size_t bytes() const noexcept { return sizeof(SummarizedSteps) + series.capacity() * sizeof(series.front()); }
};

/// What of a block outlasts its data. @throws DamagedData
SummarizedSteps summarize(const StepBlock& block);

/// Collects the points of one range from segments in the order of their steps. What reads bytes throws DamagedData.
class SeriesBuilder {
 public:
  struct Range {
    std::uint64_t from = 1, until = 0;
    std::uint64_t scalars_from = 1;  ///< for user scalars, which may have changed at the step before `from`
  };
  /// Steps that lie together: a block, or rows that are none yet. Columns step and wall_time_ns are in `axis`.
  struct Segment {
    std::size_t steps = 0;
    std::string_view axis, data;
  };

  /// Buckets of `width` steps; 0: all points.
  SeriesBuilder(const Range& range, std::uint64_t width, std::vector<SeriesSource> sources)
      : range_(range), width_(width), sources_(std::move(sources)), samplers_(sources_.size(), Downsampler(range.scalars_from, width)) {}

  std::uint64_t width() const noexcept { return width_; }
  /// Whether a block of these steps may be added by its summary: it lies within the range and is not much longer than a bucket.
  bool takes_summary(std::uint64_t first_step, std::uint64_t last_step) const noexcept {
    return first_step >= range_.from && last_step <= range_.until && last_step - first_step < width_;
  }

  void add(const Segment& segment);
  /// All of a block, without its data: StepBlock::axis and summary.
  void add(std::string_view axis_bytes, std::string_view summary_bytes, std::size_t steps, const NonfiniteSteps& nonfinite);
  void add(const SummarizedSteps& steps);
  /// `series` are as many as sources.
  void finish(std::vector<Series>& series, std::vector<NonfiniteSteps>& nonfinite);

 private:
  const Range range_;
  const std::uint64_t width_;
  const std::vector<SeriesSource> sources_;
  std::vector<Downsampler> samplers_;
  std::vector<NonfiniteSteps> nonfinite_;
  std::vector<std::uint64_t> steps_, times_, flags_, user_scalars_, words_;  // of a segment
};

}  // namespace vigil
