// What a receiver wants to know of who sends: headers that lie in files, since tokens and passwords do not belong on a command line.
#pragma once

#include <string>
#include <vector>

namespace vigil {

/// Paths; empty: there is none.
struct HeaderFiles {
  /// Lines "Name: value", e.g. "Authorization: Bearer …" or "X-Scope-OrgID: team"; empty ones and those that begin with # do not count.
  std::string headers;
  /// Its first line is "user:password".
  std::string basic_auth;
};

/// The headers that the files ask for, as lines. Read anew for each request, they follow a token that is renewed.
/// @throws std::invalid_argument that names the file and the line when one cannot be read or holds what no request may have: at most 64
/// lines
///         of 8 KiB, of printable characters, and none of those that the sender sets itself (Content-Type …)
std::vector<std::string> read_headers(const HeaderFiles& files);

}  // namespace vigil
