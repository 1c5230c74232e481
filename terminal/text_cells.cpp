#include "vigil/terminal/text_cells.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

struct Character {
  char32_t code = 0;
  std::size_t bytes = 1;
};

// The first of a text that is not empty and is UTF-8.
Character first_of(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const std::size_t bytes = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (bytes == 1 || text.size() < bytes) return {lead, 1};
  char32_t code = lead & (0x7FU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) code = code << 6 | (byte(i) & 0x3FU);
  return {code, bytes};
}

struct Range {
  char32_t first, last;
};

template <std::size_t kSize>
bool is_in(const std::array<Range, kSize>& ranges, char32_t code) noexcept {
  return std::any_of(ranges.begin(), ranges.end(), [code](const Range& range) { return code >= range.first && code <= range.last; });
}

constexpr std::array<Range, 9> kWide{{{0x1100, 0x115F},
                                      {0x2E80, 0x303E},
                                      {0x3041, 0xA4CF},
                                      {0xAC00, 0xD7A3},
                                      {0xF900, 0xFAFF},
                                      {0xFE30, 0xFE6F},
                                      {0xFF00, 0xFF60},
                                      {0x1F300, 0x1FAFF},
                                      {0x20000, 0x3FFFD}}};

std::size_t columns_of(char32_t code) noexcept { return is_in(kWide, code) ? 2 : 1; }

std::string format(const char* how, double value) {
  std::array<char, 64> text;
  const int size = std::snprintf(text.data(), text.size(), how, value);
  return {text.data(), static_cast<std::size_t>(std::clamp(size, 0, 63))};
}

std::string local_time(std::int64_t ns, const char* how) {
  const std::time_t seconds = ns / 1'000'000'000;
  std::tm parts{};
  localtime_r(&seconds, &parts);
  std::array<char, 64> text;
  return {text.data(), std::strftime(text.data(), text.size(), how, &parts)};
}

}  // namespace

std::string printable_json(std::string_view json) {
  std::string shown;
  while (!json.empty()) {
    const Character next = first_of(json);
    if (next.code > 0xFFFF || next.code < 0x20 || !is_unfit_to_show(next.code)) {
      // What stands below a space is not within a text, where it is escaped already.
      shown += next.code > 0xFFFF && is_unfit_to_show(next.code) ? std::string_view("\\ufffd") : json.substr(0, next.bytes);
    } else {
      std::array<char, 8> escape;
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(next.code));
      shown += escape.data();
    }
    json.remove_prefix(next.bytes);
  }
  return shown;
}

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const Character next = first_of(text);
    columns += columns_of(next.code);
    text.remove_prefix(next.bytes);
  }
  return columns;
}

std::string clipped(std::string_view text, std::size_t columns) {
  if (columns_of(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  std::size_t used = 1, bytes = 0;  // the ellipsis
  while (bytes < text.size()) {
    const Character next = first_of(text.substr(bytes));
    if (used + columns_of(next.code) > columns) break;
    used += columns_of(next.code);
    bytes += next.bytes;
  }
  return std::string(text.substr(0, bytes)) + "…";
}

std::vector<std::string> wrapped(std::string_view text, std::size_t columns) {
  std::vector<std::string> lines;
  while (columns_of(text) > columns) {
    std::size_t used = 0, bytes = 0, space = 0;
    while (bytes < text.size()) {
      const Character next = first_of(text.substr(bytes));
      if (next.code == ' ' && bytes > 0) space = bytes;
      if (used + columns_of(next.code) > columns && bytes > 0) break;
      used += columns_of(next.code);
      bytes += next.bytes;
    }
    if (bytes >= text.size()) break;
    const std::size_t end = space > 0 ? space : bytes;
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  }
  lines.emplace_back(text);
  return lines;
}

std::string padded(std::string_view text, std::size_t columns) {
  const std::size_t used = columns_of(text);
  return std::string(text) + std::string(columns - std::min(columns, used), ' ');
}

std::string right_aligned(std::string_view text, std::size_t columns) {
  const std::size_t used = columns_of(text);
  return std::string(columns - std::min(columns, used), ' ') + std::string(text);
}

std::string grouped(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ',');
  return digits;
}

std::string short_number(double value) {
  if (is_nan_bits(value)) return "NaN";
  if (!is_finite_bits(value)) return value > 0 ? "Inf" : "-Inf";
  const double magnitude = std::fabs(value);
  if (magnitude >= 1e3 && magnitude < 1e6 && std::round(value) == value) return format("%.0f", value);
  return format("%.4g", value);
}

std::string percent_text(double share) {
  if (share > 0 && share < 0.0001) return "<0.01 %";
  const double percent = std::round(share * 10000) / 100;
  return percent >= 100 && share < 1 ? ">99.99 %" : short_number(percent) + " %";
}

std::string seconds_text(double seconds) {
  if (!is_finite_bits(seconds) || seconds < 0) return "-";
  if (seconds < 0.9995e-3) return format("%.0f µs", seconds * 1e6);
  if (seconds < 0.09995) return format("%.1f ms", seconds * 1e3);
  if (seconds < 0.9995) return format("%.0f ms", seconds * 1e3);
  if (seconds < 9.95) return format("%.1f s", seconds);
  if (seconds < 120) return format("%.0f s", std::floor(seconds));
  if (seconds < 7200) return format("%.0f min", std::floor(seconds / 60));
  if (seconds < 48 * 3600.0) return format("%.0f h", std::floor(seconds / 3600));
  return format("%.0f d", std::floor(seconds / 86400));
}

std::string time_text(std::int64_t ns_since_epoch) { return local_time(ns_since_epoch, "%Y-%m-%d %H:%M:%S"); }

std::string time_of_day(std::int64_t ns_since_epoch) {
  const std::int64_t ms = ns_since_epoch / 1'000'000 % 1000;
  return local_time(ns_since_epoch, "%H:%M:%S.") + std::to_string(1000 + (ms < 0 ? 0 : ms)).substr(1);
}

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::array<const char*, 4> kHow{"%.1f KiB", "%.1f MiB", "%.1f GiB", "%.1f TiB"};
  if (bytes < 1024) return counted(bytes, "byte");
  double amount = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; amount >= 1023.95 && unit + 1 < kHow.size(); ++unit) amount /= 1024;
  return format(kHow[unit], amount);
}

}  // namespace vigil
