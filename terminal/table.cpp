#include "vigil/terminal/table.h"

#include <algorithm>

#include "vigil/terminal/text_cells.h"

namespace vigil {

std::string table_text(const std::vector<TableColumn>& heads, const std::vector<TableRow>& rows, const OutputPlace& place,
                       std::size_t indent) {
  std::vector<std::size_t> widths, shown;
  for (std::size_t i = 0; i < heads.size(); ++i) {
    widths.push_back(columns_of(heads[i].title));
    for (const TableRow& row : rows) widths[i] = std::max(widths[i], columns_of(row.cells[i]));
    shown.push_back(i);
  }
  const auto total = [&] {
    std::size_t sum = indent + 2 * (shown.size() - 1);
    for (const std::size_t i : shown) sum += widths[i];
    return sum;
  };
  // What is above the bound is taken from the columns that may be clipped.
  const auto fits = [&] {
    if (place.columns == 0 || total() <= place.columns) return true;
    std::size_t above = total() - place.columns, room = 0;
    for (const std::size_t i : shown) room += heads[i].narrowest > 0 ? widths[i] - std::min(widths[i], heads[i].narrowest) : 0;
    if (room < above) return false;
    for (const std::size_t i : shown) {
      if (heads[i].narrowest == 0) continue;
      const std::size_t less = std::min(above, widths[i] - std::min(widths[i], heads[i].narrowest));
      widths[i] -= less;
      above -= less;
    }
    return true;
  };
  while (!fits()) {
    const auto last =
        std::max_element(shown.begin(), shown.end(), [&](std::size_t a, std::size_t b) { return heads[a].rank < heads[b].rank; });
    if (heads[*last].rank == 0) break;
    shown.erase(last);
  }
  std::string text;
  const auto add = [&](Style style, const auto& cell) {
    std::string line(indent, ' ');
    for (const std::size_t i : shown) {
      if (i != shown.front()) line += "  ";
      const std::string shown_cell = clipped(cell(i), widths[i]);
      line += heads[i].is_right ? right_aligned(shown_cell, widths[i]) : padded(shown_cell, widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += styled(place.columns > 0 ? clipped(line, place.columns) : line, style, place.colored) + '\n';
  };
  add(Style::bold, [&](std::size_t i) -> const std::string& { return heads[i].title; });
  for (const TableRow& row : rows) {
    add(row.style, [&](std::size_t i) -> const std::string& { return row.cells[i]; });
  }
  return text;
}

}  // namespace vigil
