// An embedded HTTP/1.1 server: libmicrohttpd behind the few calls that vigil needs. Event-driven, so that a slow or silent client costs a
// connection, not a thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vigil/exporters/http_limits.h"
#include "vigil/exporters/http_target.h"
#include "vigil/exporters/listen_address.h"

struct MHD_Connection;

namespace vigil {

/// One request, valid while it is answered. What it hands out is UTF-8 without zero bytes, but for headers and the body.
class HttpRequest {
 public:
  /// `connection` null: without headers, for tests of answers.
  HttpRequest(MHD_Connection* connection, std::string_view method, const HttpTarget& target, std::string_view body = {})
      : connection_(connection), method_(method), target_(target), body_(body) {}

  /// "GET", "HEAD", or what HttpServerSettings::methods has for the path.
  std::string_view method() const noexcept { return method_; }
  /// Decoded, without the query.
  std::string_view path() const noexcept { return target_.path; }
  /// The first value of a parameter of the query, decoded; empty when it stands there without one, nothing when it does not.
  std::optional<std::string_view> query(std::string_view name) const;
  /// All values of a parameter, in their order.
  std::vector<std::string_view> queries(std::string_view name) const;
  /// All parameters, decoded, with their values, in their order.
  const std::vector<std::pair<std::string, std::string>>& queries() const noexcept { return target_.queries; }
  /// The value of a header, its name in any case; empty when it is missing.
  std::string_view header(const char* name) const;
  /// Of POST and PUT; up to HttpLimits::body_bytes.
  std::string_view body() const noexcept { return body_; }

 private:
  MHD_Connection* connection_;
  std::string_view method_;
  const HttpTarget& target_;
  std::string_view body_;
};

struct HttpResponse {
  unsigned status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::shared_ptr<const std::string> body;  ///< null: empty. Not sent in answer to HEAD, but its length is. Held until sent
  /// Besides Content-Length and Date, or in place of Content-Type, Cache-Control and X-Content-Type-Options. Those of the web config file
  /// go before them.
  std::vector<std::pair<std::string, std::string>> headers;
};

/// An answer of this text.
inline HttpResponse text_response(unsigned status, std::string text, std::string type = HttpResponse().type) {
  return {status, std::move(type), std::make_shared<const std::string>(std::move(text)), {}};
}

/// What may be asked of a path; of those that no row names: GET and HEAD.
struct HttpMethods {
  std::string path;                  ///< the whole path
  std::vector<std::string> methods;  ///< of GET, HEAD, POST and PUT; others get 405 with these as Allow
};

struct HttpServerSettings {
  std::string address;       ///< numeric IPv4 or IPv6 address, or "*", as in ListenAddress
  std::int64_t port = 0;     ///< 0: the system chooses
  std::int64_t threads = 2;  ///< event loops, 1 to 64: how many requests are handled at the same time
  /// What the owner of the server calls these two, for errors: "set … to another one".
  std::string address_setting = "the address";
  std::string port_setting = "the port";
  std::vector<ListenAddress> more_addresses;  ///< to listen on as well
  /// TLS, users and headers (docs/web-config.md). Read again when it or a file that it names changes, within about a second. Empty: none.
  std::string web_config_file;
  std::vector<HttpMethods> methods;
  HttpLimits limits;
};

/// Settings for values of the flag `--web.listen-address`, of which the first gives HttpServer::endpoint().
/// @throws std::invalid_argument `--web.listen-address: expected …, got …` for the first that is wrong, or for none
HttpServerSettings settings_for_listen_addresses(const std::vector<std::string>& values);

/// Bounds on clients are HttpLimits. Malformed requests get 400 (or the end of the connection, where it is no HTTP) and nothing else. The
/// server's threads (one that accepts, the event loops, one for passwords once there are users) block all signals, and writes to a closed
/// connection raise none.
class HttpServer {
 public:
  /// Called for every request that has a right to an answer, from several threads at once. What it throws becomes a 500 and is counted.
  using Answer = std::function<HttpResponse(const HttpRequest&)>;

  /// Reads the web config file, listens and starts the threads.
  /// @throws std::runtime_error that names address, port and the settings to change when it cannot listen; ConfigError (config_reader.h)
  /// for
  ///         the web config file
  HttpServer(HttpServerSettings settings, Answer answer);
  /// Calls stop().
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// "127.0.0.1:9464", "[::1]:9464": the address and port really bound, also after stop().
  const std::string& endpoint() const noexcept { return endpoints_.front(); }
  /// The same of all addresses, in the order of the settings.
  const std::vector<std::string>& endpoints() const noexcept { return endpoints_; }
  /// Whether new connections speak TLS now. Any thread.
  bool is_tls() const noexcept;

  /// Requests answered with 500 since the start. Any thread.
  std::uint64_t failures() const noexcept;

  /// Requests that were begun and whose answers are not sent yet. Any thread.
  int requests_in_flight() const noexcept;

  /// Any thread, also after stop().
  HttpCounters counters() const;

  /// Reads the web config file and its files again. Answers what is wrong with them, empty when nothing is: they hold for the next
  /// connection and request then; else what held before stays, and the log says so. Any thread.
  std::string reload() noexcept;

  /// Cuts off what is in flight, closes the port, joins the threads. Idempotent; one thread at a time, not from within an answer.
  void stop() noexcept;

  /// For the child of a fork, which has none of the threads: forgets them. Leaks memory. (The child's copy of the port is closed at the
  /// fork already, for up to 64 ports a process.)
  void abandon() noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::vector<std::string> endpoints_;
};

}  // namespace vigil
