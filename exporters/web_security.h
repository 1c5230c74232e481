// What a web config file makes of a server: its files read, and looked at again when they change.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vigil/config/web_config.h"
#include "vigil/exporters/password_check.h"
#include "vigil/exporters/tls_server.h"

namespace vigil {

/// Never changes.
struct WebSecurity {
  bool is_of_blank_file = false;           ///< see WebConfig
  std::shared_ptr<const TlsServer> tls;    ///< null: plain HTTP
  std::shared_ptr<const UserTable> users;  ///< null: anybody
  std::vector<std::pair<std::string, std::string>> headers;
  std::int64_t rate_interval_us = 0, rate_burst = 0;
};

/// A web config file and the files that it names. One thread at a time.
class WebConfigFile {
 public:
  /// `path` empty: no file, and no security.
  explicit WebConfigFile(std::string path) : path_(std::move(path)) {}

  const std::string& path() const noexcept { return path_; }

  /// Reads all of it. @throws ConfigError
  std::shared_ptr<const WebSecurity> load();

  /// Whether one of the files is another one than at the last load(), by its modification time, size or number. Cost: a stat(2) each.
  bool has_changed() const;

 private:
  struct Stamp {
    std::int64_t seconds = 0, nanoseconds = 0, size = 0;
    std::uint64_t inode = 0;
    bool operator==(const Stamp& o) const {
      return seconds == o.seconds && nanoseconds == o.nanoseconds && size == o.size && inode == o.inode;
    }
  };
  static Stamp stamp_of(const std::string& path);

  std::string path_;
  std::map<std::string, Stamp> stamps_;
};

/// A token bucket over all requests of a server. Any thread.
class RateLimit {
 public:
  using Time = std::chrono::steady_clock::time_point;
  /// Takes one request out of a bucket of `burst` that gets one back every `interval_us`; false when there is none. 0: no limit.
  bool try_take(std::int64_t interval_us, std::int64_t burst, Time now);

 private:
  std::mutex mutex_;
  Time full_at_{};  // when all of it is back
};

}  // namespace vigil
