// The parts that the tables of a report are made of.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vigil {

inline constexpr std::size_t kTextBytes = 1024;  ///< of a sentence

/// At most so many bytes of a text, with "…" behind what was cut.
std::string bounded(std::string_view text, std::size_t bytes);

// All of these return HTML.

/// With the whole of a name in its title where it is cut.
std::string name_html(const std::string& name);
/// percent_text() of 0 to 1, but "0" for 0.
std::string share_html(double share);
/// `style` is a class, or null.
std::string cell_html(const std::string& html, const char* style = nullptr);
/// A dash where it is NaN: not known, or not defined.
std::string number_cell(double value);

struct ReportColumn {
  std::string title;  ///< HTML
  bool is_text = false;
};
/// Up to the first row. It can be scrolled with a keyboard.
std::string table_begin(const std::string& label, const std::vector<ReportColumn>& columns);
inline constexpr const char* kTableEnd = "</tbody></table></div>\n";

}  // namespace vigil
