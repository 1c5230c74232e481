// An embedded HTTP/1.1 server: libmicrohttpd behind the few calls that vigil needs. Event-driven, so that a slow or silent client costs a
// connection, not a thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct MHD_Connection;

namespace vigil {

/// One request, valid while it is answered.
class HttpRequest {
 public:
  HttpRequest(MHD_Connection* connection, std::string_view path) : connection_(connection), path_(path) {}

  /// Decoded, without the query.
  std::string_view path() const noexcept { return path_; }
  /// The value of a header, its name in any case; empty when it is missing.
  std::string_view header(const char* name) const;

 private:
  MHD_Connection* connection_;
  std::string_view path_;
};

struct HttpResponse {
  unsigned status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::shared_ptr<const std::string> body;  ///< null: empty. Not sent in answer to HEAD, but its length is. Held until sent
  std::vector<std::pair<std::string, std::string>> headers;  ///< besides Content-Type, Content-Length, Date and the security headers
};

struct HttpServerSettings {
  std::string address;       ///< numeric IPv4 or IPv6 address
  std::int64_t port = 0;     ///< 0: the system chooses
  std::int64_t threads = 2;  ///< event loops: how many requests are handled at the same time
};

/// Bounds on clients: 256 connections at a time, 128 from one address, 16 KiB for a request's line and headers, 15 s without progress, 64
/// KiB of a body that nobody asked for. The server's threads block all signals, and writes to a closed connection raise none.
class HttpServer {
 public:
  /// Called for every GET and HEAD, from several threads at once. What it throws becomes a 500 and is counted.
  using Answer = std::function<HttpResponse(const HttpRequest&)>;

  /// Listens and starts the threads.
  /// @throws std::runtime_error that names address, port and the settings to change (under `exporters.prometheus`) when it cannot
  HttpServer(const HttpServerSettings& settings, Answer answer);
  /// Calls stop().
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// "127.0.0.1:9464", "[::1]:9464": the address and port really bound, also after stop().
  const std::string& endpoint() const noexcept { return endpoint_; }

  /// Requests answered with 500 since the start. Any thread.
  std::uint64_t failures() const noexcept;

  /// Requests that were begun and whose answers are not sent yet. Any thread.
  int requests_in_flight() const noexcept;

  /// Cuts off what is in flight, closes the port, joins the threads. Idempotent; one thread at a time.
  void stop() noexcept;

  /// For the child of a fork, which has none of the threads: forgets them. Leaks memory. (The child's copy of the port is closed at the
  /// fork already, for up to 64 servers a process.)
  void abandon() noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::string endpoint_;
};

}  // namespace vigil
