// Words and columns of what the command line prints.
#pragma once

#include <cstdint>
#include <string>

namespace vigil::tools {

/// `text` with spaces behind it, as wide as `width` columns at least.
inline std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

/// "1 step", "2 steps".
template <class Integer>
std::string counted(Integer count, const std::string& noun) {
  return std::to_string(count) + ' ' + noun + (count == 1 ? "" : "s");
}

}  // namespace vigil::tools
