// What the rules hear of the host: memory, disk, clocks, and what the run is doing.
#include "vigil/exporters/host_reading.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>

#include "exporters/test_run.h"
#include "files.h"

namespace vigil {
namespace {

using namespace test;

TEST(HostReading, AFileThatIsMappedIsNoMemoryOfTheProcess) {
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  const TemporaryFolder folder;
  const std::string path = folder.file("data");
  std::ofstream(path) << std::string(kBytes, 'x');
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(file, 0);
  const double before = read_anonymous_bytes();
  const auto* const bytes = static_cast<const char*>(mmap(nullptr, kBytes, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0));
  ASSERT_NE(static_cast<const void*>(bytes), MAP_FAILED);
  std::size_t sum = 0;
  constexpr std::size_t kStride = std::size_t{1} << 20;  // MAP_POPULATE has read it; sanitizers keep memory of what is looked at
  for (std::size_t i = 0; i < kBytes; i += kStride) sum += static_cast<std::size_t>(bytes[i]);
  EXPECT_EQ(sum, kBytes / kStride * 'x');
  EXPECT_LT(read_anonymous_bytes() - before, 0.5 * kBytes);
  munmap(const_cast<char*>(bytes), kBytes);
  close(file);
}

TEST(HostReading, MemoryGrowsByWhatIsTouched) {
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  const double before = read_anonymous_bytes();
  const std::unique_ptr<char[]> memory(new char[kBytes]);
  std::memset(memory.get(), 1, kBytes);
  const double grown = read_anonymous_bytes() - before;
  EXPECT_EQ(memory[kBytes / 2], 1) << "which is in use";
  EXPECT_GT(grown, 0.9 * kBytes);
  EXPECT_LT(grown, 10.0 * kBytes) << "sanitizers keep several bytes for one";
}

TEST(HostReading, HasWhatIsFreeOnTheDiskNowAndThen) {
  const TemporaryFolder folder;
  const TestRun run;
  HostReader reader(folder.path().string());
  struct statvfs disk {};
  ASSERT_EQ(statvfs(folder.path().c_str(), &disk), 0);
  const double free = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  EXPECT_NEAR(reader.read(*run.channel()).disk_free_bytes, free, 0.1 * free);
  EXPECT_TRUE(std::isnan(reader.read(*run.channel()).disk_free_bytes)) << "every five seconds";
}

TEST(HostReading, ADirectoryThatIsNotThereHasNoDisk) {
  const TestRun run;
  EXPECT_TRUE(std::isnan(HostReader("").read(*run.channel()).disk_free_bytes));
  EXPECT_TRUE(std::isnan(HostReader("/no/such/directory").read(*run.channel()).disk_free_bytes));
}

TEST(HostReading, TellsWhetherTheRunRunsAndEvaluates) {
  const TestRun run;
  HostReader reader("");
  LiveWords& live = run.channel()->live();
  for (const RunState state : {RunState::starting, RunState::running}) {
    live.state = state;
    EXPECT_TRUE(reader.read(*run.channel()).is_running);
  }
  for (const RunState state : {RunState::finished, RunState::failed}) {
    live.state = state;
    EXPECT_FALSE(reader.read(*run.channel()).is_running);
  }
  EXPECT_FALSE(reader.read(*run.channel()).is_evaluating);
  live.phase = 1;
  EXPECT_TRUE(reader.read(*run.channel()).is_evaluating);
}

TEST(HostReading, HasBothClocks) {
  const TestRun run;
  const auto seconds_of = [](auto time) { return std::chrono::duration<double>(time.time_since_epoch()).count(); };
  const HostReading reading = HostReader("").read(*run.channel());
  EXPECT_NEAR(1e-9 * static_cast<double>(reading.now_ns), seconds_of(std::chrono::system_clock::now()), 5);
  EXPECT_NEAR(1e-9 * static_cast<double>(reading.steady_ns), seconds_of(std::chrono::steady_clock::now()), 5);
}

}  // namespace
}  // namespace vigil
