// Text of somebody else's for a terminal or a log.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vigil {

/// Whether a character does something other than to be seen where it stands: controls, what joins and directs, marks that lie upon other
/// characters, tags and what selects variants, what belongs to nobody.
bool is_unfit_to_show(std::uint32_t code_point) noexcept;

/// `text` on one line, with '?' for every such character, every byte that is not UTF-8 and U+FFFD.
std::string printable(std::string_view text);

}  // namespace vigil
