// The physical limit that statistics are compared with: a read of the same memory that does next to nothing with it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vigil::bench {

/// XOR of the 64-bit words that `bytes` bytes at `data` hold; up to 7 bytes at the end are left out. In vectors as wide as this CPU's and
/// on the calling thread: nothing that looks at every element in order can be faster.
std::uint64_t xor_words(const void* data, std::size_t bytes) noexcept;

/// The same, four pages of memory at a time: the processor's prefetchers, which stop at the end of a page, then have four to work on.
std::uint64_t xor_words_by_pages(const void* data, std::size_t bytes) noexcept;

}  // namespace vigil::bench
