#include "bench/pure_read.h"

#include <cstring>

namespace vigil::bench {
namespace {

constexpr std::size_t kChains = 8;  // independent, so that the loop waits for memory and not for the previous XOR

using Vector16 = std::uint64_t __attribute__((vector_size(16)));
using Vector32 = std::uint64_t __attribute__((vector_size(32)));
using Vector64 = std::uint64_t __attribute__((vector_size(64)));

// Always inlined, so that it is compiled for the instruction set of the function that it stands in.
template <class Vector>
[[gnu::always_inline]] inline std::uint64_t xor_in_vectors(const void* data, std::size_t bytes) noexcept {
  const auto* p = static_cast<const unsigned char*>(data);
  const unsigned char* const end = p + bytes;
  Vector chains[kChains] = {};
  for (; static_cast<std::size_t>(end - p) >= sizeof chains; p += sizeof chains) {
    for (std::size_t i = 0; i < kChains; ++i) {
      Vector words;
      std::memcpy(&words, p + i * sizeof words, sizeof words);
      chains[i] ^= words;
    }
  }
  std::uint64_t lanes[kChains * sizeof(Vector) / sizeof(std::uint64_t)];
  std::memcpy(lanes, chains, sizeof lanes);
  std::uint64_t sum = 0;
  for (const std::uint64_t lane : lanes) sum ^= lane;
  for (; static_cast<std::size_t>(end - p) >= sizeof sum; p += sizeof sum) {
    std::uint64_t word;
    std::memcpy(&word, p, sizeof word);
    sum ^= word;
  }
  return sum;
}

using XorWords = std::uint64_t (*)(const void*, std::size_t) noexcept;

std::uint64_t xor_in_16_bytes(const void* data, std::size_t bytes) noexcept { return xor_in_vectors<Vector16>(data, bytes); }

#ifdef __x86_64__
[[gnu::target("avx2")]] std::uint64_t xor_in_32_bytes(const void* data, std::size_t bytes) noexcept {
  return xor_in_vectors<Vector32>(data, bytes);
}

[[gnu::target("avx512f")]] std::uint64_t xor_in_64_bytes(const void* data, std::size_t bytes) noexcept {
  return xor_in_vectors<Vector64>(data, bytes);
}
#endif

XorWords widest() noexcept {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f")) return xor_in_64_bytes;
  if (__builtin_cpu_supports("avx2")) return xor_in_32_bytes;
#endif
  return xor_in_16_bytes;
}

}  // namespace

std::uint64_t xor_words(const void* data, std::size_t bytes) noexcept {
  static const XorWords function = widest();
  return function(data, bytes);
}

}  // namespace vigil::bench
