#include "vigil/config/utf8.h"

namespace vigil {
namespace {

bool is_continuation(char byte) noexcept { return (static_cast<unsigned char>(byte) & 0xC0u) == 0x80u; }

}  // namespace

CodePoint decode_utf8(std::string_view text) noexcept {
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80u) return {lead, 1};
  std::size_t bytes = 0;
  std::uint32_t value = 0;
  std::uint32_t least = 0;  // a smaller value in as many bytes is an overlong form
  if ((lead & 0xE0u) == 0xC0u) {
    bytes = 2, value = lead & 0x1Fu, least = 0x80u;
  } else if ((lead & 0xF0u) == 0xE0u) {
    bytes = 3, value = lead & 0x0Fu, least = 0x800u;
  } else if ((lead & 0xF8u) == 0xF0u) {
    bytes = 4, value = lead & 0x07u, least = 0x10000u;
  }
  if (bytes == 0 || text.size() < bytes) return {};
  for (std::size_t i = 1; i < bytes; ++i) {
    if (!is_continuation(text[i])) return {};
    value = value << 6 | (static_cast<unsigned char>(text[i]) & 0x3Fu);
  }
  const bool surrogate = value >= 0xD800u && value <= 0xDFFFu;
  if (value < least || value > 0x10FFFFu || surrogate) return {};
  return {value, bytes};
}

}  // namespace vigil
