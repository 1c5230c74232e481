#include "daemon/vigild.h"

#include <algorithm>
#include <limits>
#include <sstream>
#include <stdexcept>

#include "e2e/wait_until.h"
#include "http/http_client.h"

namespace vigil::test {
namespace {

constexpr double kStartSeconds = 20;

// What stands behind `begin` up to the first of `ends`; empty when it is not there.
std::string text_after(const std::string& text, const std::string& begin, const char* ends) {
  const std::size_t at = text.find(begin);
  if (at == std::string::npos) return {};
  const std::size_t from = at + begin.size(), to = text.find_first_of(ends, from);
  return to == std::string::npos ? std::string() : text.substr(from, to - from);
}

}  // namespace

std::filesystem::path ring_folder(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder / "rings");
  return folder / "rings";
}

std::filesystem::path database_path(const std::filesystem::path& folder) { return folder / "history.db"; }

Vigild::Vigild(const std::filesystem::path& folder, const std::vector<std::string>& flags) {
  std::vector<std::string> command{VIGIL_VIGILD, "--ring.directory=" + ring_folder(folder).string(), "--ring.interval=100ms",
                                   "--storage.path=" + database_path(folder).string(), "--web.listen-address=127.0.0.1:0"};
  for (const std::string& flag : flags) {  // one that is there already is replaced: each may be given once
    const std::string name = flag.substr(0, flag.find('='));
    command.erase(
        std::remove_if(command.begin() + 1, command.end(), [&](const std::string& word) { return word.rfind(name + "=", 0) == 0; }),
        command.end());
  }
  command.insert(command.end(), flags.begin(), flags.end());
  static int number = 0;
  process_ = std::make_unique<ChildProcess>(command, folder / ("vigild-" + std::to_string(++number) + ".log"));
  const bool serves = wait_until(kStartSeconds, [&] {
    endpoint_ = text_after(log(), "://", "/");
    return !endpoint_.empty() || !process_->running();
  });
  if (!serves || endpoint_.empty()) throw std::runtime_error("vigild does not serve:\n" + log());
}

std::string Vigild::get(const std::string& path) const {
  const HttpAnswer answer = request(endpoint_, path);
  if (answer.status != 200) throw std::runtime_error("GET " + path + ": " + std::to_string(answer.status) + " " + answer.body);
  return answer.body;
}

double Vigild::value(const std::string& series) const {
  std::istringstream lines(get("/metrics"));
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(series + " ", 0) == 0) return std::stod(line.substr(series.size() + 1));
  }
  return std::numeric_limits<double>::quiet_NaN();
}

std::string Vigild::state_of(const std::string& run) const {
  const nlohmann::json answer = get_json("/api/v1/runs");
  for (const auto& one : answer.at("runs")) {
    if (one.at("run") == run) return one.at("state").get<std::string>();
  }
  return {};
}

std::unique_ptr<ChildProcess> start_trainer(const std::filesystem::path& folder, const std::string& run,
                                            const std::vector<std::string>& flags) {
  std::vector<std::string> command{VIGIL_RING_TRAINER, ring_folder(folder).string(), run};
  command.insert(command.end(), flags.begin(), flags.end());
  static int number = 0;
  auto process = std::make_unique<ChildProcess>(command, folder / ("trainer-" + std::to_string(++number) + ".log"));
  if (!wait_until(kStartSeconds, [&] { return process->output().find("ready") != std::string::npos; }))
    throw std::runtime_error("the trainer is not ready:\n" + process->output());
  return process;
}

}  // namespace vigil::test
