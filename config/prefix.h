// What a text begins with.
#pragma once

#include <string_view>

namespace vigil {

inline bool starts_with(std::string_view text, std::string_view start) noexcept { return text.substr(0, start.size()) == start; }

}  // namespace vigil
