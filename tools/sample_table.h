// Series of samples over time, as OpenMetrics text with timestamps: what `promtool tsdb create-blocks-from openmetrics` reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "vigil/exporters/metric_families.h"

namespace vigil::tools {

/// Collects what an exposition would have said at many moments. Memory: 16 bytes a sample, about 150 of a moment of a histogram. One
/// thread.
///
/// Prometheus counts in milliseconds: of several samples of a series in one, the last stays. A sample before the one before it, as when the
/// clock was set back, is left out and counted. A value that stays is written every kRepeatMs only, so that queries over a minute find it,
/// and a histogram at most once a second.
class SampleTable {
 public:
  static constexpr std::int64_t kRepeatMs = 15'000, kHistogramMs = 1'000;

  /// Samples of one moment. `is_last`: those that stay are written all the same.
  void add(const Family& family, std::int64_t time_ms, bool is_last = false);
  /// The whole text, in pieces.
  void write(const std::function<void(std::string_view)>& out) const;

  std::uint64_t samples() const noexcept { return samples_; }
  std::uint64_t left_out() const noexcept { return left_out_; }

 private:
  struct Point {
    std::int64_t time_ms = 0;
    double value = 0;
  };
  struct HistogramPoint {
    std::int64_t time_ms = 0;
    std::vector<std::uint64_t> cumulative;
    std::uint64_t count = 0;
    double sum = 0;
  };
  struct Series {
    Labels labels;
    std::vector<Point> points;
    std::vector<HistogramPoint> histograms;
    std::int64_t last_ms = 0;  // that was seen, written or not
  };
  struct Column {
    std::string name, help, unit;
    MetricType type = MetricType::gauge;
    std::vector<double> upper_bounds;
    std::vector<Series> series;
    std::unordered_map<std::string, std::size_t> index;  // by the text of the labels
  };
  Column& column_of(const Family& family);
  static Series& series_of(Column& column, const Labels& labels);
  bool is_in_order(Series& series, std::int64_t time_ms);

  std::vector<Column> columns_;
  std::unordered_map<std::string, std::size_t> index_;
  std::uint64_t samples_ = 0, left_out_ = 0;
};

}  // namespace vigil::tools
