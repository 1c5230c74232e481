#include "vigil/exporters/host_reading.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdio>
#include <limits>

#include "vigil/monitor/clock.h"

namespace vigil {

double read_anonymous_bytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return std::numeric_limits<double>::quiet_NaN();
  unsigned long long all = 0, resident = 0, of_files = 0;
  const int read = std::fscanf(file, "%llu %llu %llu", &all, &resident, &of_files);
  std::fclose(file);
  return read == 3 && resident >= of_files ? static_cast<double>(resident - of_files) * static_cast<double>(sysconf(_SC_PAGESIZE))
                                           : std::numeric_limits<double>::quiet_NaN();
}

HostReading HostReader::read(const RunChannel& channel) {
  HostReading reading;
  reading.now_ns = wall_time_ns();
  reading.steady_ns = nanoseconds_in(std::chrono::steady_clock::now().time_since_epoch());
  // relaxed: lone words.
  const RunState state = channel.live().state.load(std::memory_order_relaxed);
  reading.is_running = state == RunState::starting || state == RunState::running;
  reading.is_evaluating = channel.live().phase.load(std::memory_order_relaxed) != 0;
  reading.anonymous_bytes = read_anonymous_bytes();
  const auto now = std::chrono::steady_clock::now();
  if (disk_directory_.empty() || now < next_disk_) return reading;
  next_disk_ = now + kDiskInterval;
  struct statvfs disk {};
  if (statvfs(disk_directory_.c_str(), &disk) == 0) {
    reading.disk_free_bytes = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  }
  return reading;
}

}  // namespace vigil
