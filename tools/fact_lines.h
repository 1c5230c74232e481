// What is known of something, a line each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "vigil/terminal/text_cells.h"
#include "vigil/terminal/text_style.h"

namespace vigil::tools {

/// Lines of "label   text", wrapped where the place is too narrow. Texts are printable.
class Facts {
 public:
  static constexpr std::size_t kLabelColumns = 12;

  explicit Facts(const OutputPlace& place) : place_(place) {}

  void add(std::string_view label, std::string_view text, Style style = Style::plain) {
    const std::size_t columns = place_.columns > 0 ? std::max(place_.columns, 2 * kLabelColumns) - kLabelColumns : columns_of(text) + 1;
    for (const std::string& line : wrapped(text, columns)) {
      out_ += styled(padded(label, kLabelColumns), Style::dim, place_.colored) + styled(line, style, place_.colored) + '\n';
      label = "";
    }
  }
  void add_line(std::string line) {
    line.erase(line.find_last_not_of(' ') + 1);
    out_ += line + '\n';
  }
  std::string take() { return std::move(out_); }

 private:
  const OutputPlace& place_;
  std::string out_;
};

}  // namespace vigil::tools
