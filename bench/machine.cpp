#include "bench/machine.h"

#include <dlfcn.h>
#include <sched.h>
#include <unistd.h>
#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <set>

#include <ATen/Parallel.h>
#include <torch/version.h>

#include "bench/equal_ranges.h"
#include "bench/random_tensors.h"
#include "bench/statistics_under_test.h"

namespace vigil::bench {
namespace {

// The value of the first line of /proc/cpuinfo that begins with `key`; "?" without one.
std::string cpuinfo(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) == 0 && line.find_first_not_of("\t ", key.size()) == line.find(':')) return line.substr(line.find(':') + 2);
  }
  return "?";
}

std::string size_text(long bytes) {
  if (bytes <= 0) return "unknown";
  return bytes % (1 << 20) == 0 ? std::to_string(bytes >> 20) + " MiB" : std::to_string(bytes >> 10) + " KiB";
}

// The last two names of the file that sgemm_ comes from, e.g. "openblas-openmp/libblas.so.3", and what OpenBLAS says of itself.
std::string blas() {
  void* const sgemm = dlsym(RTLD_DEFAULT, "sgemm_");
  Dl_info info{};
  if (sgemm == nullptr || dladdr(sgemm, &info) == 0) return "unknown";
  std::error_code error;
  std::filesystem::path file = std::filesystem::canonical(info.dli_fname, error);
  if (error) file = info.dli_fname;
  std::string text = (file.parent_path().filename() / file.filename()).string();
  if (void* const config = dlsym(RTLD_DEFAULT, "openblas_get_config")) text += std::string(", ") + reinterpret_cast<char* (*)()>(config)();
  return text;
}

int threads_that_run() {
  at::set_num_threads(2);
  std::set<int> seen;
  std::vector<int> by_range(2, -1);
  for_equal_ranges(2, [&](std::int64_t begin, std::int64_t, int thread) { by_range[static_cast<std::size_t>(begin)] = thread; });
  seen.insert(by_range.begin(), by_range.end());
  seen.erase(-1);
  return static_cast<int>(seen.size());
}

}  // namespace

bool cpu_has(std::string_view kernel) {
#ifdef __x86_64__
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (kernel == "avx2") return avx2;
  if (kernel == "avx512") return avx512;
  if (kernel == "avx512_bf16") return avx512 && __builtin_cpu_supports("avx512bf16");
#endif
#if defined(__x86_64__) || defined(__aarch64__)
  if (kernel == "vector128") return true;
#endif
  return kernel == "portable";
}

int core_count() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

std::vector<std::string> describe_machine(const std::string& commit) {
  char date[32];
  const std::time_t now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));
#ifdef __clang__
  const std::string compiler = "clang " __clang_version__;
#else
  const std::string compiler = "g++ " __VERSION__;
#endif
  std::string kernels;
  for (const char* kernel : {"avx2", "avx512", "avx512_bf16"}) kernels += cpu_has(kernel) ? std::string(" ") + kernel : "";
  return {"CPU: " + cpuinfo("model name") + " (family " + cpuinfo("cpu family") + ", model " + cpuinfo("model") + "), " +
              std::to_string(core_count()) + " cores for this program;" + (kernels.empty() ? " vectors of 128 bits" : kernels),
          "caches as the system reports them: L1d " + size_text(sysconf(_SC_LEVEL1_DCACHE_SIZE)) + ", L2 " +
              size_text(sysconf(_SC_LEVEL2_CACHE_SIZE)) + ", L3 " + size_text(sysconf(_SC_LEVEL3_CACHE_SIZE)) +
              "; buffers in DRAM: " + size_text(static_cast<long>(dram_bytes())),
          "compiler: " + compiler,
          "kernel that vigil chooses: " + std::string(automatic_kernel()),
          std::string("libtorch: ") + TORCH_VERSION,
          "BLAS: " + blas(),
          "commit: " + (commit.empty() ? "unknown" : commit),
          std::string("date: ") + date};
}

std::vector<std::string> warnings() {
  std::vector<std::string> lines;
  if (blas().find("openblas-openmp") == std::string::npos) {
    lines.push_back("BLAS is not OpenBLAS with OpenMP (package libopenblas0-openmp): whole-step ratios are not comparable");
  }
  if (core_count() >= 2 && threads_that_run() < 2)
    lines.push_back("two threads were asked for and one ran: rows of 2 threads mean nothing");
  double load = 0;
  if (getloadavg(&load, 1) == 1 && load > 0.5) {
    lines.push_back("other programs are running: load " + std::to_string(load).substr(0, 4) + " before the start");
  }
#ifndef NDEBUG
  lines.push_back("this is a debug build");
#endif
  return lines;
}

}  // namespace vigil::bench
