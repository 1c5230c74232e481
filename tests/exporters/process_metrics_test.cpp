// Metrics of the process itself: present, plausible, and moving.
#include "vigil/exporters/process_metrics.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <ctime>

#include "exporters/test_run.h"

namespace vigil {
namespace {

double value(std::string_view name) { return test::value_of(make_process_families(), name, ""); }

TEST(ProcessMetrics, AllOfThemArePresentAndPlausible) {
  const double now = static_cast<double>(std::time(nullptr));
  EXPECT_GT(value("process_cpu_seconds_total"), -1);
  EXPECT_GT(value("process_resident_memory_bytes"), 1e5);
  EXPECT_GT(value("process_virtual_memory_bytes"), value("process_resident_memory_bytes"));
  EXPECT_LE(value("process_start_time_seconds"), now + 2);
  EXPECT_GT(value("process_start_time_seconds"), now - 86400);
  EXPECT_GE(value("process_max_fds"), value("process_open_fds"));
}

TEST(ProcessMetrics, OpenFilesAreCountedWithoutTheOneThatCounts) {
  const double before = value("process_open_fds");
  const int file = open("/dev/null", O_RDONLY);
  EXPECT_EQ(value("process_open_fds"), before + 1);
  close(file);
  EXPECT_EQ(value("process_open_fds"), before);
}

}  // namespace
}  // namespace vigil
