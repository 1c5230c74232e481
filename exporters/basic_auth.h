// HTTP Basic authentication (RFC 7617): what a client sends, and whether it is the password that a bcrypt hash was made of.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vigil {

struct BasicCredentials {
  std::string user, password;
};

/// Reads the value of a header Authorization. Nothing for another scheme, broken base64, no colon, a zero byte, or more than 1 KiB.
std::optional<BasicCredentials> parse_basic_auth(std::string_view header);

/// Whether `hash`, a bcrypt hash, was made of `password`. Takes as long as the cost in `hash` says (10: some 60 ms), whatever the answer;
/// compares in constant time. False when the C library does not know the hash. Any thread.
bool bcrypt_matches(const std::string& password, const std::string& hash);

/// The cost that stands in a bcrypt hash.
int bcrypt_cost(std::string_view hash);

/// A hash of that cost, 4 to 31, that no password has.
std::string unmatchable_bcrypt_hash(int cost);

}  // namespace vigil
