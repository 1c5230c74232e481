// What counts as a URL of HTTP in settings and flags.
#pragma once

#include <string_view>

namespace vigil {

/// Whether `text` begins with http:// or https://, goes on after that, and holds none of `excluded`: characters that would end it early, or
/// that its user appends to.
inline bool is_http_url(std::string_view text, std::string_view excluded) noexcept {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (text.size() > scheme.size() && text.substr(0, scheme.size()) == scheme)
      return text.find_first_of(excluded) == std::string_view::npos;
  }
  return false;
}

}  // namespace vigil
