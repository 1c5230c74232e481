// HTTP by libcurl, as a scraper would.
#pragma once

#include <string>

namespace vigil {

struct HttpAnswer {
  long status = 0;  ///< 0 when there was no answer
  std::string body;
  double seconds = 0;  ///< from the request to the last byte
};

HttpAnswer http_get(const std::string& url);

/// `text` as a component of a URL.
std::string url_encoded(const std::string& text);

}  // namespace vigil
