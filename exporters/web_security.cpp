#include "vigil/exporters/web_security.h"

#include <algorithm>

namespace vigil {

WebConfigFile::Stamp WebConfigFile::stamp_of(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return {};
  return {status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_size, status.st_ino};
}

std::shared_ptr<const WebSecurity> WebConfigFile::load() {
  auto security = std::make_shared<WebSecurity>();
  if (path_.empty()) return security;
  // Stamps before reading: what changes meanwhile is looked at again.
  stamps_ = {{path_, stamp_of(path_)}};
  const WebConfig config = load_web_config(path_);
  security->is_of_blank_file = config.is_blank;
  if (config.tls) {
    for (const PemSource* source : {&config.tls->certificate, &config.tls->key, &config.tls->client_ca}) {
      if (!source->file.empty()) stamps_[source->file] = stamp_of(source->file);
    }
    security->tls = std::make_shared<const TlsServer>(load_tls_server(*config.tls, path_));
  }
  if (!config.users.empty()) security->users = std::make_shared<const UserTable>(config.users);
  security->headers = config.headers;
  security->rate_interval_us = config.rate_interval_us;
  security->rate_burst = config.rate_burst;
  return security;
}

bool WebConfigFile::has_changed() const {
  return std::any_of(stamps_.begin(), stamps_.end(), [](const auto& entry) { return !(stamp_of(entry.first) == entry.second); });
}

bool RateLimit::try_take(std::int64_t interval_us, std::int64_t burst, Time now) {
  if (interval_us == 0) return true;
  const std::chrono::microseconds interval(interval_us);
  const std::lock_guard<std::mutex> lock(mutex_);
  const Time full_at = std::max(full_at_, now) + interval;
  if (full_at - now > interval * burst) return false;
  full_at_ = full_at;
  return true;
}

}  // namespace vigil
