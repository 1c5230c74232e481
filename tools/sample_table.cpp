#include "vigil/tools/sample_table.h"

#include "vigil/exporters/text_writer.h"

namespace vigil::tools {
namespace {

void append_time(std::string& out, std::int64_t time_ms) {
  const std::string fraction = std::to_string(1000 + time_ms % 1000);
  out += std::to_string(time_ms / 1000) + '.' + fraction.substr(1);
}

void append_number(std::string& out, double value) {
  char text[kNumberBytes];
  out.append(text, write_number(text, value));
}

void append_name(std::string& out, std::string_view name, std::string_view suffix, const std::string& labels, std::string_view more = {}) {
  out += name;
  out += suffix;
  if (labels.empty() && more.empty()) return;
  out += '{';
  out += labels;
  if (!labels.empty() && !more.empty()) out += ',';
  out += more;
  out += '}';
}

void append_sample(std::string& out, double value, std::int64_t time_ms) {
  out += ' ';
  append_number(out, value);
  out += ' ';
  append_time(out, time_ms);
  out += '\n';
}

}  // namespace

SampleTable::Column& SampleTable::column_of(const Family& family) {
  const auto [known, is_new] = index_.emplace(std::string(family.name), columns_.size());
  if (is_new) {
    Column& column = columns_.emplace_back();
    column.name = family.name;
    column.help = family.help;
    column.unit = family.unit;
    column.type = family.type;
  }
  return columns_[known->second];
}

SampleTable::Series& SampleTable::series_of(Column& column, const Labels& labels) {
  const auto [known, is_new] = column.index.emplace(labels->text(), column.series.size());
  if (is_new) column.series.emplace_back().labels = labels;
  return column.series[known->second];
}

bool SampleTable::is_in_order(Series& series, std::int64_t time_ms) {
  if (time_ms < series.last_ms) {
    ++left_out_;
    return false;
  }
  series.last_ms = time_ms;
  return true;
}

void SampleTable::add(const Family& family, std::int64_t time_ms, bool is_last) {
  if (time_ms < 0 || (family.samples.empty() && family.histograms.empty())) return;
  Column& column = column_of(family);
  for (const Sample& sample : family.samples) {
    Series& series = series_of(column, sample.labels);
    if (!is_in_order(series, time_ms)) continue;
    if (!series.points.empty()) {
      Point& back = series.points.back();
      if (back.time_ms == time_ms) {
        back.value = sample.value;
        continue;
      }
      if (!is_last && back.value == sample.value && time_ms - back.time_ms < kRepeatMs) continue;
    }
    series.points.push_back({time_ms, sample.value});
    ++samples_;
  }
  for (const HistogramSample& sample : family.histograms) {
    Series& series = series_of(column, sample.labels);
    if (!is_in_order(series, time_ms)) continue;
    column.upper_bounds = sample.value.upper_bounds;
    const bool is_soon = !series.histograms.empty() && time_ms - series.histograms.back().time_ms < kHistogramMs;
    if (is_soon && !is_last) continue;
    if (is_soon && series.histograms.back().time_ms == time_ms) series.histograms.pop_back();
    series.histograms.push_back({time_ms, sample.value.cumulative, sample.value.count, sample.value.sum});
    samples_ += column.upper_bounds.size() + 3;
  }
}

void SampleTable::write(const std::function<void(std::string_view)>& out) const {
  constexpr std::size_t kPiece = std::size_t{1} << 16;
  std::string text;
  const auto pass_on = [&](bool is_end = false) {
    if (text.size() < kPiece && !is_end) return;
    out(text);
    text.clear();
  };
  for (const Column& column : columns_) {
    append_metadata(text, column.name, column.type, column.unit, column.help, TextFormat::openmetrics);
    std::vector<std::string> bounds;
    for (const double bound : column.upper_bounds) {
      std::string& label = bounds.emplace_back("le=\"");
      append_bound(label, bound, TextFormat::openmetrics);
      label += '"';
    }
    for (const Series& series : column.series) {
      const std::string& labels = series.labels->text();
      for (const Point& point : series.points) {
        append_name(text, column.name, {}, labels);
        append_sample(text, point.value, point.time_ms);
        pass_on();
      }
      for (const HistogramPoint& point : series.histograms) {
        for (std::size_t i = 0; i < bounds.size() && i < point.cumulative.size(); ++i) {
          append_name(text, column.name, "_bucket", labels, bounds[i]);
          append_sample(text, static_cast<double>(point.cumulative[i]), point.time_ms);
        }
        append_name(text, column.name, "_bucket", labels, "le=\"+Inf\"");
        append_sample(text, static_cast<double>(point.count), point.time_ms);
        append_name(text, column.name, "_sum", labels);
        append_sample(text, point.sum, point.time_ms);
        append_name(text, column.name, "_count", labels);
        append_sample(text, static_cast<double>(point.count), point.time_ms);
        pass_on();
      }
    }
  }
  text += end_of_text(TextFormat::openmetrics);
  pass_on(true);
}

}  // namespace vigil::tools
