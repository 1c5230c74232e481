#include "vigil/exporters/listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <stdexcept>

namespace vigil {
namespace {

constexpr std::size_t kMaxShownBytes = 80;

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
  std::string shown;
  for (const char c : text.substr(0, kMaxShownBytes)) shown += c >= 0x20 && c < 0x7F ? c : '?';
  throw std::invalid_argument("expected ADDRESS:PORT, e.g. 127.0.0.1:9465, [::1]:9465 or :9465 for all addresses, got '" + shown + "'" +
                              why);
}

bool is_address(int family, const std::string& text) {
  in6_addr address;  // holds either family
  return inet_pton(family, text.c_str(), &address) == 1;
}

}  // namespace

ListenAddress parse_listen_address(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) refuse(text, " (it holds a zero byte)");
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) refuse(text, " (the port is missing)");
  const std::string_view port_text = text.substr(colon + 1);
  const std::string host(text.substr(0, colon));
  const bool is_bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (!is_bracketed && host.find(':') != std::string::npos) refuse(text, " (an IPv6 address stands in brackets, and a port behind them)");

  ListenAddress parsed;
  const bool is_number = !port_text.empty() && port_text.find_first_not_of("0123456789") == std::string_view::npos;
  const auto [end, error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), parsed.port);
  if (!is_number || error != std::errc{} || end != port_text.data() + port_text.size() || parsed.port > 65535) {
    refuse(text, port_text.empty() ? " (the port is missing)" : " (a port is a number from 0 to 65535)");
  }
  if (host.empty()) {
    parsed.address = "*";
  } else if (host == "localhost") {
    parsed.address = "127.0.0.1";
  } else if (is_bracketed) {
    parsed.address = host.substr(1, host.size() - 2);
    if (parsed.address.find('%') != std::string::npos) refuse(text, " (network interfaces in addresses are not supported)");
    if (!is_address(AF_INET6, parsed.address)) refuse(text, " (what stands in brackets is no IPv6 address)");
  } else {
    parsed.address = host;
    if (!is_address(AF_INET, host)) refuse(text, " (it is no numeric address, and host names other than localhost are not resolved)");
  }
  return parsed;
}

std::string endpoint_text(const std::string& address, std::uint16_t port) {
  const std::string& host = address == "*" ? "::" : address;
  return (host.find(':') != std::string::npos ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace vigil
