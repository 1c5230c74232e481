// What a client asks for: the target of an HTTP request, decoded.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vigil {

struct HttpTarget {
  std::string path;                                          ///< decoded; begins with a slash
  std::vector<std::pair<std::string, std::string>> queries;  ///< decoded names and values, in their order; no value: empty
};

/// Reads a target such as `/metrics?run=a%20b&run=c+d`, or the same behind `http://host`. Nothing for what is malformed: another form,
/// spaces or bytes beyond ASCII that are not encoded, a broken `%` code, an encoded zero byte, text that is not UTF-8, more than 256
/// parameters. `.` and `..` stay: no path is a file here.
std::optional<HttpTarget> parse_target(std::string_view target);

}  // namespace vigil
