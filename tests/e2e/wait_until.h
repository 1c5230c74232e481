// Waiting for a condition with a deadline, never for a length of time.
#pragma once

#include <chrono>

#include <poll.h>

namespace vigil {

/// Asks `condition` every 20 ms until it holds; false when it does not within `seconds`.
template <class Condition>
bool wait_until(double seconds, Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0, 20);
  }
  return true;
}

}  // namespace vigil
