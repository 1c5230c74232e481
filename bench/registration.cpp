#include "bench/registration.h"

#include <utility>

#include <ATen/Parallel.h>

namespace vigil::bench {

std::string benchmark_name(const std::string& group, int threads, const std::string& subject) {
  return group + "/" + std::to_string(threads) + (threads == 1 ? "_thread/" : "_threads/") + subject;
}

benchmark::internal::Benchmark* register_benchmark(const std::string& name, int threads, std::function<void(benchmark::State&)> body) {
  return benchmark::RegisterBenchmark(name.c_str(),
                                      [threads, body = std::move(body)](benchmark::State& state) {
                                        at::set_num_threads(threads);
                                        body(state);
                                      })
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace vigil::bench
