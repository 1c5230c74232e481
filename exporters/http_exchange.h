// What happens to requests between libmicrohttpd and the owner of a server: bounds, methods, users, then the answer.
#pragma once

#include <microhttpd.h>

#include <array>
#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "vigil/exporters/http_connections.h"
#include "vigil/exporters/http_server.h"
#include "vigil/exporters/password_check.h"
#include "vigil/exporters/web_security.h"

namespace vigil {

/// Bodies that are held for being sent, those of several answers once. Any thread.
class HeldBodies {
 public:
  using Body = std::shared_ptr<const std::string>;
  explicit HeldBodies(std::int64_t most_bytes) : most_bytes_(static_cast<std::uint64_t>(most_bytes)) {}
  /// False when there is no room for it; one body always has room, and one for which somebody had to go (`has_way`).
  bool try_hold(const Body& body, bool has_way = false);
  void release(const Body& body) noexcept;
  std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }  // a lone counter

 private:
  const std::uint64_t most_bytes_;
  std::mutex mutex_;
  std::map<const std::string*, std::size_t> holders_;
  std::atomic<std::uint64_t> bytes_{0};
};

/// The exchange of all connections of one server. Its callbacks are those of libmicrohttpd, called by event loops.
class HttpExchange {
 public:
  HttpExchange(const HttpServerSettings& settings, HttpServer::Answer answer);

  /// Event loops of libmicrohttpd, and what their connections speak.
  struct Loops {
    HttpExchange* exchange = nullptr;
    std::shared_ptr<const TlsServer> tls;  // null: plain HTTP
    MHD_Daemon* daemon = nullptr;
  };

  /// Starts event loops that connections can be handed to. @throws std::runtime_error when the threads cannot be started
  std::unique_ptr<Loops> start_loops(std::shared_ptr<const TlsServer> tls);

  void set_security(std::shared_ptr<const WebSecurity> security);
  std::shared_ptr<const WebSecurity> security() const;

  /// Ends the checks of passwords, so that no connection waits for one.
  void stop_checks() noexcept { passwords_.stop(); }

  HttpConnections& connections() noexcept { return connections_; }
  const HttpConnections& connections() const noexcept { return connections_; }
  int in_flight() const noexcept { return in_flight_.load(std::memory_order_acquire); }  // acquire: pairs with the release of on_completed
  std::uint64_t failures() const noexcept { return answers_[index_of(500)].load(std::memory_order_relaxed); }
  /// But for those of the web config file.
  HttpCounters counters() const;

 private:
  struct Exchange;
  using Connection = HttpConnections::Connection;

  static std::size_t index_of(unsigned status) noexcept;
  static void* on_target(void* self, const char* target, MHD_Connection* connection);
  static MHD_Result on_request(void* self, MHD_Connection* connection, const char* url, const char* method, const char* version,
                               const char* upload, std::size_t* upload_size, void** exchange);
  static void on_completed(void* self, MHD_Connection* connection, void** exchange, MHD_RequestTerminationCode);
  static void on_connection(void* loops, MHD_Connection* connection, void** context, MHD_ConnectionNotificationCode code);
  static void on_log(void* self, const char* format, std::va_list arguments);
  static std::size_t leave_encoded(void*, MHD_Connection*, char* text);

  std::optional<HttpResponse> look_at_head(Exchange& exchange, MHD_Connection* connection, const char* method, const char* version);
  std::optional<HttpResponse> look_at_user(Exchange& exchange, MHD_Connection* connection);
  MHD_Result take_body(Exchange& exchange, const char* upload, std::size_t* upload_size) const;
  MHD_Result answer_whole(Exchange& exchange, MHD_Connection* connection);
  void wait_for_password(Exchange& exchange, MHD_Connection* connection);
  MHD_Result queue(Exchange* exchange, MHD_Connection* connection, HttpResponse response);

  const HttpServer::Answer answer_;
  const HttpLimits limits_;
  const std::int64_t threads_;
  const std::vector<HttpMethods> methods_;
  HttpConnections connections_;
  HeldBodies bodies_;
  PasswordCheck passwords_;
  RateLimit rate_;
  mutable std::mutex security_mutex_;
  std::shared_ptr<const WebSecurity> security_;
  std::atomic<int> in_flight_{0};
  // relaxed: lone counters
  std::atomic<std::uint64_t> requests_{0}, overloads_{0}, rate_limited_{0}, passwords_wrong_{0}, passwords_unchecked_{0};
  std::array<std::atomic<std::uint64_t>, kHttpStatuses.size() + 1> answers_{};
};

}  // namespace vigil
