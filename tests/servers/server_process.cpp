#include "servers/server_process.h"

#include <stdexcept>

#include "e2e/wait_until.h"
#include "http/http_client.h"

namespace vigil {

std::string server_program(const std::string& path) { return std::string(VIGIL_DEPS_DIR) + "/" + path; }

std::unique_ptr<ChildProcess> start_server(const std::vector<std::string>& command, const std::filesystem::path& log,
                                           const std::string& address) {
  if (!std::filesystem::exists(command[0])) throw std::runtime_error(command[0] + " is missing; run scripts/setup.sh");
  auto process = std::make_unique<ChildProcess>(command, log);
  const bool ready = wait_until(60, [&] { return !process->running() || test::request(address, "/-/ready").status == 200; });
  if (!ready || !process->running()) throw std::runtime_error(command[0] + " did not become ready:\n" + process->output());
  return process;
}

nlohmann::json query_prometheus(const std::string& address, const std::string& expression) {
  const test::HttpAnswer answer = test::request(address, "/api/v1/query?query=" + test::url_encoded(expression));
  if (answer.status != 200) throw std::runtime_error("query '" + expression + "': " + answer.body);
  return nlohmann::json::parse(answer.body)["data"]["result"];
}

}  // namespace vigil
