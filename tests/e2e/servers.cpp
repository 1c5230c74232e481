#include "e2e/servers.h"

#include <cmath>
#include <fstream>
#include <stdexcept>

#include "files.h"
#include "servers/server_process.h"

namespace vigil {
namespace {

const std::filesystem::path kSource = VIGIL_SOURCE_DIR;

// Replaces every occurrence; a file that does not hold `from` is not the file that this test was written for.
void replace(std::string& text, const std::string& from, const std::string& to) {
  std::size_t at = text.find(from);
  if (at == std::string::npos) throw std::runtime_error("the deployed file does not hold '" + from + "'");
  for (; at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
}

void write_file(const std::filesystem::path& path, const std::string& text) { std::ofstream(path) << text; }

}  // namespace

Alertmanager::Alertmanager(const std::filesystem::path& folder, const std::string& webhook_url) {
  std::string config = test::read_text(kSource / "deploy/alertmanager/alertmanager.yml");
  replace(config, "http://127.0.0.1:9099", webhook_url);
  replace(config, "group_interval: 30s", "group_interval: 1s");
  write_file(folder / "alertmanager.yml", config);
  process_ = start_server(
      {server_program("alertmanager/usr/bin/prometheus-alertmanager"), "--config.file=" + (folder / "alertmanager.yml").string(),
       "--storage.path=" + (folder / "alertmanager").string(), "--web.listen-address=" + address(), "--cluster.listen-address="},
      folder / "alertmanager.log", address());
}

Prometheus::Prometheus(const std::filesystem::path& folder, const std::string& target, const std::string& alertmanager) {
  std::string config = test::read_text(kSource / "deploy/prometheus/prometheus.yml");
  replace(config, "127.0.0.1:9464", target);
  replace(config, "127.0.0.1:9093", alertmanager);
  replace(config, "scrape_interval: 5s", "scrape_interval: 1s");
  replace(config, "evaluation_interval: 5s", "evaluation_interval: 1s");
  replace(config, "scrape_timeout: 4s", "scrape_timeout: 1s");
  write_file(folder / "prometheus.yml", config);
  for (const char* rules : {"alerts.yml", "catalogue.yml"})
    std::filesystem::copy_file(kSource / "deploy/prometheus" / rules, folder / rules);
  const std::string address = "127.0.0.1:" + std::to_string(port_);
  process_ = start_server({server_program("prometheus/usr/bin/prometheus"), "--config.file=" + (folder / "prometheus.yml").string(),
                           "--storage.tsdb.path=" + (folder / "prometheus").string(), "--web.listen-address=" + address},
                          folder / "prometheus.log", address);
}

nlohmann::json Prometheus::query(const std::string& expression) const {
  return query_prometheus("127.0.0.1:" + std::to_string(port_), expression);
}

double Prometheus::value(const std::string& expression) const {
  const auto result = query(expression);
  return result.size() == 1 ? std::stod(result[0]["value"][1].get<std::string>()) : std::nan("");
}

}  // namespace vigil
