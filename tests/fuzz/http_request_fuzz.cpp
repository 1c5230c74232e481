// What vigil reads of HTTP by itself. The first byte says what the rest is: t a target, a Accept, e Accept-Encoding, l an address to listen
// on, b Authorization.
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "fuzz/require.h"
#include "vigil/exporters/basic_auth.h"
#include "vigil/exporters/content_negotiation.h"
#include "vigil/exporters/http_target.h"
#include "vigil/exporters/listen_address.h"

namespace vigil {
namespace {

using fuzz::require;

std::string encode(const std::string& text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return out;
}

void try_target(std::string_view text) {
  const auto target = parse_target(text);
  if (!target) return;
  require(!target->path.empty() && target->path[0] == '/' && target->path.find('\0') == std::string::npos);
  // Encoded anew in the plainest way it is the same again.
  std::string again = "/" + encode(target->path.substr(1));
  for (std::size_t i = 0; i < target->queries.size(); ++i) {
    const auto& [name, value] = target->queries[i];
    require(name.find('\0') == std::string::npos && value.find('\0') == std::string::npos);
    again += (i == 0 ? "?" : "&") + encode(name) + "=" + encode(value);
  }
  const auto other = parse_target(again);
  require(other && other->path == target->path && other->queries == target->queries);
}

void try_listen_address(std::string_view text) {
  try {
    const ListenAddress address = parse_listen_address(text);
    require(address.port >= 0 && address.port <= 65535 && !address.address.empty());
    const std::string endpoint = endpoint_text(address.address, static_cast<std::uint16_t>(address.port));
    const ListenAddress other = parse_listen_address(endpoint);
    require(other.port == address.port && (other.address == address.address || (address.address == "*" && other.address == "::")));
  } catch (const std::invalid_argument& error) {
    require(std::string_view(error.what()).substr(0, 9) == "expected ");
  }
}

void try_basic_auth(std::string_view text) {
  const auto credentials = parse_basic_auth(text);
  if (!credentials) return;
  require(credentials->user.find(':') == std::string::npos);
  require(credentials->user.find('\0') == std::string::npos && credentials->password.find('\0') == std::string::npos);
}

}  // namespace
}  // namespace vigil

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'a': vigil::choose_text_format(text); break;
    case 'e': vigil::prefers_gzip(text); break;
    case 'l': vigil::try_listen_address(text); break;
    case 'b': vigil::try_basic_auth(text); break;
    default: vigil::try_target(text);
  }
  return 0;
}
