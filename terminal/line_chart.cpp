#include "vigil/terminal/line_chart.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

constexpr std::size_t kLevels = 8;
constexpr std::array<std::string_view, kLevels + 1> kBlocks{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

struct ChartColumn {
  double value = 0;
  bool is_finite = false, has_nonfinite = false;
};

std::vector<ChartColumn> columns_of(const std::vector<double>& values, std::size_t width) {
  std::vector<ChartColumn> columns(std::min(width, values.size()));
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::size_t begin = i * values.size() / columns.size(), end = (i + 1) * values.size() / columns.size();
    std::size_t finite = 0;
    for (std::size_t k = begin; k < end; ++k) {
      if (!is_finite_bits(values[k])) {
        columns[i].has_nonfinite = true;
      } else {
        // A mean that cannot overflow.
        ++finite;
        columns[i].value += (values[k] - columns[i].value) / static_cast<double>(finite);
      }
    }
    columns[i].is_finite = finite > 0;
  }
  return columns;
}

std::vector<double> finite_values(const std::vector<ChartColumn>& columns) {
  std::vector<double> values;
  for (const ChartColumn& column : columns) {
    if (column.is_finite) values.push_back(column.value);
  }
  std::sort(values.begin(), values.end());
  return values;
}

double quantile(const std::vector<double>& sorted, double q) noexcept {
  return sorted.empty() ? 0 : sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1))];
}

}  // namespace

std::vector<std::string> line_chart(const std::vector<double>& values, std::size_t width, std::size_t height, bool colored) {
  std::vector<ChartColumn> columns = columns_of(values, width);
  std::vector<double> sorted = finite_values(columns);
  if (!sorted.empty() && sorted.front() > 0 && quantile(sorted, 0.95) > 50 * sorted.front()) {
    for (ChartColumn& column : columns) column.value = column.is_finite ? std::log(column.value) : 0;
    sorted = finite_values(columns);
  }
  const double low = sorted.empty() ? 0 : sorted.front();
  double high = sorted.empty() ? 0 : sorted.back();
  // A spike is not to press the rest flat. The halves are compared, since a range may overflow.
  const double usual = quantile(sorted, 0.95);
  if (usual > low && high / 2 - low / 2 > 2 * (usual / 2 - low / 2)) high = usual + (usual / 2 - low / 2) / 2;
  std::vector<std::string> lines(height);
  for (const ChartColumn& column : columns) {
    const double range = high / 2 - low / 2;
    const double share = range > 0 ? (column.value / 2 - low / 2) / range : 0.5;
    const auto level = 1 + static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(kLevels * height - 1) + 0.5);
    for (std::size_t line = 0; line < height; ++line) {
      const std::size_t below = kLevels * (height - 1 - line);
      if (column.has_nonfinite) {
        lines[line] += styled("×", Style::red, colored);
      } else if (column.is_finite && column.value > high && line == 0) {
        lines[line] += styled("▲", Style::yellow, colored);
      } else {
        lines[line] += column.is_finite ? kBlocks[std::min(level - std::min(level, below), kLevels)] : kBlocks.front();
      }
    }
  }
  return lines;
}

}  // namespace vigil
