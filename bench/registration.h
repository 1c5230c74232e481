// What every benchmark here has in common: real time, names that say the group, the threads and the subject, and a check of its results.
#pragma once

#include <functional>
#include <string>

#include <benchmark/benchmark.h>

namespace vigil::bench {

/// Which benchmarks there are. Called once, before any runs. `quick` measures each for a shorter time.
void register_statistics(bool quick);
void register_parameter_sets(bool quick);
void register_whole_steps();

/// "float32/dram", 2, "read" -> "float32/dram/2_threads/read"
std::string benchmark_name(const std::string& group, int threads, const std::string& subject);

/// Registers `body` under `name`, run with at::set_num_threads(threads).
benchmark::internal::Benchmark* register_benchmark(const std::string& name, int threads, std::function<void(benchmark::State&)> body);

/// Long enough for the shortest pass to be timed within a few parts in a thousand, short enough that the members of a comparison are
/// measured moments apart.
constexpr double min_seconds(bool quick) { return quick ? 0.02 : 0.06; }

}  // namespace vigil::bench
