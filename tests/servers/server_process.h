// A server in its own process that is ready, and what Prometheus answers.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "servers/child_process.h"

namespace vigil {

/// The program `path` below the folder in which scripts/setup.sh unpacks servers.
std::string server_program(const std::string& path);

/// Starts `command` and waits until GET /-/ready at `address` is answered with 200. @throws std::runtime_error when it is not, or the
/// program is missing
std::unique_ptr<ChildProcess> start_server(const std::vector<std::string>& command, const std::filesystem::path& log,
                                           const std::string& address);

/// The result of an instant query of the Prometheus at `address`. @throws std::runtime_error when it does not answer with one
nlohmann::json query_prometheus(const std::string& address, const std::string& expression);

}  // namespace vigil
