#include "vigil/monitor/fork_guard.h"

#include <atomic>

#include <pthread.h>

namespace vigil {
namespace {

std::atomic<std::uint64_t> generation{0};

}  // namespace

std::uint64_t fork_generation() noexcept {
  static const bool installed = [] {
    return pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); }) == 0;
  }();
  static_cast<void>(installed);
  // relaxed: a child starts with one thread, and nothing is published with the number.
  return generation.load(std::memory_order_relaxed);
}

}  // namespace vigil
