// CSV as RFC 4180 has it, read strictly.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace vigil::test {

/// Rows by the names of the first line. A line with another number of cells fails the test.
inline std::vector<std::map<std::string, std::string>> read_csv(const std::string& text) {
  std::vector<std::vector<std::string>> lines(1);
  std::string cell;
  bool is_quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_quoted) {
      if (c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
        cell += text[++i];
      } else if (c == '"') {
        is_quoted = false;
      } else {
        cell += c;
      }
    } else if (c == '"') {
      EXPECT_TRUE(cell.empty());
      is_quoted = true;
    } else if (c == ',' || c == '\n') {
      lines.back().push_back(std::move(cell));
      cell.clear();
      if (c == '\n') lines.emplace_back();
    } else {
      cell += c;
    }
  }
  EXPECT_TRUE(cell.empty() && lines.back().empty() && !is_quoted) << "the last line does not end";
  lines.pop_back();
  std::vector<std::map<std::string, std::string>> rows;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].size(), lines[0].size()) << "line " << i + 1;
    std::map<std::string, std::string>& row = rows.emplace_back();
    for (std::size_t k = 0; k < std::min(lines[i].size(), lines[0].size()); ++k) row[lines[0][k]] = lines[i][k];
    EXPECT_EQ(row.size(), lines[0].size()) << "two columns have one name";
  }
  return rows;
}

}  // namespace vigil::test
