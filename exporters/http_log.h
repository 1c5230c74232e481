// What the log says about the clients of an HTTP server: each kind of trouble at most once a minute.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "vigil/exporters/http_limits.h"
#include "vigil/exporters/run_log.h"

namespace vigil {

/// One thread.
class HttpLog {
 public:
  /// `server` is what lines begin with, e.g. "HTTP on 127.0.0.1:9464".
  explicit HttpLog(std::string server) : server_(std::move(server)) {}
  void look_at(const HttpCounters& counters, LogGate::Time now);

 private:
  static constexpr std::size_t kKinds = 9;
  std::string server_;
  std::array<LogGate, kKinds> gates_;
  std::array<std::uint64_t, kKinds> told_{};
};

}  // namespace vigil
