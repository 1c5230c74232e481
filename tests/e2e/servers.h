// The stack of deploy/ with its real servers, on free ports, in a folder of the test's own.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "http/http_recorder.h"
#include "servers/child_process.h"

namespace vigil {

/// Alertmanager with deploy/alertmanager/alertmanager.yml, whose receivers are replaced by `webhook_url`; of what is critical a second
/// message comes after 1 s, not 30.
class Alertmanager {
 public:
  Alertmanager(const std::filesystem::path& folder, const std::string& webhook_url);
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int port_ = test::free_port();
  std::unique_ptr<ChildProcess> process_;
};

/// Prometheus with deploy/prometheus/prometheus.yml and its rules; only addresses and intervals are replaced.
class Prometheus {
 public:
  Prometheus(const std::filesystem::path& folder, const std::string& target, const std::string& alertmanager);
  /// The result vector of an instant query.
  nlohmann::json query(const std::string& expression) const;
  /// The only value of an instant query; NaN when there is none or more.
  double value(const std::string& expression) const;

 private:
  int port_ = test::free_port();
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace vigil
