// The physical limit that statistics are compared with: a read of the same memory that does next to nothing with it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vigil::bench {

/// XOR of the 64-bit words that `bytes` bytes at `data` hold; up to 7 bytes at the end are left out. In vectors as wide as this CPU's and
/// on the calling thread, in order.
std::uint64_t xor_words(const void* data, std::size_t bytes) noexcept;

/// The same, four streams of 1 MiB side by side, which gives the processor's prefetchers four to work on: the fastest read we know.
std::uint64_t xor_words_in_streams(const void* data, std::size_t bytes) noexcept;

}  // namespace vigil::bench
