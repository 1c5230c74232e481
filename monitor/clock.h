// Times as whole nanoseconds, which is how records hold them.
#pragma once

#include <chrono>
#include <cstdint>

namespace vigil {

template <class Duration>
std::int64_t nanoseconds_in(Duration duration) noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

/// Nanoseconds since 1970.
inline std::int64_t wall_time_ns() noexcept { return nanoseconds_in(std::chrono::system_clock::now().time_since_epoch()); }

/// CLOCK_MONOTONIC in nanoseconds, which all processes of a machine share.
inline std::int64_t monotonic_time_ns() noexcept { return nanoseconds_in(std::chrono::steady_clock::now().time_since_epoch()); }

}  // namespace vigil
