#include "vigil/config/url.h"

#include <algorithm>
#include <charconv>
#include <cstddef>

#include "vigil/config/prefix.h"

namespace vigil {
namespace {

bool is_alphanumeric(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool is_port(std::string_view text) noexcept {
  unsigned port = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  return error == std::errc{} && stop == end && port >= 1 && port <= 65535;
}

// What stands before the port, which begins at the colon that is returned; npos: there is none.
std::size_t port_colon(std::string_view authority) noexcept {
  const std::size_t bracket = authority.rfind(']'), colon = authority.rfind(':');
  return colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket) ? colon : std::string_view::npos;
}

bool is_authority(std::string_view authority) noexcept {
  if (const std::size_t user = authority.rfind('@'); user != std::string_view::npos) authority.remove_prefix(user + 1);
  const std::size_t colon = port_colon(authority);
  const std::string_view host = authority.substr(0, colon);
  return !host.empty() && (colon == std::string_view::npos || is_port(authority.substr(colon + 1)));
}

}  // namespace

bool is_http_url(std::string_view text, std::string_view excluded) noexcept {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!starts_with(text, scheme)) continue;
    const std::string_view rest = text.substr(scheme.size());
    return text.find_first_of(excluded) == std::string_view::npos && is_authority(rest.substr(0, rest.find_first_of("/?#")));
  }
  return false;
}

bool is_host_with_port(std::string_view text) noexcept {
  const std::size_t colon = port_colon(text);
  if (colon == std::string_view::npos || !is_port(text.substr(colon + 1))) return false;
  std::string_view host = text.substr(0, colon);
  const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (is_bracketed) host = host.substr(1, host.size() - 2);
  const std::string_view others = is_bracketed ? ":." : ".-_";
  return !host.empty() && host.size() <= 253 &&
         std::all_of(host.begin(), host.end(), [&](char c) { return is_alphanumeric(c) || others.find(c) != std::string_view::npos; });
}

}  // namespace vigil
