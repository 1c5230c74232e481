#include "vigil/inspection/distribution_text.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "vigil/monitor/dtype.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

constexpr std::array<const char*, 9> kBlocks{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::size_t kCellWidth = 16, kDetailWidth = 64, kDetailHeight = 6;

std::size_t detail_width(const OutputPlace& place) {
  return place.columns == 0 ? kDetailWidth : std::min(kDetailWidth, std::max<std::size_t>(place.columns, 16));
}

std::string number_text(double value) { return is_nan_bits(value) ? "-" : short_number(value); }

std::string advice_cell(const FormatAdvice& advice) {
  switch (advice.verdict) {
    case FormatVerdict::safe: return "safe";
    case FormatVerdict::safe_scaled: return "x 2^" + std::to_string(advice.scale);
    case FormatVerdict::out_of_sight: return "out of sight";
    case FormatVerdict::unsafe: break;
  }
  const FormatLoss& loss = advice.loss;
  std::string text;
  const auto tell = [&text](double share, const char* what) {
    if (share > 0) text += (text.empty() ? "" : ", ") + percent_text(share) + ' ' + what;
  };
  if (loss.overflow > 0) text = "up to " + percent_text(loss.overflow) + " too large";
  tell(loss.underflow.value_or(0), "zero");
  if (text.empty()) tell(loss.subnormal.value_or(0), "lose bits");
  return text.empty() ? "unsafe" : text;
}

// Under a picture of `width` columns.
std::string axis_line(const std::string& lower, const std::string& upper, std::size_t width) {
  const std::size_t used = columns_of(lower) + columns_of(upper);
  return lower + std::string(used < width ? width - used : 1, ' ') + upper + '\n';
}

void append_lines(std::string& text, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) {
    const auto end = line.find_last_not_of(' ');
    text += line.substr(0, end == std::string::npos ? 0 : end + 1) + '\n';
  }
}

}  // namespace

std::string nonfinite_text(const Moments& moments) {
  std::string text = moments.nan_count > 0 ? grouped(moments.nan_count) + " NaN" : "";
  if (moments.inf_count > 0) text += (text.empty() ? "" : ", ") + grouped(moments.inf_count) + " Inf";
  return text;
}

std::vector<std::string> histogram_lines(const std::vector<std::uint64_t>& counts, std::size_t width, std::size_t height) {
  if (counts.empty() || width == 0 || height == 0) return {};
  const std::size_t columns = std::min(width, counts.size());
  std::vector<double> heights(columns, 0);
  for (std::size_t i = 0; i < counts.size(); ++i) heights[i * columns / counts.size()] += static_cast<double>(counts[i]);
  const double most = std::max(*std::max_element(heights.begin(), heights.end()), 1.0);
  const auto steps = static_cast<double>(8 * height);
  std::vector<std::string> lines(height);
  for (const double count : heights) {
    const auto filled = static_cast<std::size_t>(count == 0 ? 0 : std::max(std::round(steps * std::sqrt(count / most)), 1.0));
    for (std::size_t line = 0; line < height; ++line) {
      const std::size_t below = 8 * (height - 1 - line);
      lines[line] += kBlocks[filled <= below ? 0 : std::min<std::size_t>(filled - below, 8)];
    }
  }
  return lines;
}

std::string distribution_text(const std::vector<const ReportTensor*>& tensors, const OutputPlace& place) {
  std::vector<TableRow> rows;
  for (const ReportTensor* const tensor : tensors) {
    const std::string name = printable(tensor->name), elements = grouped(tensor->elements);
    if (!tensor->distribution) {
      rows.push_back({{name, elements, "-", "-", "-", "-", "-", "-", "-", "-", printable(tensor->problem)}, Style::dim});
      continue;
    }
    const Distribution& told = *tensor->distribution;
    const auto quantile = [&told](double q) { return number_text(told.quantile(q)); };
    const std::string flat = flatness_of(*tensor), nonfinite = nonfinite_text(told.moments);
    std::string picture = flat.empty() ? histogram_lines(told.linear.counts, kCellWidth, 1).front() : flat;
    if (!nonfinite.empty()) picture = padded(picture, kCellWidth).append("  ").append(nonfinite);
    rows.push_back({{name, elements, number_text(told.mean), number_text(told.standard_deviation), number_text(told.skewness),
                     number_text(told.kurtosis), quantile(0), quantile(0.01), quantile(0.5), quantile(0.99), quantile(1), picture},
                    nonfinite.empty() ? Style::plain : Style::red});
  }
  if (rows.empty()) return "";
  for (TableRow& row : rows) {
    if (row.cells.size() == 11) row.cells.insert(row.cells.end() - 1, "-");
  }
  return table_text({{"TENSOR", false, 0, 16},
                     {"ELEMENTS", true, 3},
                     {"MEAN", true},
                     {"STD", true},
                     {"SKEWNESS", true, 4},
                     {"KURTOSIS", true, 2},
                     {"MIN", true, 1},
                     {"1 %", true, 5},
                     {"MEDIAN", true, 5},
                     {"99 %", true, 5},
                     {"MAX", true, 1},
                     {"HISTOGRAM"}},
                    rows, place);
}

std::string distribution_text(std::string_view name, const Distribution& told, const OutputPlace& place) {
  const ElementCounts& counts = told.counts;
  std::string text;
  const auto add = [&](const std::string& sentence) {
    for (const std::string& line : wrapped(sentence, place.columns == 0 ? columns_of(sentence) + 1 : place.columns)) text += line + '\n';
  };
  text = styled(clipped(printable(name), place.columns == 0 ? std::string::npos : place.columns), Style::bold, place.colored) + '\n';
  add(grouped(counts.elements) + (counts.elements == 1 ? " element, " : " elements, ") + grouped(counts.zeros) + " zero, " +
      grouped(counts.subnormals) + " subnormal, " + grouped(counts.nan) + " NaN, " + grouped(counts.positive_infinite) + " +Inf, " +
      grouped(counts.negative_infinite) + " -Inf");
  if (counts.finite() == 0) return text;
  add("mean " + short_number(told.mean) + ", standard deviation " + short_number(told.standard_deviation) + ", skewness " +
      number_text(told.skewness) + ", kurtosis " + number_text(told.kurtosis) + " (3: normal)");
  text += '\n';
  const std::size_t width = detail_width(place);
  append_lines(text, histogram_lines(told.linear.counts, width, kDetailHeight));
  text += axis_line(short_number(told.linear.lower), short_number(told.linear.upper), std::min(width, told.linear.counts.size()));
  const ExponentHistogram& exponents = told.exponents;
  if (!exponents.positive.empty()) {
    std::vector<std::uint64_t> magnitudes = exponents.positive;
    for (std::size_t i = 0; i < magnitudes.size(); ++i) magnitudes[i] += exponents.negative[i];
    const auto power = [&](std::size_t i) { return "2^" + std::to_string(exponents.lowest + static_cast<int>(i)); };
    text += "\nmagnitudes by powers of two\n";
    append_lines(text, histogram_lines(magnitudes, width, 3));
    text += axis_line(power(0), power(magnitudes.size()), std::min(width, magnitudes.size()));
  }
  std::vector<TableColumn> heads;
  TableRow row;
  for (const Quantile& one : told.quantiles) {
    heads.push_back({short_number(100 * one.q) + " %", true});
    row.cells.push_back(short_number(one.value));
  }
  return text + '\n' + table_text(heads, {row}, place);
}

std::string samples_text(const std::vector<const ReportTensor*>& tensors, const OutputPlace& place) {
  std::vector<TableRow> rows;
  for (const ReportTensor* const tensor : tensors) {
    TableRow& row = rows.emplace_back();
    row.cells = {printable(tensor->name), member_of(printable(tensor->group)), grouped(tensor->elements)};
    const Moments* const moments = moments_of(*tensor);
    if (moments == nullptr) {
      row.cells.insert(row.cells.end(), 8, "-");
      row.cells.push_back(printable(tensor->problem));
      row.style = Style::dim;
      continue;
    }
    const bool is_finite = finite_count(*moments) > 0;
    const MagnitudeHistogram* const magnitudes = magnitudes_of(*tensor);
    for (const double value : {moments->mean, standard_deviation(*moments), moments->min, moments->max})
      row.cells.push_back(is_finite ? number_text(value) : "-");
    row.cells.push_back(
        percent_text(moments->count == 0 ? 0 : static_cast<double>(moments->zero_count) / static_cast<double>(moments->count)));
    for (const double q : {0.01, 0.5, 0.99})
      row.cells.push_back(magnitudes == nullptr ? "-" : number_text(magnitude_quantile(*magnitudes, *moments, q)));
    const std::string flat = flatness_of(*tensor), nonfinite = nonfinite_text(*moments);
    std::string picture = flat;
    if (flat.empty() && magnitudes != nullptr) {
      std::vector<std::uint64_t> counts(magnitudes->buckets.begin(), magnitudes->buckets.end());
      counts.front() += magnitudes->underflow;
      counts.back() += magnitudes->overflow;
      picture = histogram_lines(counts, kCellWidth, 1).front();
    }
    if (!nonfinite.empty()) {
      picture = padded(picture, kCellWidth).append("  ").append(nonfinite);
      if (moments->nan_count + moments->inf_count > tensor->meant_infinite) row.style = Style::red;
    }
    row.cells.push_back(picture);
  }
  if (rows.empty()) return "";
  return table_text({{"TENSOR", false, 0, 16},
                     {"OF", false, 1},
                     {"ELEMENTS", true, 5},
                     {"MEAN", true, 3},
                     {"STD", true},
                     {"MIN", true, 4},
                     {"MAX", true, 4},
                     {"ZEROS", true, 2},
                     {"|X| 1 %", true, 6},
                     {"|X| 50 %", true, 3},
                     {"|X| 99 %", true, 6},
                     {"|X| 2^-28…2^4"}},
                    rows, place);
}

std::string advice_text(const std::vector<const ReportTensor*>& tensors, const OutputPlace& place) {
  std::vector<TableColumn> heads{{"TENSOR", false, 0, 16}, {"OF", false, 1}};
  for (const NumberFormat& format : kNumberFormats) heads.push_back({"AS " + std::string(format.name)});
  std::vector<TableRow> rows;
  for (const ReportTensor* const tensor : tensors) {
    if (!has_precision(*tensor)) continue;
    TableRow& row = rows.emplace_back();
    row.cells = {printable(tensor->name), member_of(printable(tensor->group))};
    for (const FormatAdvice& one : advise(*magnitudes_of(*tensor), *moments_of(*tensor), tensor->dtype))
      row.cells.push_back(advice_cell(one));
  }
  return rows.empty() ? "" : table_text(heads, rows, place);
}

std::string member_of(const std::string& group) {
  for (const char* const known : {kParameterGroup, kGradientGroup, kBufferGroup}) {
    if (group == known) return group.substr(0, group.size() - 1);
  }
  return group;
}

}  // namespace vigil
