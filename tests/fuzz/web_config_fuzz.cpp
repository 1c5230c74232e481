// A web config file.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "fuzz/require.h"
#include "vigil/config/config_reader.h"
#include "vigil/config/web_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vigil;
  using fuzz::require;
  try {
    const WebConfig config = parse_web_config({reinterpret_cast<const char*>(data), size}, "/etc");
    for (const BasicAuthUser& user : config.users) {
      require(user.hash.size() == 60 && !user.name.empty() && user.name.find(':') == std::string::npos);
    }
    for (const auto& [name, value] : config.headers) require(value.find_first_of("\r\n") == std::string::npos);
    require(config.rate_interval_us == 0 || config.rate_burst > 0);
    require(!config.tls || !config.tls->certificate.file.empty() || !config.tls->certificate.text.empty());
  } catch (const ConfigError& error) {
    require(!error.problems().empty());
    for (const ConfigProblem& problem : error.problems()) {
      require(problem.text.rfind("expected ", 0) == 0 && problem.message().find('\n') == std::string::npos);
    }
  }
  return 0;
}
