#include "vigil/inspection/report_pictures.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

#include "vigil/monitor/dtype.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

// In bandwidths, between two points of a density.
constexpr double kWidestStep = 8;

// Tenths of a unit of the picture are finer than any screen.
std::string place_text(double value) {
  std::array<char, 32> text;
  const int size = std::snprintf(text.data(), text.size(), "%.1f", value);
  std::string place(text.data(), static_cast<std::size_t>(std::clamp(size, 0, static_cast<int>(text.size()) - 1)));
  if (place.size() > 2 && place.compare(place.size() - 2, 2, ".0") == 0) place.resize(place.size() - 2);
  return place;
}

std::string opened(int width, int height, const std::string& label) {
  const std::string size = std::to_string(width) + "\" height=\"" + std::to_string(height);
  return "<svg role=\"img\" viewBox=\"0 0 " + std::to_string(width) + ' ' + std::to_string(height) + "\" width=\"" + size + "\"><title>" +
         escaped_html(label) + "</title>";
}

std::string axis_text(double x, double y, const char* anchor, const std::string& text) {
  return "<text x=\"" + place_text(x) + "\" y=\"" + place_text(y) + "\" text-anchor=\"" + anchor + "\">" + escaped_html(text) + "</text>";
}

std::string rule(double x1, double y1, double x2, double y2) {
  return "<path class=\"rule\" d=\"M" + place_text(x1) + ' ' + place_text(y1) + 'L' + place_text(x2) + ' ' + place_text(y2) + "\"/>";
}

// One path for all bars of a colour: `heights` in units of the picture, upwards from `floor`.
std::string bars(const char* style, const std::vector<double>& heights, double left, double width, double floor) {
  std::string path;
  const double step = width / static_cast<double>(heights.size()), gap = step > 4 ? 1 : 0;
  for (std::size_t i = 0; i < heights.size(); ++i) {
    if (heights[i] == 0) continue;
    path += 'M' + place_text(left + static_cast<double>(i) * step) + ' ' + place_text(floor) + 'v' + place_text(-heights[i]) + 'h' +
            place_text(std::max(step - gap, 0.8)) + 'v' + place_text(heights[i]) + 'z';
  }
  return path.empty() ? path : "<path class=\"" + std::string(style) + "\" d=\"" + path + "\"/>";
}

// By the square root, so that the tails are seen; what is not 0 is at least half a unit high.
std::vector<double> bar_heights(const std::vector<std::uint64_t>& counts, double most, double height) {
  std::vector<double> heights;
  heights.reserve(counts.size());
  for (const std::uint64_t count : counts)
    heights.push_back(count == 0 ? 0
                                 : std::copysign(std::max(std::fabs(height) * std::sqrt(static_cast<double>(count) / most), 0.5), height));
  return heights;
}

double largest_of(const std::vector<std::uint64_t>& counts) {
  return counts.empty() ? 0 : static_cast<double>(*std::max_element(counts.begin(), counts.end()));
}

std::string power_text(int exponent) { return "2^" + std::to_string(exponent); }

}  // namespace

std::string escaped_html(std::string_view text) {
  std::string escaped;
  for (const char c : printable(text)) {
    switch (c) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '"': escaped += "&quot;"; break;
      case '\'': escaped += "&#39;"; break;
      default: escaped += c;
    }
  }
  return escaped;
}

bool has_curve(const Distribution& told) noexcept {
  const Density& density = told.density;
  return density.values.size() > 1 && is_finite_bits(density.upper - density.lower) &&
         (density.upper - density.lower) / static_cast<double>(density.values.size() - 1) <= kWidestStep * density.bandwidth;
}

std::string linear_picture(const Distribution& told, int width, int height, bool has_axis, const std::string& label) {
  const LinearHistogram& linear = told.linear;
  const double most = largest_of(linear.counts);
  if (most == 0) return "";
  const double floor = height - (has_axis ? 16.0 : 1.0), room = floor - 2;
  const double range = linear.upper - linear.lower;
  std::string svg = opened(width, height, label);
  svg += bars("bar", bar_heights(linear.counts, most, room), 0, width, floor);
  if (const std::vector<double>& values = told.density.values; has_curve(told) && is_finite_bits(range) && range > 0) {
    // In elements of a bin, as the bars are.
    const double bin = range / static_cast<double>(linear.counts.size()), all = static_cast<double>(told.counts.finite());
    const double step = (told.density.upper - told.density.lower) / static_cast<double>(values.size() - 1);
    std::string path;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double x = (told.density.lower + static_cast<double>(i) * step - linear.lower) / range * width;
      const double y = floor - room * std::min(std::sqrt(values[i] * bin * all / most), 1.02);
      if (!is_finite_bits(x) || !is_finite_bits(y) || x < 0 || x > width) continue;
      path += (path.empty() ? 'M' : 'L') + place_text(x) + ' ' + place_text(y);
    }
    if (!path.empty()) svg += "<path class=\"curve\" d=\"" + path + "\"/>";
  }
  svg += rule(0, floor + 0.5, width, floor + 0.5);
  if (linear.lower < 0 && linear.upper > 0 && is_finite_bits(range)) {
    const double zero = -linear.lower / range * width;
    svg += "<path class=\"zero\" d=\"M" + place_text(zero) + " 0V" + place_text(floor) + "\"/>";
    if (has_axis && zero > 50 && zero < width - 50) svg += axis_text(zero, height - 3, "middle", "0");
  }
  if (has_axis)
    svg += axis_text(0, height - 3, "start", short_number(linear.lower)) + axis_text(width, height - 3, "end", short_number(linear.upper));
  return svg + "</svg>";
}

std::string exponent_picture(const ExponentHistogram& histogram, int width, int height, bool has_axis, const std::string& label) {
  const double most = std::max(largest_of(histogram.positive), largest_of(histogram.negative));
  if (most == 0) return "";
  const double room = (height - (has_axis ? 16.0 : 0.0)) / 2, size = room - 1;
  std::string svg = opened(width, height, label);
  svg += bars("bar", bar_heights(histogram.positive, most, size), 0, width, room) +
         bars("negative", bar_heights(histogram.negative, most, -size), 0, width, room);
  svg += rule(0, room, width, room);
  if (has_axis) {
    // About six numbers, under the lower edges of their bars.
    const int size_of_all = static_cast<int>(histogram.positive.size()), every = std::max(1, (size_of_all + 5) / 6);
    for (int i = 0; i <= size_of_all; i += every) {
      const char* const anchor = i == 0 ? "start" : i == size_of_all ? "end" : "middle";
      svg += axis_text(static_cast<double>(width) * i / size_of_all, height - 3, anchor, power_text(histogram.lowest + i));
    }
  }
  return svg + "</svg>";
}

std::string magnitude_picture(const MagnitudeHistogram* up, const MagnitudeHistogram* down, int width, int height, bool has_axis,
                              const std::string& label) {
  const auto counts_of = [](const MagnitudeHistogram* histogram) {
    std::vector<std::uint64_t> counts;
    if (histogram == nullptr) return counts;
    counts.push_back(histogram->underflow);
    counts.insert(counts.end(), histogram->buckets.begin(), histogram->buckets.end());
    counts.push_back(histogram->overflow);
    return counts;
  };
  const std::vector<std::uint64_t> above = counts_of(up), below = counts_of(down);
  const double most_above = largest_of(above), most_below = largest_of(below);
  if (most_above == 0 && most_below == 0) return "";
  const double room = height - (has_axis ? 16.0 : 1.0);
  const double line = down == nullptr ? room : up == nullptr ? 1 : std::round(room / 2);
  std::string svg = opened(width, height, label);
  if (most_above > 0) svg += bars("bar", bar_heights(above, most_above, line - 1), 0, width, line);
  if (most_below > 0) svg += bars("negative", bar_heights(below, most_below, line + 1 - room), 0, width, line);
  svg += rule(0, line, width, line);
  if (has_axis) {
    const double step = width / static_cast<double>(MagnitudeHistogram::kBuckets + 2);
    for (const int exponent : {-24, -20, -16, -12, -8, -4, 0})
      svg += axis_text((exponent - MagnitudeHistogram::kLowestExponent + 1) * step, height - 3, "middle", power_text(exponent));
  }
  return svg + "</svg>";
}

}  // namespace vigil
