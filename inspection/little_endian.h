// Numbers in a file, little-endian as ZIP and pickle have them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vigil {

/// The number that `bytes` bytes are, at most 8, the lowest first.
inline std::uint64_t little_endian(const unsigned char* data, std::size_t bytes) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value |= std::uint64_t{data[i]} << (8 * i);
  return value;
}

}  // namespace vigil
