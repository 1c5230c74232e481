// A small HTTP server on this machine that keeps what it is sent and answers what a test tells it to; and one that never answers.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

struct MHD_Daemon;
struct MHD_Response;

namespace vigil::test {

struct RecordedRequest {
  std::string method, path;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
  std::int64_t arrival_ns = 0;  ///< when the whole of it was there, nanoseconds since the epoch
};

/// Answers 200 unless told otherwise. Any thread.
class HttpRecorder {
 public:
  /// `port` 0: a free one. @throws std::runtime_error when it cannot listen
  explicit HttpRecorder(int port = 0);
  ~HttpRecorder();
  HttpRecorder(const HttpRecorder&) = delete;
  HttpRecorder& operator=(const HttpRecorder&) = delete;

  int port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  /// The statuses of the next answers; then 200 again.
  void answer_next(const std::vector<int>& statuses);
  /// Decides every answer from now on, in place of answer_next().
  void answer_by(std::function<int(const RecordedRequest&)> answer);
  /// What the body and the headers of every answer are from now on; none at first.
  void answer_with(std::string body, std::map<std::string, std::string> headers = {});
  /// Keeps the answers to requests back until it is called with false. The destructor calls it.
  void hold_answers(bool hold);
  std::vector<RecordedRequest> requests() const;
  /// Waits until `enough(requests)`; false after `seconds` without it.
  bool wait_for(double seconds, const std::function<bool(const std::vector<RecordedRequest>&)>& enough) const;
  /// The same for a number of requests.
  bool wait_for(double seconds, std::size_t count) const;

 private:
  struct Callbacks;
  int keep(RecordedRequest request);
  MHD_Response* make_response();

  MHD_Daemon* server_ = nullptr;
  int port_ = 0;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<RecordedRequest> requests_;
  std::deque<int> statuses_;
  std::function<int(const RecordedRequest&)> answer_;
  std::string answer_body_;
  std::map<std::string, std::string> answer_headers_;
  bool holds_ = false;
};

/// Takes connections on a free port and never answers.
class SilentListener {
 public:
  SilentListener();
  ~SilentListener();
  SilentListener(const SilentListener&) = delete;
  SilentListener& operator=(const SilentListener&) = delete;

  int port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  int socket_ = -1;
  int port_ = 0;
};

/// A port that was free a moment ago.
int free_port();

}  // namespace vigil::test
