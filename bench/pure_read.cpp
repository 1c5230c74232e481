#include "bench/pure_read.h"

#include <cstring>

namespace vigil::bench {
namespace {

constexpr std::size_t kChains = 8;  // independent, so that the loop waits for memory and not for the previous XOR
constexpr std::size_t kStreams = 4, kStreamBytes = std::size_t{1} << 20;

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

// The same over kStreams streams side by side, a vector of each in turn.
template <class Vector>
[[gnu::always_inline]] inline std::uint64_t xor_in_streams(const void* data, std::size_t bytes) noexcept {
  const auto* p = static_cast<const unsigned char*>(data);
  const unsigned char* const end = p + bytes;
  Vector chains[kStreams] = {};
  for (; static_cast<std::size_t>(end - p) >= kStreams * kStreamBytes; p += kStreams * kStreamBytes) {
    for (std::size_t offset = 0; offset < kStreamBytes; offset += sizeof(Vector)) {
      for (std::size_t i = 0; i < kStreams; ++i) {
        Vector words;
        std::memcpy(&words, p + i * kStreamBytes + offset, sizeof words);
        chains[i] ^= words;
      }
    }
  }
  std::uint64_t lanes[kStreams * sizeof(Vector) / sizeof(std::uint64_t)];
  std::memcpy(lanes, chains, sizeof lanes);
  std::uint64_t sum = xor_in_vectors<Vector>(p, static_cast<std::size_t>(end - p));
  for (const std::uint64_t lane : lanes) sum ^= lane;
  return sum;
}

using XorWords = std::uint64_t (*)(const void*, std::size_t) noexcept;

std::uint64_t in_16_bytes(const void* data, std::size_t bytes) noexcept { return xor_in_vectors<Vector16>(data, bytes); }
std::uint64_t streams_in_16_bytes(const void* data, std::size_t bytes) noexcept { return xor_in_streams<Vector16>(data, bytes); }

#ifdef __x86_64__
#define VIGIL_AVX2 [[gnu::target("avx2")]]
#define VIGIL_AVX512 [[gnu::target("avx512f")]]
VIGIL_AVX2 std::uint64_t in_32_bytes(const void* data, std::size_t bytes) noexcept { return xor_in_vectors<Vector32>(data, bytes); }
VIGIL_AVX2 std::uint64_t streams_in_32_bytes(const void* data, std::size_t bytes) noexcept { return xor_in_streams<Vector32>(data, bytes); }
VIGIL_AVX512 std::uint64_t in_64_bytes(const void* data, std::size_t bytes) noexcept { return xor_in_vectors<Vector64>(data, bytes); }
VIGIL_AVX512 std::uint64_t streams_in_64_bytes(const void* data, std::size_t bytes) noexcept {
  return xor_in_streams<Vector64>(data, bytes);
}
#endif

struct Reads {
  XorWords in_order, in_streams;
};

Reads widest() noexcept {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f")) return {in_64_bytes, streams_in_64_bytes};
  if (__builtin_cpu_supports("avx2")) return {in_32_bytes, streams_in_32_bytes};
#endif
  return {in_16_bytes, streams_in_16_bytes};
}

const Reads& reads() noexcept {
  static const Reads widest_reads = widest();
  return widest_reads;
}

}  // namespace

std::uint64_t xor_words(const void* data, std::size_t bytes) noexcept { return reads().in_order(data, bytes); }

std::uint64_t xor_words_in_streams(const void* data, std::size_t bytes) noexcept { return reads().in_streams(data, bytes); }

}  // namespace vigil::bench
