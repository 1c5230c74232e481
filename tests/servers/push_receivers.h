// The real servers that vigild pushes to, on free ports that they keep, in a folder of the test's own.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "http/http_recorder.h"
#include "servers/child_process.h"
#include "servers/server_process.h"

namespace vigil {

/// A server that may come and go on one port.
class PushReceiver {
 public:
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  std::string url() const { return "http://" + address(); }
  /// Starts it, with what it kept of the time before. @throws std::runtime_error when it does not become ready
  void start();
  /// Ends it, with SIGKILL unless told otherwise.
  void end(int signal = 9);
  ChildProcess& process() { return *process_; }

 protected:
  /// `command` gets the flag --web.listen-address, and `web_config`, where it is not empty, --web.config.file.
  PushReceiver(std::vector<std::string> command, const std::filesystem::path& log, const std::string& web_config);

 private:
  int port_ = test::free_port();
  std::vector<std::string> command_;
  std::filesystem::path log_;
  bool is_guarded_;
  std::unique_ptr<ChildProcess> process_;
};

/// Prometheus as a receiver of remote write that scrapes nothing; not started yet.
class RemoteWriteReceiver : public PushReceiver {
 public:
  explicit RemoteWriteReceiver(const std::filesystem::path& folder, const std::string& web_config = {});
  std::string write_url() const { return url() + "/api/v1/write"; }
  nlohmann::json query(const std::string& expression) const { return query_prometheus(address(), expression); }
};

/// Pushgateway; not started yet.
class PushgatewayServer : public PushReceiver {
 public:
  explicit PushgatewayServer(const std::filesystem::path& folder, const std::string& web_config = {});
};

}  // namespace vigil
