// Addresses that a server listens on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vigil {

struct ListenAddress {
  std::string address;    ///< numeric IPv4 or IPv6 address, or "*": all addresses of the machine, of both kinds
  std::int64_t port = 0;  ///< 0 to 65535; 0: the system chooses
};

/// Reads a value of `--web.listen-address`, in the form that it has in the ecosystem of Prometheus: `127.0.0.1:9465`, `[::1]:9465`,
/// `localhost:9465` (127.0.0.1), `:9465` (all addresses). Other host names are not resolved.
/// @throws std::invalid_argument `expected …, got …`
ListenAddress parse_listen_address(std::string_view text);

/// "127.0.0.1:9464", "[::1]:9464", "[::]:9464" for all addresses.
std::string endpoint_text(const std::string& address, std::uint16_t port);

}  // namespace vigil
