// What counts as a URL of HTTP, and as a host with its port, in settings and flags.
#pragma once

#include <string_view>

namespace vigil {

/// Whether `text` begins with http:// or https://, goes on with a host and, if it likes, a port from 1 to 65535, and holds none of
/// `excluded`: characters that would end it early, or that its user appends to.
bool is_http_url(std::string_view text, std::string_view excluded) noexcept;

/// Whether `text` is a host name, an IPv4 address or an IPv6 address in brackets, then a colon and a port from 1 to 65535.
bool is_host_with_port(std::string_view text) noexcept;

}  // namespace vigil
