// Authentication codes of texts (RFC 2104).
#pragma once

#include <array>
#include <string_view>

namespace vigil {

/// HMAC-SHA256 of `text` under `key`. Any thread.
std::array<unsigned char, 32> hmac_sha256_bytes(std::string_view key, std::string_view text) noexcept;

}  // namespace vigil
