// The sockets that an HTTP server listens on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vigil/exporters/http_server.h"

namespace vigil {

/// Listening sockets of one owner. A child of a fork closes its copies at once, for up to 64 sockets a process: a worker that outlives the
/// program would keep its ports taken.
class HttpListeners {
 public:
  /// Listens on all addresses of `settings`. @throws std::runtime_error that names address, port and what to do
  explicit HttpListeners(const HttpServerSettings& settings);
  /// Calls close().
  ~HttpListeners();
  HttpListeners(const HttpListeners&) = delete;
  HttpListeners& operator=(const HttpListeners&) = delete;

  const std::vector<int>& sockets() const noexcept { return sockets_; }
  /// "127.0.0.1:9464": the addresses and ports really bound.
  const std::vector<std::string>& endpoints() const noexcept { return endpoints_; }
  /// Idempotent.
  void close() noexcept;

 private:
  std::vector<int> sockets_;
  std::vector<std::string> endpoints_;
};

}  // namespace vigil
