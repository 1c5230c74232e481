// One HTTP POST, for those who deliver alerts.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vigil {

struct PostResult {
  int status = 0;     ///< of the answer; 0: there was none
  std::string error;  ///< what went wrong where there was none
  bool is_success() const noexcept { return status >= 200 && status < 300; }
  /// Whether the same message may be taken another time: no answer, a server's own fault, or "later".
  bool may_be_tried_again() const noexcept { return status == 0 || status >= 500 || status == 408 || status == 425 || status == 429; }
  /// Whether the receiver will never take this message.
  bool is_refused() const noexcept { return !is_success() && !may_be_tried_again(); }
};

/// A connection that is kept over posts. One thread. `must_stop` is asked while a post is under way, at least once a second; true ends it.
class HttpPoster {
 public:
  /// Follows no redirect. @throws std::runtime_error when libcurl cannot be had
  HttpPoster(std::string url, std::chrono::milliseconds timeout, std::function<bool()> must_stop);
  ~HttpPoster();
  HttpPoster(const HttpPoster&) = delete;
  HttpPoster& operator=(const HttpPoster&) = delete;

  /// Posts `body` as application/json; `headers` are lines like "X-A: b".
  PostResult post(const std::string& body, const std::vector<std::string>& headers = {});

 private:
  struct Handle;
  const std::string url_;
  const std::chrono::milliseconds timeout_;
  std::function<bool()> must_stop_;
  std::unique_ptr<Handle> handle_;
};

/// Lower-case hexadecimal HMAC-SHA256 (RFC 2104) of `text`.
std::string hmac_sha256(const std::string& key, const std::string& text);

}  // namespace vigil
