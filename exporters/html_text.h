// What pages are made of.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vigil {

/// `text` as it may stand in an element or an attribute; bytes that are not UTF-8 become U+FFFD, and so do
/// characters that do something other than to be seen where they stand (printable.h).
std::string escape_html(std::string_view text);
/// Six digits; "NaN", "+Inf", "-Inf".
std::string number_html(double value);
/// "2026-01-31 12:00:00 UTC" of nanoseconds since the epoch.
std::string time_html(std::int64_t nanoseconds);

/// From the doctype to the opening of the body, with a style that suits tables, dark and light.
extern const std::string_view kPageHead;

/// Value of Content-Security-Policy for pages that refer to nothing.
inline constexpr const char* kPagePolicy =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace vigil
