// Text in, gzip out, piece by piece.
#pragma once

#include <zlib.h>

#include <string>
#include <string_view>
#include <vector>

namespace vigil {

/// Compresses what it is given for speed rather than size. One thread.
class GzipStream {
 public:
  /// @throws std::bad_alloc
  GzipStream();
  ~GzipStream();
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  /// Continues the text. @throws std::bad_alloc
  void write(std::string_view text);

  /// Ends the text and returns all of the compressed bytes (RFC 1952). The last call. @throws std::bad_alloc
  std::string finish();

 private:
  void deflate_all(int flush);

  z_stream stream_{};
  std::vector<std::string> pieces_;  // compressed bytes, then room for more; put together once, for a text that grows takes thrice its size
};

}  // namespace vigil
