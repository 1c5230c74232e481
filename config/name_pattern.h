// The patterns that settings, policies and options choose names by.
#pragma once

#include <fnmatch.h>

#include <algorithm>
#include <string>
#include <vector>

namespace vigil {

/// Whether a shell pattern (`*`, `?`, `[…]`; fnmatch(3)) fits the whole name; a `*` goes over dots.
inline bool matches_pattern(const std::string& pattern, const std::string& name) { return fnmatch(pattern.c_str(), name.c_str(), 0) == 0; }

inline bool matches_any(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) { return matches_pattern(pattern, name); });
}

}  // namespace vigil
