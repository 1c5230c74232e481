#include "vigil/exporters/basic_auth.h"

#include <crypt.h>
#include <openssl/crypto.h>

#include <array>
#include <cstdint>
#include <memory>

namespace vigil {
namespace {

constexpr std::size_t kMaxCredentialsBytes = 1024;

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

// Strict: with padding, without white space, with nothing in the bits that do not count.
std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::string out;
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_padding = i >= text.size() - padding;
    const int value = is_padding ? 0 : base64_value(text[i]);
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    if (i % 4 != 3) continue;
    for (const unsigned shift : {16u, 8u, 0u}) out += static_cast<char>(bits >> shift & 0xFFu);
    bits = 0;
  }
  for (std::size_t i = 0; i < padding; ++i) {
    if (out.back() != '\0') return std::nullopt;
    out.pop_back();
  }
  return out;
}

}  // namespace

std::optional<BasicCredentials> parse_basic_auth(std::string_view header) {
  constexpr std::string_view kScheme = "basic ";
  if (header.size() < kScheme.size() || header.size() > kMaxCredentialsBytes) return std::nullopt;
  for (std::size_t i = 0; i < kScheme.size(); ++i) {
    const char lower = header[i] >= 'A' && header[i] <= 'Z' ? static_cast<char>(header[i] | 0x20) : header[i];
    if (lower != kScheme[i]) return std::nullopt;
  }
  header.remove_prefix(kScheme.size());
  while (!header.empty() && header.front() == ' ') header.remove_prefix(1);
  while (!header.empty() && header.back() == ' ') header.remove_suffix(1);
  const auto text = decode_base64(header);
  if (!text || text->find('\0') != std::string::npos) return std::nullopt;
  const std::size_t colon = text->find(':');
  if (colon == std::string::npos) return std::nullopt;
  return BasicCredentials{text->substr(0, colon), text->substr(colon + 1)};
}

bool bcrypt_matches(const std::string& password, const std::string& hash) {
  const auto data = std::make_unique<crypt_data>();  // 32 KiB
  const char* made = crypt_r(password.c_str(), hash.c_str(), data.get());
  if (made == nullptr || std::string_view(made).size() != hash.size()) return false;  // "*0" is what an error looks like
  return CRYPTO_memcmp(made, hash.data(), hash.size()) == 0;
}

int bcrypt_cost(std::string_view hash) { return hash.size() < 6 ? 0 : 10 * (hash[4] - '0') + (hash[5] - '0'); }

std::string unmatchable_bcrypt_hash(int cost) {
  // The last letter of a hash of 23 bytes carries four bits; this one sets those that no hash has.
  const std::string digits = {static_cast<char>('0' + cost / 10), static_cast<char>('0' + cost % 10)};
  return "$2b$" + digits + "$" + std::string(22, '.') + std::string(30, '.') + "9";
}

}  // namespace vigil
