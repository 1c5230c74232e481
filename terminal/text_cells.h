// Words and columns of what the command line prints. Texts from files are made harmless here before a terminal sees them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/config/printable.h"

namespace vigil {

using vigil::printable;  // its rules are also those of the daemon's log

/// JSON that is valid UTF-8, with such characters as escapes; it means the same.
std::string printable_json(std::string_view json);

/// Columns that a printable text takes in a terminal. Wide characters of East Asia and emoji take two.
std::size_t columns_of(std::string_view text);

/// At most `columns` of a printable text, with "…" at the end of what was cut.
std::string clipped(std::string_view text, std::size_t columns);

/// A printable text in lines of at most `columns`, which is not 0; broken at spaces, and within a word that is longer.
std::vector<std::string> wrapped(std::string_view text, std::size_t columns);

/// `text` with spaces behind it, as wide as `columns` at least.
std::string padded(std::string_view text, std::size_t columns);
/// With spaces before it.
std::string right_aligned(std::string_view text, std::size_t columns);

/// "1 step", "2 steps".
template <class Integer>
std::string counted(Integer count, const std::string& noun) {
  return std::to_string(count) + ' ' + noun + (count == 1 ? "" : "s");
}

/// "1,234,567".
std::string grouped(std::uint64_t number);
/// About four digits: "0.04213", "12800", "1.2e-09", "NaN", "Inf", "-Inf".
std::string short_number(double value);
/// "12.34 %" of 0 to 1. Only 0 is "0 %", only 1 "100 %": next to them "<0.01 %" and ">99.99 %".
std::string percent_text(double share);
/// "850 µs", "12.3 ms", "4.5 s", "3 min", "5 h", "2 d".
std::string seconds_text(double seconds);
/// "2025-11-28 13:03:01", the local time.
std::string time_text(std::int64_t ns_since_epoch);
/// "13:03:01.123", likewise.
std::string time_of_day(std::int64_t ns_since_epoch);
/// "17.0 MiB".
std::string bytes_text(std::uint64_t bytes);

}  // namespace vigil
