#include "vigil/config/text.h"

#include <cstdint>

#include "vigil/config/utf8.h"

namespace vigil::config_reader {
namespace {

constexpr std::size_t kMostShownBytes = 60;
constexpr char kHexDigits[] = "0123456789ABCDEF";

bool is_line_break_or_tab(std::uint32_t value) { return value == '\t' || value == '\n' || value == '\r'; }

bool is_control(std::uint32_t value) { return value < 0x20u || (value >= 0x7Fu && value < 0xA0u) || value == 0x2028u || value == 0x2029u; }

std::string code_point_name(std::uint32_t value) {
  std::string name = "U+";
  for (int shift = 12; shift >= 0; shift -= 4) name += kHexDigits[value >> shift & 0x0Fu];
  return name;
}

}  // namespace

std::string hex_byte(char byte) {
  const auto value = static_cast<unsigned char>(byte);
  return {kHexDigits[value >> 4], kHexDigits[value & 0x0Fu]};
}

std::optional<Unprintable> first_unprintable(std::string_view text, bool line_breaks_allowed) {
  for (std::size_t offset = 0; offset < text.size();) {
    const CodePoint character = decode_utf8(text.substr(offset));
    if (character.bytes == 0) return Unprintable{offset, "the byte 0x" + hex_byte(text[offset]) + ", which is not UTF-8"};
    if (is_control(character.value) && !(line_breaks_allowed && is_line_break_or_tab(character.value))) {
      return Unprintable{offset, "the control character " + code_point_name(character.value)};
    }
    offset += character.bytes;
  }
  return std::nullopt;
}

std::string one_line(std::string_view text) {
  std::string shown;
  for (std::size_t offset = 0; offset < text.size();) {
    const CodePoint character = decode_utf8(text.substr(offset));
    const std::size_t bytes = character.bytes == 0 ? 1 : character.bytes;
    if (offset + bytes > kMostShownBytes) {
      shown += "…";
      break;
    }
    const std::string_view original = text.substr(offset, bytes);
    if (character.bytes == 0 || is_control(character.value)) {
      for (const char byte : original) shown += "\\x" + hex_byte(byte);
    } else {
      shown += original;
    }
    offset += bytes;
  }
  return shown;
}

std::string quoted_text(std::string_view text, char quote) { return quote + one_line(text) + quote; }

std::string joined(const std::vector<std::string>& items, std::string_view last_separator) {
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) text += i + 1 == items.size() ? last_separator : ", ";
    text += items[i];
  }
  return text;
}

}  // namespace vigil::config_reader
