#include "vigil/config/printable.h"

#include <algorithm>
#include <array>

#include "vigil/config/utf8.h"

namespace vigil {
namespace {

struct UnfitRange {
  std::uint32_t first, last;
};

constexpr std::array<UnfitRange, 14> kUnfit{{{0x00, 0x1F},
                                             {0x7F, 0x9F},
                                             {0xAD, 0xAD},
                                             {0x300, 0x36F},
                                             {0x61C, 0x61C},
                                             {0x180B, 0x180F},
                                             {0x200B, 0x200F},
                                             {0x2028, 0x202E},
                                             {0x2060, 0x206F},
                                             {0x20D0, 0x20FF},
                                             {0xE000, 0xF8FF},
                                             {0xFE00, 0xFE0F},
                                             {0xFEFF, 0xFEFF},
                                             {0xE0000, 0x10FFFF}}};

}  // namespace

bool is_unfit_to_show(std::uint32_t code_point) noexcept {
  return std::any_of(kUnfit.begin(), kUnfit.end(),
                     [code_point](const UnfitRange& range) { return code_point >= range.first && code_point <= range.last; });
}

std::string printable(std::string_view text) {
  constexpr std::uint32_t kReplacement = 0xFFFD;
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const CodePoint next = decode_utf8(text);
    const bool is_fit = next.bytes > 0 && next.value != kReplacement && !is_unfit_to_show(next.value);
    if (is_fit)
      shown += text.substr(0, next.bytes);
    else
      shown += '?';
    text.remove_prefix(std::max<std::size_t>(next.bytes, 1));
  }
  return shown;
}

}  // namespace vigil
