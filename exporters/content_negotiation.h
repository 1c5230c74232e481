// What a client says it can read: the headers Accept and Accept-Encoding (RFC 9110, section 12.5).
#pragma once

#include <string_view>

#include "vigil/exporters/text_format.h"

namespace vigil {

/// The format of an exposition that the client prefers by the quality values in `accept`; the 0.0.4 text format when it has no
/// preference, or when it can read neither (a scrape that may work is better than a 406).
TextFormat choose_text_format(std::string_view accept);

/// Whether the client would rather have the body gzip'd: not unless it says so, and never with `gzip;q=0`.
bool prefers_gzip(std::string_view accept_encoding);

}  // namespace vigil
