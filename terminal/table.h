// Rows in aligned columns.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "vigil/terminal/text_style.h"

namespace vigil {

/// Texts of cells are printable.
struct TableColumn {
  std::string title;
  bool is_right = false;
  unsigned rank = 0;          ///< columns of the highest rank go first where there is no room; those of 0 stay
  std::size_t narrowest = 0;  ///< not 0: its texts may be clipped to as little as this before a column goes
};

struct TableRow {
  std::vector<std::string> cells;  ///< as many as columns
  Style style = Style::plain;      ///< of the whole line
};

/// The titles, and the rows below them, with two spaces between columns. Where they are wider than `place.columns` (0: as wide as it gets),
/// columns are left out by rank, and then lines are clipped. Each line ends with a newline, and not with spaces. `indent` stands in front
/// of each.
std::string table_text(const std::vector<TableColumn>& heads, const std::vector<TableRow>& rows, const OutputPlace& place,
                       std::size_t indent = 0);

}  // namespace vigil
