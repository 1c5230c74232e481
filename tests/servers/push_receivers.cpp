#include "servers/push_receivers.h"

#include <fstream>
#include <stdexcept>
#include <utility>

#include "e2e/wait_until.h"
#include "http/http_client.h"

namespace vigil {

PushReceiver::PushReceiver(std::vector<std::string> command, const std::filesystem::path& log, const std::string& web_config)
    : command_(std::move(command)), log_(log), is_guarded_(!web_config.empty()) {
  command_.push_back("--web.listen-address=" + address());
  if (is_guarded_) command_.push_back("--web.config.file=" + web_config);
}

void PushReceiver::start() {
  if (!is_guarded_) {
    process_ = start_server(command_, log_, address());
    return;
  }
  // Nobody may ask it whether it is ready without a password: that it says so is enough.
  process_ = std::make_unique<ChildProcess>(command_, log_);
  if (!wait_until(60, [&] { return !process_->running() || test::request(address(), "/-/ready").status == 401; }) || !process_->running())
    throw std::runtime_error(command_[0] + " did not become ready:\n" + process_->output());
}

void PushReceiver::end(int signal) {
  process_->send(signal);
  if (process_->wait(60) < 0) throw std::runtime_error(command_[0] + " does not end");
}

RemoteWriteReceiver::RemoteWriteReceiver(const std::filesystem::path& folder, const std::string& web_config)
    : PushReceiver({server_program("prometheus/usr/bin/prometheus"), "--config.file=" + (folder / "prometheus.yml").string(),
                    "--storage.tsdb.path=" + (folder / "prometheus").string(), "--web.enable-remote-write-receiver"},
                   folder / "prometheus.log", web_config) {
  std::ofstream(folder / "prometheus.yml") << "global: {}\n";
}

PushgatewayServer::PushgatewayServer(const std::filesystem::path& folder, const std::string& web_config)
    : PushReceiver({server_program("pushgateway/usr/bin/prometheus-pushgateway"), "--persistence.file="}, folder / "pushgateway.log",
                   web_config) {}

}  // namespace vigil
