// Requests of those who send: alerts, results, samples.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vigil {

struct PostResult {
  int status = 0;     ///< of the answer; 0: there was none
  std::string error;  ///< what went wrong where there was none
  /// What the receiver says where it does not take the message: on one line, at most HttpPoster::kMaxAnswerBytes of it.
  std::string answer = {};
  std::chrono::seconds retry_after{0};  ///< that the receiver asks to wait; 0: it says nothing
  bool is_success() const noexcept { return status >= 200 && status < 300; }
  /// Whether the same message may be taken another time: no answer, a server's own fault, or "later".
  bool may_be_tried_again() const noexcept { return status == 0 || status >= 500 || status == 408 || status == 425 || status == 429; }
  /// Whether the receiver will never take this message.
  bool is_refused() const noexcept { return !is_success() && !may_be_tried_again(); }
  /// `error`, and `answer` where there is one.
  std::string reason() const { return answer.empty() ? error : error + ": " + answer; }
};

/// What is sent. Its texts live as long as the call that sends it.
struct HttpMessage {
  const char* method = "POST";
  std::string_view path;  ///< of the URL, after that of the poster
  std::string_view content_type = "application/json";
  std::string_view body;
};

/// A connection that is kept over requests. One thread. `must_stop` is asked while a request is under way, at least once a second; true
/// ends it.
class HttpPoster {
 public:
  static constexpr std::size_t kMaxAnswerBytes = 512;

  /// Follows no redirect. @throws std::runtime_error when libcurl cannot be had
  HttpPoster(std::string url, std::chrono::milliseconds timeout, std::function<bool()> must_stop);
  ~HttpPoster();
  HttpPoster(const HttpPoster&) = delete;
  HttpPoster& operator=(const HttpPoster&) = delete;

  /// Posts `body` as application/json; `headers` are lines like "X-A: b".
  PostResult post(const std::string& body, const std::vector<std::string>& headers = {});
  PostResult send(const HttpMessage& message, const std::vector<std::string>& headers = {});

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
