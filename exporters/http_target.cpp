#include "vigil/exporters/http_target.h"

#include <algorithm>

#include "vigil/config/prefix.h"
#include "vigil/config/utf8.h"

namespace vigil {
namespace {

constexpr std::size_t kMaxQueries = 256;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t bytes = decode_utf8(text).bytes;
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

// Nothing when it is malformed.
std::optional<std::string> decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+' && plus_is_space) c = ' ';
    if (c == '%') {
      const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(16 * high + low);
      i += 2;
    }
    if (c == '\0') return std::nullopt;
    out += c;
  }
  if (!is_utf8(out)) return std::nullopt;
  return out;
}

}  // namespace

std::optional<HttpTarget> parse_target(std::string_view target) {
  if (std::any_of(target.begin(), target.end(), [](char c) { return c <= 0x20 || c >= 0x7F; })) return std::nullopt;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!starts_with(target, scheme)) continue;
    const std::size_t slash = target.find_first_of("/?", scheme.size());
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
    break;
  }
  if (!starts_with(target, "/")) return std::nullopt;
  const std::size_t mark = target.find('?');
  HttpTarget parsed;
  auto path = decode(target.substr(0, mark), false);
  if (!path) return std::nullopt;
  parsed.path = std::move(*path);
  std::string_view rest = mark == std::string_view::npos ? std::string_view{} : target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    if (part.empty()) continue;
    if (parsed.queries.size() == kMaxQueries) return std::nullopt;
    const std::size_t equals = part.find('=');
    auto name = decode(part.substr(0, equals), true);
    auto value = equals == std::string_view::npos ? std::string() : decode(part.substr(equals + 1), true);
    if (!name || !value) return std::nullopt;
    parsed.queries.emplace_back(std::move(*name), std::move(*value));
  }
  return parsed;
}

}  // namespace vigil
