#include "http/http_recorder.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace vigil::test {
namespace {

int local_socket(int port) {
  const int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(made, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    close(made);
    throw std::runtime_error("cannot bind port " + std::to_string(port));
  }
  return made;
}

int port_of(int socket) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

}  // namespace

struct HttpRecorder::Callbacks {
  // Called with the headers, with each piece of the body, and once more at its end.
  static MHD_Result receive(void* self, MHD_Connection* connection, const char* url, const char* method, const char*, const char* data,
                            std::size_t* size, void** state) {
    if (*state == nullptr) {
      auto* request = new RecordedRequest;
      request->method = method;
      request->path = url;
      MHD_get_connection_values(connection, MHD_HEADER_KIND, &add_header, request);
      *state = request;
      return MHD_YES;
    }
    auto* request = static_cast<RecordedRequest*>(*state);
    if (*size > 0) {
      request->body.append(data, *size);
      *size = 0;
      return MHD_YES;
    }
    const int status = static_cast<HttpRecorder*>(self)->keep(std::move(*request));
    MHD_Response* response = static_cast<HttpRecorder*>(self)->make_response();
    const MHD_Result result = MHD_queue_response(connection, static_cast<unsigned>(status), response);
    MHD_destroy_response(response);
    return result;
  }

  static MHD_Result add_header(void* request, MHD_ValueKind, const char* key, const char* value) {
    std::string name = key;
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    static_cast<RecordedRequest*>(request)->headers[name] = value == nullptr ? "" : value;
    return MHD_YES;
  }

  static void forget(void*, MHD_Connection*, void** state, MHD_RequestTerminationCode) { delete static_cast<RecordedRequest*>(*state); }
};

HttpRecorder::HttpRecorder(int port) {
  const int listener = local_socket(port);
  port_ = port_of(listener);
  if (listen(listener, 16) == 0) {
    server_ = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, nullptr, nullptr, &Callbacks::receive, this, MHD_OPTION_LISTEN_SOCKET,
                               listener, MHD_OPTION_NOTIFY_COMPLETED, &Callbacks::forget, nullptr, MHD_OPTION_END);
  }
  if (server_ != nullptr) return;
  close(listener);
  throw std::runtime_error("the HTTP recorder cannot listen on port " + std::to_string(port_));
}

HttpRecorder::~HttpRecorder() {
  hold_answers(false);
  MHD_stop_daemon(server_);
}

int HttpRecorder::keep(RecordedRequest request) {
  request.arrival_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::unique_lock<std::mutex> lock(mutex_);
  requests_.push_back(std::move(request));
  changed_.notify_all();
  const std::size_t index = requests_.size() - 1;
  changed_.wait(lock, [this] { return !holds_; });
  if (answer_) return answer_(requests_[index]);
  if (statuses_.empty()) return MHD_HTTP_OK;
  const int status = statuses_.front();
  statuses_.pop_front();
  return status;
}

MHD_Response* HttpRecorder::make_response() {
  const std::lock_guard<std::mutex> lock(mutex_);
  MHD_Response* response = MHD_create_response_from_buffer(answer_body_.size(), answer_body_.data(), MHD_RESPMEM_MUST_COPY);
  for (const auto& [name, value] : answer_headers_) MHD_add_response_header(response, name.c_str(), value.c_str());
  return response;
}

void HttpRecorder::answer_with(std::string body, std::map<std::string, std::string> headers) {
  const std::lock_guard<std::mutex> lock(mutex_);
  answer_body_ = std::move(body);
  answer_headers_ = std::move(headers);
}

void HttpRecorder::answer_next(const std::vector<int>& statuses) {
  const std::lock_guard<std::mutex> lock(mutex_);
  statuses_.assign(statuses.begin(), statuses.end());
}

void HttpRecorder::answer_by(std::function<int(const RecordedRequest&)> answer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  answer_ = std::move(answer);
}

void HttpRecorder::hold_answers(bool hold) {
  const std::lock_guard<std::mutex> lock(mutex_);
  holds_ = hold;
  changed_.notify_all();
}

std::vector<RecordedRequest> HttpRecorder::requests() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return requests_;
}

bool HttpRecorder::wait_for(double seconds, const std::function<bool(const std::vector<RecordedRequest>&)>& enough) const {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return enough(requests_); });
}

bool HttpRecorder::wait_for(double seconds, std::size_t count) const {
  return wait_for(seconds, [count](const std::vector<RecordedRequest>& requests) { return requests.size() >= count; });
}

// The kernel completes the connections, and nobody ever takes them up.
SilentListener::SilentListener() : socket_(local_socket(0)) {
  port_ = port_of(socket_);
  listen(socket_, 16);
}

SilentListener::~SilentListener() { close(socket_); }

int free_port() {
  const int listener = local_socket(0);
  const int port = port_of(listener);
  close(listener);
  return port;
}

}  // namespace vigil::test
