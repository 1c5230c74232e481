// Text from a file or a program: is it printable, and how an error message shows it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vigil::config_reader {

/// A character that a configuration must not hold.
struct Unprintable {
  std::size_t offset = 0;   ///< in bytes from the start of the text
  std::string description;  ///< e.g. `the control character U+0007`
};

/// The first byte that is not UTF-8 (overlong forms and surrogates included), or the first control character or line separator.
/// Tab, line feed and carriage return pass only with `line_breaks_allowed`.
std::optional<Unprintable> first_unprintable(std::string_view text, bool line_breaks_allowed);

/// Two hexadecimal digits.
std::string hex_byte(char byte);

/// `text` on one line: control characters and bytes that are not UTF-8 become `\xNN`, and what is longer than 60 bytes ends in `…`.
std::string one_line(std::string_view text);

/// The same between two `quote` characters.
std::string quoted_text(std::string_view text, char quote);

/// `a, b or c`.
std::string joined(const std::vector<std::string>& items, std::string_view last_separator);

}  // namespace vigil::config_reader
