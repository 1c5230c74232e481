#include "e2e/servers.h"

#include <cmath>
#include <fstream>
#include <stdexcept>

#include "e2e/wait_until.h"
#include "files.h"
#include "http/http_client.h"

namespace vigil {
namespace {

const std::filesystem::path kSource = VIGIL_SOURCE_DIR;
const std::filesystem::path kDeps = VIGIL_DEPS_DIR;

// Replaces every occurrence; a file that does not hold `from` is not the file that this test was written for.
void replace(std::string& text, const std::string& from, const std::string& to) {
  std::size_t at = text.find(from);
  if (at == std::string::npos) throw std::runtime_error("the deployed file does not hold '" + from + "'");
  for (; at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
}

void write_file(const std::filesystem::path& path, const std::string& text) { std::ofstream(path) << text; }

std::unique_ptr<ChildProcess> start(const std::vector<std::string>& command, const std::filesystem::path& log, const std::string& address) {
  if (!std::filesystem::exists(command[0])) throw std::runtime_error(command[0] + " is missing; run scripts/setup.sh");
  auto process = std::make_unique<ChildProcess>(command, log);
  const bool ready = wait_until(60, [&] { return !process->running() || test::request(address, "/-/ready").status == 200; });
  if (!ready || !process->running()) throw std::runtime_error(command[0] + " did not become ready:\n" + process->output());
  return process;
}

}  // namespace

Alertmanager::Alertmanager(const std::filesystem::path& folder, const std::string& webhook_url) {
  std::string config = test::read_text(kSource / "deploy/alertmanager/alertmanager.yml");
  replace(config, "http://127.0.0.1:9099", webhook_url);
  replace(config, "group_interval: 30s", "group_interval: 1s");
  write_file(folder / "alertmanager.yml", config);
  process_ =
      start({(kDeps / "alertmanager/usr/bin/prometheus-alertmanager").string(), "--config.file=" + (folder / "alertmanager.yml").string(),
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
  process_ = start({(kDeps / "prometheus/usr/bin/prometheus").string(), "--config.file=" + (folder / "prometheus.yml").string(),
                    "--storage.tsdb.path=" + (folder / "prometheus").string(), "--web.listen-address=" + address},
                   folder / "prometheus.log", address);
}

nlohmann::json Prometheus::query(const std::string& expression) const {
  const test::HttpAnswer answer =
      test::request("127.0.0.1:" + std::to_string(port_), "/api/v1/query?query=" + test::url_encoded(expression));
  if (answer.status != 200) throw std::runtime_error("query '" + expression + "': " + answer.body);
  return nlohmann::json::parse(answer.body)["data"]["result"];
}

double Prometheus::value(const std::string& expression) const {
  const auto result = query(expression);
  return result.size() == 1 ? std::stod(result[0]["value"][1].get<std::string>()) : std::nan("");
}

}  // namespace vigil
