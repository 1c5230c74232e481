#include "vigil/inspection/zip_checksum.h"

#include <zlib.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace vigil {
namespace {

std::uint32_t by_table(std::uint32_t crc, const void* data, std::size_t bytes) noexcept {
  return static_cast<std::uint32_t>(crc32_z(crc, static_cast<const Bytef*>(data), bytes));
}

#if defined(__x86_64__)
#define VIGIL_CARRYLESS __attribute__((target("pclmul,sse4.1")))

// Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction" (Intel, 2009), in its bit-reflected form, with
// the constants of its appendix: remainders of powers of x for folding by 512 and by 128 bits, then for 64 bits and Barrett's reduction.
VIGIL_CARRYLESS inline __m128i load(const unsigned char* data) noexcept { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(data)); }

VIGIL_CARRYLESS inline __m128i folded(__m128i value, __m128i powers, __m128i next) noexcept {
  const __m128i low = _mm_clmulepi64_si128(value, powers, 0x00), high = _mm_clmulepi64_si128(value, powers, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

VIGIL_CARRYLESS std::uint32_t reduced(__m128i value) noexcept {
  const __m128i words = _mm_setr_epi32(-1, 0, -1, 0);
  const __m128i by_128 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0), by_64 = _mm_set_epi64x(0, 0x0163cd6124);
  const __m128i barrett = _mm_set_epi64x(0x01f7011641, 0x01db710641);
  value = _mm_xor_si128(_mm_srli_si128(value, 8), _mm_clmulepi64_si128(value, by_128, 0x10));
  value = _mm_xor_si128(_mm_srli_si128(value, 4), _mm_clmulepi64_si128(_mm_and_si128(value, words), by_64, 0x00));
  __m128i quotient = _mm_clmulepi64_si128(_mm_and_si128(value, words), barrett, 0x10);
  quotient = _mm_clmulepi64_si128(_mm_and_si128(quotient, words), barrett, 0x00);
  return static_cast<std::uint32_t>(_mm_extract_epi32(_mm_xor_si128(value, quotient), 1));
}

// `bytes` is a multiple of 16 and at least 64; `crc` and what is returned are inverted.
VIGIL_CARRYLESS std::uint32_t by_folding(std::uint32_t crc, const unsigned char* data, std::size_t bytes) noexcept {
  const __m128i by_512 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4), by_128 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
  __m128i a = _mm_xor_si128(load(data), _mm_cvtsi32_si128(static_cast<int>(crc)));
  __m128i b = load(data + 16), c = load(data + 32), d = load(data + 48);
  data += 64;
  bytes -= 64;
  for (; bytes >= 64; data += 64, bytes -= 64) {
    a = folded(a, by_512, load(data));
    b = folded(b, by_512, load(data + 16));
    c = folded(c, by_512, load(data + 32));
    d = folded(d, by_512, load(data + 48));
  }
  __m128i all = folded(folded(folded(a, by_128, b), by_128, c), by_128, d);
  for (; bytes >= 16; data += 16, bytes -= 16) all = folded(all, by_128, load(data));
  return reduced(all);
}

bool has_carryless() noexcept {
  static const bool kHas = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  return kHas;
}
#endif

}  // namespace

std::uint32_t zip_checksum(std::uint32_t crc, const void* data, std::size_t bytes) noexcept {
#if defined(__x86_64__)
  constexpr std::size_t kLeast = 64, kBlock = 16;
  if (bytes >= kLeast && has_carryless()) {
    const std::size_t folded_bytes = bytes / kBlock * kBlock;
    crc = ~by_folding(~crc, static_cast<const unsigned char*>(data), folded_bytes);
    data = static_cast<const unsigned char*>(data) + folded_bytes;
    bytes -= folded_bytes;
  }
#endif
  return bytes == 0 ? crc : by_table(crc, data, bytes);
}

}  // namespace vigil
