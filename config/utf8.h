// Well-formed UTF-8, as of Unicode 15, table 3-7: no overlong forms, no surrogates, nothing beyond U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vigil {

struct CodePoint {
  std::uint32_t value = 0;
  std::size_t bytes = 0;  ///< that it takes in the text; 0: it is not UTF-8
};

/// The first character of a text that is not empty.
CodePoint decode_utf8(std::string_view text) noexcept;

}  // namespace vigil
