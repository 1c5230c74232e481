// The built-in page at / and below /assets/, for the endpoint of either program.
#pragma once

#include <optional>
#include <string>

#include "vigil/exporters/http_server.h"

namespace vigil {

/// Answers from what is embedded, with the hash of a file as its ETag, so that a browser that has it is told so in a few bytes; or, for
/// those who work on the page, from a folder, whose files are read anew each time. A page may load scripts, styles and data from where it
/// came from, and nothing else (Content-Security-Policy). Any thread.
class Page {
 public:
  /// Files larger than this are not served from a folder.
  static constexpr std::size_t kMaxFileBytes = std::size_t{4} << 20;

  /// `directory` has index.html and assets/; empty: what is embedded. `setting` is its name for errors.
  /// @throws std::invalid_argument when it has no index.html
  Page(std::string directory, const std::string& setting);

  /// Whether the path is one of the page's, be there such a file or not.
  static bool has(std::string_view path) noexcept;
  /// Nothing for a path that is not the page's, or that it has no file for.
  std::optional<HttpResponse> answer(const HttpRequest& request) const;

 private:
  const std::string directory_;
};

}  // namespace vigil
