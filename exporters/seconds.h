// Nanoseconds as what Prometheus and JSON lines want.
#pragma once

#include <cstdint>

namespace vigil {

/// Rounded once: converting nanoseconds since the epoch to double first would lose the last 256 of them.
inline double to_seconds(std::int64_t nanoseconds) noexcept {
  constexpr std::int64_t kPerSecond = 1'000'000'000;
  const std::int64_t whole = nanoseconds / kPerSecond;
  return static_cast<double>(whole) + static_cast<double>(nanoseconds % kPerSecond) / 1e9;
}

inline double to_seconds(std::uint64_t nanoseconds) noexcept { return static_cast<double>(nanoseconds) / 1e9; }

}  // namespace vigil
