// How long `vigil inspect` takes for a model of 500 MB, against reading its file: both in turn, in one run, with the file in the page
// cache.
//
//   build/bench/bench/inspect_file [FOLDER]      the file is written there once, and stays; else a temporary one
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <ATen/Functions.h>
#include <torch/serialize.h>

namespace {

constexpr int kTensors = 50, kRounds = 9;
constexpr std::int64_t kElements = 2'500'000;  // float32: 10 MB each
constexpr double kGoal = 3;

void write_model(const std::string& path) {
  at::manual_seed(1);
  torch::serialize::OutputArchive archive;
  for (int i = 0; i < kTensors; ++i)
    archive.write("layer" + std::to_string(i) + ".weight", at::mul(at::randn({2500, kElements / 2500}), 0.02), false);
  archive.save_to(path);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double read_file(const std::string& path) {
  const auto start = std::chrono::steady_clock::now();
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) throw std::system_error(errno, std::generic_category(), path);
  std::vector<char> buffer(std::size_t{1} << 20);
  ssize_t read = 1;
  for (off_t at = 0; read > 0; at += read) read = pread(file, buffer.data(), buffer.size(), at);
  close(file);
  if (read < 0) throw std::system_error(errno, std::generic_category(), path);
  return seconds_since(start);
}

double inspect_file(const std::string& path) {
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) {
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
    execl(VIGIL_PROGRAM, VIGIL_PROGRAM, "inspect", path.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) throw std::runtime_error("vigil inspect has failed");
  return seconds_since(start);
}

void print_row(const char* what, std::vector<double> seconds, double megabytes) {
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  std::printf("%-14s %7.3f s  (%.3f to %.3f)  %6.0f MB/s\n", what, median, seconds.front(), seconds.back(), megabytes / median);
}

}  // namespace

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  const bool is_kept = argc > 1;
  const fs::path path = (is_kept ? fs::path(argv[1]) : fs::temp_directory_path()) / "vigil-inspect-bench.pt";
  try {
    if (!fs::exists(path)) write_model(path.string());
    const double megabytes = static_cast<double>(fs::file_size(path)) / 1e6;
    read_file(path.string());
    std::vector<double> reading, inspecting, ratios;
    for (int i = 0; i < kRounds; ++i) {
      reading.push_back(read_file(path.string()));
      inspecting.push_back(inspect_file(path.string()));
      ratios.push_back(inspecting.back() / reading.back());
    }
    if (!is_kept) fs::remove(path);
    std::printf("%.0f MB, %d tensors, %ld processors, %d rounds; median (least to most)\n", megabytes, kTensors,
                sysconf(_SC_NPROCESSORS_ONLN), kRounds);
    print_row("read", reading, megabytes);
    print_row("vigil inspect", inspecting, megabytes);
    std::sort(ratios.begin(), ratios.end());
    const double ratio = ratios[ratios.size() / 2];
    std::printf("%-14s %7.2f    (%.2f to %.2f), goal %.0f: %s\n", "ratio", ratio, ratios.front(), ratios.back(), kGoal,
                ratio <= kGoal ? "met" : "missed");
    return ratio <= kGoal ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "inspect_file: %s\n", error.what());
    return 2;
  }
}
