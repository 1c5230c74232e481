#include "vigil/exporters/http_post.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <stdexcept>
#include <utility>

#include <curl/curl.h>

#include "vigil/exporters/hmac.h"
#include "vigil/exporters/labels.h"

namespace vigil {
namespace {

// Keeps the beginning of an answer; the rest is read and forgotten.
std::size_t keep_beginning(char* data, std::size_t size, std::size_t count, void* answer) {
  auto& kept = *static_cast<std::string*>(answer);
  kept.append(data, std::min(size * count, HttpPoster::kMaxAnswerBytes - kept.size()));
  return size * count;
}

// For a line of a log: whatever a server answers, it stays one.
std::string on_one_line(const std::string& text) {
  std::string line;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= ' ' && c != '\x7f') {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return valid_utf8(line);
}

int ask_whether_to_stop(void* must_stop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return (*static_cast<const std::function<bool()>*>(must_stop))() ? 1 : 0;
}

void start_curl() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

struct HttpPoster::Handle {
  CURL* curl = nullptr;
  std::array<char, CURL_ERROR_SIZE> error{};
  ~Handle() { curl_easy_cleanup(curl); }
};

HttpPoster::HttpPoster(std::string url, std::chrono::milliseconds timeout, std::function<bool()> must_stop)
    : url_(std::move(url)), timeout_(timeout), must_stop_(std::move(must_stop)), handle_(std::make_unique<Handle>()) {
  start_curl();
  handle_->curl = curl_easy_init();
  if (handle_->curl == nullptr) throw std::runtime_error("libcurl cannot be initialised");
}

HttpPoster::~HttpPoster() = default;

PostResult HttpPoster::post(const std::string& body, const std::vector<std::string>& headers) {
  HttpMessage message;
  message.body = body;
  return send(message, headers);
}

PostResult HttpPoster::send(const HttpMessage& message, const std::vector<std::string>& headers) {
  CURL* const curl = handle_->curl;
  curl_easy_reset(curl);
  handle_->error.fill(0);
  curl_slist* list = curl_slist_append(nullptr, ("Content-Type: " + std::string(message.content_type)).c_str());
  list = curl_slist_append(list, "Expect:");  // or small posts wait for a "100 Continue"
  for (const std::string& header : headers) list = curl_slist_append(list, header.c_str());
  curl_easy_setopt(curl, CURLOPT_URL, (url_ + std::string(message.path)).c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, message.method);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, message.body.data() == nullptr ? "" : message.body.data());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(message.body.size()));
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "vigil/" VIGIL_VERSION);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout_.count()));
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);  // the signals are the program's
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, handle_->error.data());
  PostResult result;
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &keep_beginning);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &result.answer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &ask_whether_to_stop);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &must_stop_);
  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(list);
  if (code != CURLE_OK) {
    result.answer.clear();
    result.error = handle_->error[0] != '\0' ? handle_->error.data() : curl_easy_strerror(code);
    return result;
  }
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  result.status = static_cast<int>(status);
  curl_off_t seconds = 0;
  curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &seconds);
  result.retry_after = std::chrono::seconds(seconds);
  result.answer = result.is_success() ? std::string() : on_one_line(result.answer);
  if (!result.is_success()) result.error = "HTTP status " + std::to_string(status);
  return result;
}

std::string hmac_sha256(const std::string& key, const std::string& text) {
  std::string hex;
  for (const unsigned char byte : hmac_sha256_bytes(key, text)) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

}  // namespace vigil
