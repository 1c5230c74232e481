// Bytes as letters (RFC 4648).
#pragma once

#include <string>
#include <string_view>

namespace vigil {

/// With `+`, `/` and padding (section 4), as basic authentication has it.
std::string base64(std::string_view bytes);
/// With `-` and `_` and without padding (section 5), as parts of a URL have it.
std::string base64_url(std::string_view bytes);

}  // namespace vigil
