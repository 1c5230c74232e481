// What statistics are compared with: a read of the same memory, as one writes it, that does next to nothing with what it reads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vigil::bench {

/// XOR of the 64-bit words that `bytes` bytes at `data` hold; up to 7 bytes at the end are left out. In vectors as wide as this CPU's and
/// on the calling thread, in order.
std::uint64_t xor_words(const void* data, std::size_t bytes) noexcept;

/// The same, four streams of 1 MiB side by side, which gives the processor's prefetchers four to work on. Nearer to the limit than a read
/// in order, not it: the kernels, which ask for memory ahead as well, are faster on some machines.
std::uint64_t xor_words_in_streams(const void* data, std::size_t bytes) noexcept;

}  // namespace vigil::bench
