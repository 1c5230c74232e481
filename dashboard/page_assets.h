// The files of the built-in page, as they lie in the binary.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace vigil {

struct PageAsset {
  std::string_view path;  ///< "index.html", "assets/app.js"
  std::string_view type;  ///< for Content-Type
  std::string_view gzip;  ///< the file, gzip'd (RFC 1952)
  std::string_view hash;  ///< the first half of its SHA-256, in hexadecimal
  std::size_t size = 0;   ///< bytes of the file
};

/// All of them. Any thread.
const std::vector<PageAsset>& page_assets();

}  // namespace vigil
