// vigild as a process of a test, what it answers, and trainers for it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "files.h"
#include "servers/child_process.h"

namespace vigil::test {

/// The real program with the real ring directory and database of a test, on a port that the system chooses.
class Vigild {
 public:
  /// `folder` holds what RingFolder makes. Waits until it serves. @throws std::runtime_error with its log when it does not
  Vigild(const std::filesystem::path& folder, const std::vector<std::string>& flags = {});

  const std::string& endpoint() const { return endpoint_; }  ///< "127.0.0.1:40001"
  ChildProcess& process() { return *process_; }
  std::string log() const { return process_->output(); }

  /// The body of GET, which is answered with 200. @throws std::runtime_error when it is not
  std::string get(const std::string& path) const;
  nlohmann::json get_json(const std::string& path) const { return nlohmann::json::parse(get(path)); }
  /// The value of `series` ("vigil_up{run=\"a\",rank=\"0\"}") in /metrics; NaN when it is not there.
  double value(const std::string& series) const;
  /// State of a run by /api/v1/runs; empty when it is not there.
  std::string state_of(const std::string& run) const;

 private:
  std::unique_ptr<ChildProcess> process_;
  std::string endpoint_;
};

/// `folder`/rings for ring files, made; `folder`/history.db for the database.
std::filesystem::path ring_folder(const std::filesystem::path& folder);
std::filesystem::path database_path(const std::filesystem::path& folder);

/// The program ring_trainer, which publishes a known run; its files are there when this returns.
std::unique_ptr<ChildProcess> start_trainer(const std::filesystem::path& folder, const std::string& run,
                                            const std::vector<std::string>& flags = {});

}  // namespace vigil::test
