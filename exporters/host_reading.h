// What the alert rules want to know of the host.
#pragma once

#include <chrono>
#include <string>

#include "vigil/monitor/rules/step_rules.h"
#include "vigil/monitor/run_channel.h"

namespace vigil {

/// Reads the memory of the process, and now and then how much is free on a disk. One thread.
class HostReader {
 public:
  /// `disk_directory` may be empty: then no disk is looked at.
  explicit HostReader(std::string disk_directory) : disk_directory_(std::move(disk_directory)) {}

  HostReading read(const RunChannel& channel);

 private:
  static constexpr std::chrono::seconds kDiskInterval{5};

  const std::string disk_directory_;
  std::chrono::steady_clock::time_point next_disk_{};
};

/// Bytes of the process that lie in memory, but for files that are mapped, which grow as a data set is read; NaN where /proc does not tell.
double read_anonymous_bytes();

}  // namespace vigil
