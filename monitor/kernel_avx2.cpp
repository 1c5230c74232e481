// The kernel for x86-64 with AVX2, FMA and F16C: processors since 2013 (Haswell) and 2015 (Excavator).
#include "vigil/monitor/kernel_table.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

// By attributes of the functions, not by flags of the file: see kernel_avx512.cpp.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

namespace vigil::avx2 {
namespace {

#include "vigil/monitor/scalar_blocks.h"

// All bits of the first n of 8 words, none of the others.
__m256i first_words(std::size_t n) noexcept {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

struct Doubles {
  using Vector = __m256d;
  using Bits = __m256i;
  using Wide = __m256d;
  using Lanes = __m256d;
  using Word = std::uint64_t;
  static constexpr Word kInfinityBits = Float64::kExponent;
  static constexpr std::size_t kLanes = 4, kAccumulators = 2, kTermsPerSum = 512, kVectorsPerWord = 2;
  static constexpr bool kCountsInStreams = false;
  static constexpr double kLeastSquares = 1e-240;

  template <class T>
  static T settle(T x) noexcept {
    asm("" : "+x"(x));
    return x;
  }
  static Vector zero() noexcept { return _mm256_setzero_pd(); }
  static Vector splat(double x) noexcept { return _mm256_set1_pd(x); }
  static double representable(double x) noexcept { return x; }
  static Vector add(Vector a, Vector b) noexcept { return _mm256_add_pd(a, b); }
  static Vector subtract(Vector a, Vector b) noexcept { return _mm256_sub_pd(a, b); }
  static Vector multiply_add(Vector a, Vector b, Vector c) noexcept { return _mm256_fmadd_pd(a, b, c); }
  static Vector min(Vector a, Vector b) noexcept { return _mm256_min_pd(a, b); }
  static Vector max(Vector a, Vector b) noexcept { return _mm256_max_pd(a, b); }
  static Vector abs(Vector x) noexcept { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), x); }
  static double least(Vector x) noexcept {
    const __m128d two = _mm_min_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_min_sd(two, _mm_unpackhi_pd(two, two)));
  }
  static double largest(Vector x) noexcept {
    const __m128d two = _mm_max_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_max_sd(two, _mm_unpackhi_pd(two, two)));
  }
  static Lanes first_lanes(std::size_t n) noexcept {
    return _mm256_castsi256_pd(_mm256_cmpgt_epi64(_mm256_set1_epi64x(static_cast<long long>(n)), _mm256_setr_epi64x(0, 1, 2, 3)));
  }
  static Vector select(Lanes lanes, Vector a, Vector b) noexcept { return _mm256_blendv_pd(b, a, lanes); }

  static Wide no_wide() noexcept { return zero(); }
  static Wide widen_and_add(Wide sum, Vector x) noexcept { return add(sum, x); }
  static void add_deviations(Wide& sum, Wide& squares, Vector x, Vector center) noexcept {
    const Wide difference = subtract(x, center);
    sum = add(sum, difference);
    squares = multiply_add(difference, difference, squares);
  }
  static double total(Wide x) noexcept {
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
  }

  static Bits no_bits() noexcept { return _mm256_setzero_si256(); }
  static Bits bits(Vector x) noexcept { return _mm256_castpd_si256(x); }
  static Lanes at_least(Vector magnitude, Word least) noexcept {  // a signed comparison: magnitudes have no sign
    return _mm256_castsi256_pd(_mm256_cmpgt_epi64(bits(magnitude), _mm256_set1_epi64x(static_cast<long long>(least - 1))));
  }
  static Bits count_lanes(Bits counts, Lanes lanes) noexcept { return _mm256_sub_epi64(counts, _mm256_castpd_si256(lanes)); }
  static Bits either(Bits a, Bits b) noexcept { return _mm256_or_si256(a, b); }
  static bool has_any_bit(Bits x) noexcept { return _mm256_testz_si256(x, x) == 0; }
  static Bits count_nonzero(Bits counts, Vector magnitude) noexcept {
    const Bits is_zero = _mm256_cmpeq_epi64(bits(magnitude), no_bits());
    return _mm256_add_epi64(counts, _mm256_add_epi64(is_zero, _mm256_set1_epi64x(1)));
  }
  static Bits add_counts(Bits a, Bits b) noexcept { return _mm256_add_epi64(a, b); }
  static std::uint64_t total_counts(Bits counts) noexcept {
    const __m128i two = _mm_add_epi64(_mm256_castsi256_si128(counts), _mm256_extracti128_si256(counts, 1));
    return static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_add_epi64(two, _mm_unpackhi_epi64(two, two))));
  }

  static Bits one_hot(Vector a, Vector b) noexcept {
    const Bits base = _mm256_set1_epi64x(static_cast<long long>(kFirstBucketOfDouble));
    const __m256 first = _mm256_castsi256_ps(_mm256_sub_epi64(bits(a), base)),
                 second = _mm256_castsi256_ps(_mm256_sub_epi64(bits(b), base));
    const Bits high_words = _mm256_castps_si256(_mm256_shuffle_ps(first, second, 0xdd));
    return _mm256_sllv_epi32(_mm256_set1_epi32(1), _mm256_srli_epi32(high_words, 20));
  }
};

struct Floats {
  using Vector = __m256;
  using Bits = __m256i;
  using Wide = __m256d;
  using Lanes = __m256;
  using Word = std::uint32_t;
  static constexpr Word kInfinityBits = Float32::kExponent;
  static constexpr std::size_t kLanes = 8, kAccumulators = 2, kTermsPerSum = 16, kVectorsPerWord = 1;
  static constexpr bool kCountsInStreams = false;
  static constexpr double kLeastSquares = 1e-25;  // below, squares may have been lost to underflow

  template <class T>
  static T settle(T x) noexcept {
    asm("" : "+x"(x));
    return x;
  }
  static Vector zero() noexcept { return _mm256_setzero_ps(); }
  static Vector splat(double x) noexcept { return _mm256_set1_ps(static_cast<float>(x)); }
  static double representable(double x) noexcept { return static_cast<double>(static_cast<float>(x)); }
  static Vector add(Vector a, Vector b) noexcept { return _mm256_add_ps(a, b); }
  static Vector subtract(Vector a, Vector b) noexcept { return _mm256_sub_ps(a, b); }
  static Vector multiply_add(Vector a, Vector b, Vector c) noexcept { return _mm256_fmadd_ps(a, b, c); }
  static Vector min(Vector a, Vector b) noexcept { return _mm256_min_ps(a, b); }
  static Vector max(Vector a, Vector b) noexcept { return _mm256_max_ps(a, b); }
  static Vector abs(Vector x) noexcept { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
  static double least(Vector x) noexcept {
    return Doubles::least(_mm256_cvtps_pd(_mm_min_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1))));
  }
  static double largest(Vector x) noexcept {
    return Doubles::largest(_mm256_cvtps_pd(_mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1))));
  }
  static Lanes first_lanes(std::size_t n) noexcept { return _mm256_castsi256_ps(first_words(n)); }
  static Vector select(Lanes lanes, Vector a, Vector b) noexcept { return _mm256_blendv_ps(b, a, lanes); }

  static Wide no_wide() noexcept { return _mm256_setzero_pd(); }
  static Wide widen_and_add(Wide sum, Vector x) noexcept {
    const Wide low = _mm256_cvtps_pd(_mm256_castps256_ps128(x)), high = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
    return _mm256_add_pd(sum, _mm256_add_pd(low, high));
  }
  // Adds x - center to `sum` and its square to `squares`.
  static void add_deviations(Wide& sum, Wide& squares, Vector x, Vector center) noexcept {
    const Wide low = _mm256_sub_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_castps256_ps128(center)));
    const Wide high = _mm256_sub_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)), _mm256_cvtps_pd(_mm256_extractf128_ps(center, 1)));
    sum = _mm256_add_pd(sum, _mm256_add_pd(low, high));
    squares = _mm256_fmadd_pd(low, low, _mm256_fmadd_pd(high, high, squares));
  }
  static double total(Wide x) noexcept { return Doubles::total(x); }

  static Bits no_bits() noexcept { return _mm256_setzero_si256(); }
  static Bits bits(Vector x) noexcept { return _mm256_castps_si256(x); }
  static Lanes at_least(Vector magnitude, Word least) noexcept {  // a signed comparison: magnitudes have no sign
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(bits(magnitude), _mm256_set1_epi32(static_cast<int>(least - 1))));
  }
  static Bits count_lanes(Bits counts, Lanes lanes) noexcept { return _mm256_sub_epi32(counts, _mm256_castps_si256(lanes)); }
  static Bits either(Bits a, Bits b) noexcept { return _mm256_or_si256(a, b); }
  static bool has_any_bit(Bits x) noexcept { return _mm256_testz_si256(x, x) == 0; }
  static Bits count_nonzero(Bits counts, Vector magnitude) noexcept {
    return _mm256_add_epi32(counts, _mm256_min_epu32(bits(magnitude), _mm256_set1_epi32(1)));
  }
  static Bits add_counts(Bits a, Bits b) noexcept { return _mm256_add_epi32(a, b); }
  static std::uint64_t total_counts(Bits counts) noexcept { return total_words(counts); }

  // For each element bit i of its word, where bucket i of a histogram counts it; 0 where none does.
  static Bits one_hot(Vector magnitude) noexcept {
    const Bits bucket = _mm256_srli_epi32(_mm256_sub_epi32(bits(magnitude), _mm256_set1_epi32(static_cast<int>(kFirstBucketOfFloat))), 23);
    return _mm256_sllv_epi32(_mm256_set1_epi32(1), bucket);
  }
  // state := its sum with a and b without carry; returns the carries.
  static Bits carry_save_add(Bits& state, Bits a, Bits b) noexcept {
    const Bits one_of_two = _mm256_xor_si256(a, b);
    const Bits carries = _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(one_of_two, state));
    state = _mm256_xor_si256(one_of_two, state);
    return carries;
  }
  static Bits low_bit_of_bytes(Bits x, int shift) noexcept {
    return _mm256_and_si256(_mm256_srl_epi32(x, _mm_cvtsi32_si128(shift)), _mm256_set1_epi32(0x01010101));
  }
  static Bits add_bytes(Bits a, Bits b) noexcept { return _mm256_add_epi8(a, b); }
  static Bits even_bytes(Bits x) noexcept { return _mm256_and_si256(x, _mm256_set1_epi32(0x00ff00ff)); }
  static Bits odd_bytes(Bits x) noexcept { return even_bytes(_mm256_srli_epi32(x, 8)); }
  static std::uint32_t total_words(Bits x) noexcept {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    four = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 1))));
  }
};

struct F32 {
  using V = Floats;
  using Scalar = Float32;
  static __m256 load(const unsigned char* data) noexcept {
    __m256 x;
    std::memcpy(&x, data, sizeof x);
    return x;
  }
  static __m256 load_partial(const unsigned char* data, std::size_t n) noexcept {
    alignas(32) unsigned char whole[32] = {};
    std::memcpy(whole, data, n * 4);
    return load(whole);
  }
};
struct F64 {
  using V = Doubles;
  using Scalar = Float64;
  static __m256d load(const unsigned char* data) noexcept {
    __m256d x;
    std::memcpy(&x, data, sizeof x);
    return x;
  }
  static __m256d load_partial(const unsigned char* data, std::size_t n) noexcept {
    alignas(32) unsigned char whole[32] = {};
    std::memcpy(whole, data, n * 8);
    return load(whole);
  }
};
__m128i load_16_bits(const unsigned char* data) noexcept {
  __m128i bits;
  std::memcpy(&bits, data, sizeof bits);
  return bits;
}
__m128i load_16_bits_partial(const unsigned char* data, std::size_t n) noexcept {
  alignas(16) unsigned char whole[16] = {};
  std::memcpy(whole, data, n * 2);
  return load_16_bits(whole);
}
struct BF16 {
  using V = Floats;
  using Scalar = BFloat16;
  static __m256 widen(__m128i bits) noexcept { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16)); }
  static __m256 load(const unsigned char* data) noexcept { return widen(load_16_bits(data)); }
  static __m256 load_partial(const unsigned char* data, std::size_t n) noexcept { return widen(load_16_bits_partial(data, n)); }
};
struct F16 {
  using V = Floats;
  using Scalar = Float16;
  static __m256 load(const unsigned char* data) noexcept { return _mm256_cvtph_ps(load_16_bits(data)); }
  static __m256 load_partial(const unsigned char* data, std::size_t n) noexcept { return _mm256_cvtph_ps(load_16_bits_partial(data, n)); }
};

#include "vigil/monitor/bit_counter.h"

#include "vigil/monitor/vector_wide_blocks.h"

#include "vigil/monitor/vector_blocks.h"

#include "vigil/monitor/vector_reductions.h"

}  // namespace
}  // namespace vigil::avx2

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace vigil {
namespace {

bool has_avx2() noexcept { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(); }

}  // namespace

const Kernel* avx2_kernel() noexcept {
  using namespace avx2;
  static constexpr Kernel kernel{"avx2", has_avx2, {functions_of<F32>(), functions_of<F64>(), functions_of<BF16>(), functions_of<F16>()}};
  return &kernel;
}

}  // namespace vigil

#else

namespace vigil {

const Kernel* avx2_kernel() noexcept { return nullptr; }

}  // namespace vigil

#endif
