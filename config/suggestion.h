// What a user who wrote an unknown key probably meant.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vigil::config_reader {

/// The number of insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (optimal string alignment).
std::size_t edit_distance(std::string_view a, std::string_view b);

/// ` (did you mean 'every_steps'?)` for a key that stands close to a known one of the same section, or a dotted path when the key is known
/// elsewhere; empty when nothing comes near.
std::string suggestion(std::string_view section, std::string_view key);

}  // namespace vigil::config_reader
