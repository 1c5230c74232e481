#include "vigil/exporters/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

namespace vigil {
namespace {

// Fields of proc(5)'s /proc/[pid]/stat, numbered as there.
constexpr int kFirstAfterName = 3, kUserTime = 14, kSystemTime = 15, kStartTime = 22, kVirtualBytes = 23, kResidentPages = 24;

// The fields after the program's name; the name itself may hold blanks and parentheses.
std::vector<double> read_stat() {
  std::ifstream file("/proc/self/stat");
  const std::string line((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<double> fields;
  const auto name_end = line.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= line.size()) return fields;
  std::istringstream rest(line.substr(name_end + 2));
  std::string state;
  rest >> state;
  fields.push_back(0);
  for (double value; rest >> value;) fields.push_back(value);
  return fields;
}

std::optional<double> read_boot_time() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    double seconds = 0;
    if (words >> key && key == "btime" && words >> seconds) return seconds;
  }
  return std::nullopt;
}

std::optional<double> count_open_files() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir("/proc/self/fd"), closedir);
  if (!folder) return std::nullopt;
  double count = -1;  // the folder itself
  while (const dirent* entry = readdir(folder.get())) {
    if (entry->d_name[0] != '.') ++count;
  }
  return count;
}

std::optional<double> read_open_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  return static_cast<double>(limit.rlim_cur);
}

}  // namespace

std::vector<Family> make_process_families() {
  static const auto& no_labels = *new Labels(make_labels({}));  // never destroyed: a scrape may come while the program's statics are
  std::vector<Family> families;
  const auto add = [&families](std::string_view name, MetricType type, std::string_view unit, const char* help, double value) {
    families.push_back({name, type, unit, help, {{no_labels, value}}, {}});
  };

  const std::vector<double> stat = read_stat();
  const auto field = [&stat](int number) { return stat[static_cast<std::size_t>(number - kFirstAfterName)]; };
  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  if (stat.size() > static_cast<std::size_t>(kResidentPages - kFirstAfterName) && ticks > 0) {
    add("process_cpu_seconds_total", MetricType::counter, "seconds", "Total user and system CPU time spent in seconds.",
        (field(kUserTime) + field(kSystemTime)) / ticks);
    add("process_resident_memory_bytes", MetricType::gauge, "bytes", "Resident memory size in bytes.",
        field(kResidentPages) * static_cast<double>(sysconf(_SC_PAGESIZE)));
    add("process_virtual_memory_bytes", MetricType::gauge, "bytes", "Virtual memory size in bytes.", field(kVirtualBytes));
    if (const auto boot_time = read_boot_time()) {
      add("process_start_time_seconds", MetricType::gauge, "seconds", "Start time of the process since unix epoch in seconds.",
          *boot_time + field(kStartTime) / ticks);
    }
  }
  if (const auto count = count_open_files()) {
    add("process_open_fds", MetricType::gauge, "", "Number of open file descriptors.", *count);
  }
  if (const auto limit = read_open_file_limit()) {
    add("process_max_fds", MetricType::gauge, "", "Maximum number of open file descriptors.", *limit);
  }
  return families;
}

}  // namespace vigil
