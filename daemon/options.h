// The flags of vigild.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/daemon/history_writer.h"
#include "vigil/daemon/host.h"
#include "vigil/exporters/header_files.h"

namespace vigil {

struct DaemonOptions {
  HostOptions host;
  std::int64_t interval_ms = 500;

  std::vector<std::string> listen_addresses = {"127.0.0.1:9465"};
  std::string web_config_file, external_address, metrics_path = "/metrics", assets_directory;
  bool has_lifecycle = false;
  std::int64_t web_threads = 2;

  std::string storage_path;          ///< database; empty: no history
  bool is_storage_disabled = false;  ///< it is empty because nobody wants one
  std::int64_t retention_ms = HistoryOptions().retention_ms;
  std::int64_t retention_bytes = HistoryOptions().retention_bytes;
  std::int64_t frame_interval_ms = HistoryOptions().frame_interval_ms;

  std::string rules_file;
  std::string remote_write_url;
  HeaderFiles remote_write_files;
  bool remote_write_tensors = false;
  std::string pushgateway_url;
  HeaderFiles pushgateway_files;

  LogLevel log_level = LogLevel::info;
};

/// The options of the command line; nothing, with the exit code in `code`, where that asks for --help or --version, or is wrong. Prints
/// what is to be said to `out` and `err`. Options that name files are not read.
std::optional<DaemonOptions> parse_options(int argc, const char* const* argv, std::ostream& out, std::ostream& err, int& code);

/// $STATE_DIRECTORY/history.db as systemd has it, else $XDG_STATE_HOME/vigil/history.db, else ~/.local/state/vigil/history.db; empty when
/// none of the three is set.
std::string default_storage_path();

}  // namespace vigil
