// The kernels for x86-64 with AVX-512, and with AVX512-BF16 for bfloat16.
#include "vigil/monitor/kernel_table.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

// By attributes of the functions, not by flags of the file: an inline function of a header compiled here would otherwise be for this
// instruction set too, and the linker might keep that copy for the whole program. GCC 12 takes the undefined registers of its own
// <immintrin.h> for uninitialised variables (GCC bug 105593).
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif

namespace vigil::avx512 {
namespace {

#include "vigil/monitor/scalar_blocks.h"

struct Floats {
  using Vector = __m512;
  using Bits = __m512i;
  using Wide = __m512d;
  using Lanes = __mmask16;
  using Word = std::uint32_t;
  static constexpr Word kInfinityBits = Float32::kExponent;
  static constexpr std::size_t kLanes = 16, kAccumulators = 4, kTermsPerSum = 16, kVectorsPerWord = 1;
  static constexpr bool kCountsInStreams = true;
  static constexpr double kLeastSquares = 1e-25;  // below, squares may have been lost to underflow

  template <class T>
  static T settle(T x) noexcept {
    asm("" : "+v"(x));
    return x;
  }
  static Vector zero() noexcept { return _mm512_setzero_ps(); }
  static Vector splat(double x) noexcept { return _mm512_set1_ps(static_cast<float>(x)); }
  static double representable(double x) noexcept { return static_cast<double>(static_cast<float>(x)); }
  static Vector add(Vector a, Vector b) noexcept { return _mm512_add_ps(a, b); }
  static Vector subtract(Vector a, Vector b) noexcept { return _mm512_sub_ps(a, b); }
  static Vector multiply_add(Vector a, Vector b, Vector c) noexcept { return _mm512_fmadd_ps(a, b, c); }
  static Vector min(Vector a, Vector b) noexcept { return _mm512_min_ps(a, b); }
  static Vector max(Vector a, Vector b) noexcept { return _mm512_max_ps(a, b); }
  static Vector abs(Vector x) noexcept { return _mm512_abs_ps(x); }
  static double least(Vector x) noexcept { return static_cast<double>(_mm512_reduce_min_ps(x)); }
  static double largest(Vector x) noexcept { return static_cast<double>(_mm512_reduce_max_ps(x)); }
  static Lanes first_lanes(std::size_t n) noexcept { return static_cast<Lanes>((1u << n) - 1u); }
  static Vector select(Lanes lanes, Vector a, Vector b) noexcept { return _mm512_mask_blend_ps(lanes, b, a); }

  static Wide no_wide() noexcept { return _mm512_setzero_pd(); }
  static Wide widen_and_add(Wide sum, Vector x) noexcept {
    const Wide low = _mm512_cvtps_pd(_mm512_castps512_ps256(x)), high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
    return _mm512_add_pd(sum, _mm512_add_pd(low, high));
  }
  // Adds x - center to `sum` and its square to `squares`.
  static void add_deviations(Wide& sum, Wide& squares, Vector x, Vector center) noexcept {
    const Wide low = _mm512_sub_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(x)), _mm512_cvtps_pd(_mm512_castps512_ps256(center)));
    const Wide high = _mm512_sub_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(center, 1)));
    sum = _mm512_add_pd(sum, _mm512_add_pd(low, high));
    squares = _mm512_fmadd_pd(low, low, _mm512_fmadd_pd(high, high, squares));
  }
  static double total(Wide x) noexcept { return _mm512_reduce_add_pd(x); }

  static Bits no_bits() noexcept { return _mm512_setzero_si512(); }
  static Bits bits(Vector x) noexcept { return _mm512_castps_si512(x); }
  static Lanes at_least(Vector magnitude, Word least) noexcept {
    return _mm512_cmpge_epu32_mask(bits(magnitude), _mm512_set1_epi32(static_cast<int>(least)));
  }
  static Bits count_lanes(Bits counts, Lanes lanes) noexcept { return _mm512_mask_add_epi32(counts, lanes, counts, _mm512_set1_epi32(1)); }
  static Bits either(Bits a, Bits b) noexcept { return _mm512_or_si512(a, b); }
  static bool has_any_bit(Bits x) noexcept { return _mm512_test_epi32_mask(x, x) != 0; }
  static Bits count_nonzero(Bits counts, Vector magnitude) noexcept {
    return _mm512_add_epi32(counts, _mm512_min_epu32(bits(magnitude), _mm512_set1_epi32(1)));
  }
  static Bits add_counts(Bits a, Bits b) noexcept { return _mm512_add_epi32(a, b); }
  static std::uint64_t total_counts(Bits counts) noexcept { return total_words(counts); }

  // For each element bit i of its word, where bucket i of a histogram counts it; 0 where none does.
  static Bits one_hot(Vector magnitude) noexcept {
    const Bits bucket = _mm512_srli_epi32(_mm512_sub_epi32(bits(magnitude), _mm512_set1_epi32(static_cast<int>(kFirstBucketOfFloat))), 23);
    return _mm512_sllv_epi32(_mm512_set1_epi32(1), bucket);
  }
  // state := its sum with a and b without carry; returns the carries.
  static Bits carry_save_add(Bits& state, Bits a, Bits b) noexcept {
    const Bits carries = _mm512_ternarylogic_epi32(state, a, b, 0xe8);
    state = _mm512_ternarylogic_epi32(state, a, b, 0x96);
    return carries;
  }
  static Bits low_bit_of_bytes(Bits x, int shift) noexcept {
    return _mm512_and_si512(_mm512_srl_epi32(x, _mm_cvtsi32_si128(shift)), _mm512_set1_epi32(0x01010101));
  }
  static Bits add_bytes(Bits a, Bits b) noexcept { return _mm512_add_epi8(a, b); }
  static Bits even_bytes(Bits x) noexcept { return _mm512_and_si512(x, _mm512_set1_epi32(0x00ff00ff)); }
  static Bits odd_bytes(Bits x) noexcept { return even_bytes(_mm512_srli_epi32(x, 8)); }
  static std::uint32_t total_words(Bits x) noexcept { return static_cast<std::uint32_t>(_mm512_reduce_add_epi32(x)); }
};

struct Doubles {
  using Vector = __m512d;
  using Bits = __m512i;
  using Wide = __m512d;
  using Lanes = __mmask8;
  using Word = std::uint64_t;
  static constexpr Word kInfinityBits = Float64::kExponent;
  static constexpr std::size_t kLanes = 8, kAccumulators = 4, kTermsPerSum = 128, kVectorsPerWord = 2;
  static constexpr bool kCountsInStreams = true;
  static constexpr double kLeastSquares = 1e-240;

  template <class T>
  static T settle(T x) noexcept {
    asm("" : "+v"(x));
    return x;
  }
  static Vector zero() noexcept { return _mm512_setzero_pd(); }
  static Vector splat(double x) noexcept { return _mm512_set1_pd(x); }
  static double representable(double x) noexcept { return x; }
  static Vector add(Vector a, Vector b) noexcept { return _mm512_add_pd(a, b); }
  static Vector subtract(Vector a, Vector b) noexcept { return _mm512_sub_pd(a, b); }
  static Vector multiply_add(Vector a, Vector b, Vector c) noexcept { return _mm512_fmadd_pd(a, b, c); }
  static Vector min(Vector a, Vector b) noexcept { return _mm512_min_pd(a, b); }
  static Vector max(Vector a, Vector b) noexcept { return _mm512_max_pd(a, b); }
  static Vector abs(Vector x) noexcept { return _mm512_abs_pd(x); }
  static double least(Vector x) noexcept { return _mm512_reduce_min_pd(x); }
  static double largest(Vector x) noexcept { return _mm512_reduce_max_pd(x); }
  static Lanes first_lanes(std::size_t n) noexcept { return static_cast<Lanes>((1u << n) - 1u); }
  static Vector select(Lanes lanes, Vector a, Vector b) noexcept { return _mm512_mask_blend_pd(lanes, b, a); }

  static Wide no_wide() noexcept { return zero(); }
  static Wide widen_and_add(Wide sum, Vector x) noexcept { return add(sum, x); }
  static void add_deviations(Wide& sum, Wide& squares, Vector x, Vector center) noexcept {
    const Wide difference = subtract(x, center);
    sum = add(sum, difference);
    squares = multiply_add(difference, difference, squares);
  }
  static double total(Wide x) noexcept { return _mm512_reduce_add_pd(x); }

  static Bits no_bits() noexcept { return _mm512_setzero_si512(); }
  static Bits bits(Vector x) noexcept { return _mm512_castpd_si512(x); }
  static Lanes at_least(Vector magnitude, Word least) noexcept {
    return _mm512_cmpge_epu64_mask(bits(magnitude), _mm512_set1_epi64(static_cast<long long>(least)));
  }
  static Bits count_lanes(Bits counts, Lanes lanes) noexcept { return _mm512_mask_add_epi64(counts, lanes, counts, _mm512_set1_epi64(1)); }
  static Bits either(Bits a, Bits b) noexcept { return _mm512_or_si512(a, b); }
  static bool has_any_bit(Bits x) noexcept { return _mm512_test_epi64_mask(x, x) != 0; }
  static Bits count_nonzero(Bits counts, Vector magnitude) noexcept {
    return _mm512_add_epi64(counts, _mm512_min_epu64(bits(magnitude), _mm512_set1_epi64(1)));
  }
  static Bits add_counts(Bits a, Bits b) noexcept { return _mm512_add_epi64(a, b); }
  static std::uint64_t total_counts(Bits counts) noexcept { return static_cast<std::uint64_t>(_mm512_reduce_add_epi64(counts)); }

  // Of two vectors; the order of the words has no meaning.
  static Bits one_hot(Vector a, Vector b) noexcept {
    const Bits base = _mm512_set1_epi64(static_cast<long long>(kFirstBucketOfDouble));
    const __m512 first = _mm512_castsi512_ps(_mm512_sub_epi64(bits(a), base)),
                 second = _mm512_castsi512_ps(_mm512_sub_epi64(bits(b), base));
    const Bits high_words = _mm512_castps_si512(_mm512_shuffle_ps(first, second, 0xdd));
    return _mm512_sllv_epi32(_mm512_set1_epi32(1), _mm512_srli_epi32(high_words, 20));
  }
};

struct F32 {
  using V = Floats;
  using Scalar = Float32;
  static __m512 load(const unsigned char* data) noexcept { return _mm512_loadu_ps(data); }
  static __m512 load_partial(const unsigned char* data, std::size_t n) noexcept { return _mm512_maskz_loadu_ps(V::first_lanes(n), data); }
};
struct F64 {
  using V = Doubles;
  using Scalar = Float64;
  static __m512d load(const unsigned char* data) noexcept { return _mm512_loadu_pd(data); }
  static __m512d load_partial(const unsigned char* data, std::size_t n) noexcept { return _mm512_maskz_loadu_pd(V::first_lanes(n), data); }
};
__m256i load_16_bits(const unsigned char* data) noexcept {
  __m256i bits;
  std::memcpy(&bits, data, sizeof bits);
  return bits;
}
__m256i load_16_bits_partial(const unsigned char* data, std::size_t n) noexcept {
  return _mm256_maskz_loadu_epi16(Floats::first_lanes(n), data);
}
struct BF16 {
  using V = Floats;
  using Scalar = BFloat16;
  static __m512 widen(__m256i bits) noexcept { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16)); }
  static __m512 load(const unsigned char* data) noexcept { return widen(load_16_bits(data)); }
  static __m512 load_partial(const unsigned char* data, std::size_t n) noexcept { return widen(load_16_bits_partial(data, n)); }
};
struct F16 {
  using V = Floats;
  using Scalar = Float16;
  // The form with a mask: GCC 12 warns of its own header in the other.
  static __m512 widen(__m256i bits) noexcept { return _mm512_maskz_cvtph_ps(0xffff, bits); }
  static __m512 load(const unsigned char* data) noexcept { return widen(load_16_bits(data)); }
  static __m512 load_partial(const unsigned char* data, std::size_t n) noexcept { return widen(load_16_bits_partial(data, n)); }
};

#include "vigil/monitor/bit_counter.h"

#include "vigil/monitor/vector_wide_blocks.h"

#include "vigil/monitor/vector_blocks.h"

#include "vigil/monitor/vector_reductions.h"

}  // namespace
}  // namespace vigil::avx512

#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx512bf16")
#endif

namespace vigil::avx512 {
namespace {

// bfloat16 as it lies in memory, two elements a word.
struct BF16Pairs {
  struct V {
    using Vector = __m512i;
    static constexpr std::size_t kLanes = 32;
  };
  using Scalar = BFloat16;
  static __m512i load(const unsigned char* data) noexcept { return _mm512_loadu_si512(data); }
};

// One of the independent sums of a block of bfloat16, two elements a lane: products of two are exact in float, and summed by one
// instruction, which takes subnormals for 0 (what they add is beyond what a sum above kLeastSquares can hold). Minimum and maximum are
// those of 16-bit integers that are ordered like the elements.
struct DotPartial {
  __m512 sum, magnitudes, squares;
  __m512i least, largest, nonzero;

  VIGIL_FORCE_INLINE DotPartial() noexcept
      : sum(_mm512_setzero_ps()),
        magnitudes(sum),
        squares(sum),
        least(_mm512_set1_epi16(0x7fff)),
        largest(_mm512_set1_epi16(-0x8000)),
        nonzero(_mm512_setzero_si512()) {}

  // The lanes without an element are 0.
  VIGIL_FORCE_INLINE void take(__m512i bits, __mmask32 elements) noexcept {
    const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi16(0x7fff));
    const __m512i key = _mm512_ternarylogic_epi32(bits, _mm512_srai_epi16(bits, 15), _mm512_set1_epi16(0x7fff), 0x78);  // a ^ (b & c)
    const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
    sum = _mm512_dpbf16_ps(sum, (__m512bh)bits, ones);
    magnitudes = _mm512_dpbf16_ps(magnitudes, (__m512bh)magnitude, ones);
    squares = _mm512_dpbf16_ps(squares, (__m512bh)bits, (__m512bh)bits);
    least = _mm512_mask_min_epi16(least, elements, least, key);
    largest = _mm512_mask_max_epi16(largest, elements, largest, key);
    nonzero = _mm512_add_epi16(nonzero, _mm512_min_epu16(magnitude, _mm512_set1_epi16(1)));
  }
};

// The element that stands at a key.
double from_key(int key) noexcept {
  const int bits = key ^ ((key >> 15) & 0x7fff);
  return static_cast<double>(float_from_bfloat16(static_cast<std::uint16_t>(bits)));
}

template <class Layout, std::size_t... I>
VIGIL_FORCE_INLINE void take_dots(DotPartial (&partials)[4], const Layout& layout, const unsigned char* data, std::size_t ahead,
                                  std::index_sequence<I...>) noexcept {
  (partials[I].take(load_and_prefetch<BF16Pairs, I>(layout, data, ahead), ~__mmask32{0}), ...);
}

template <class Layout>
VIGIL_FORCE_INLINE BlockSums dot_sums_of_blocks(const Layout& layout, const Blocks& blocks, std::size_t ahead) noexcept {
  constexpr std::size_t kLanes = BF16Pairs::V::kLanes, kPartials = 4, kGroup = kLanes * kPartials;
  constexpr std::size_t kGroupsPerSum = Floats::kTermsPerSum / 2;  // an instruction adds two terms to a lane
  DotPartial partials[kPartials];
  WideSums<Floats> sums;
  const unsigned char* data = blocks.data;
  for (std::size_t groups = blocks.count / kGroup; groups > 0;) {
    const std::size_t here = std::min(groups, kGroupsPerSum);
    for (std::size_t g = 0; g < here; ++g, data += layout.step(kPartials))
      take_dots(partials, layout, data, ahead, std::make_index_sequence<kPartials>{});
    sums.take(partials);
    groups -= here;
  }
  for (std::size_t rest = blocks.count % kGroup; rest > 0; data += 64) {
    const std::size_t lanes = std::min(rest, kLanes);
    const __mmask32 elements = lanes == kLanes ? ~__mmask32{0} : (__mmask32{1} << lanes) - 1;
    partials[0].take(_mm512_maskz_loadu_epi16(elements, data), elements);
    rest -= lanes;
  }
  sums.take(partials);

  __m512i least = partials[0].least, largest = partials[0].largest, nonzero = partials[0].nonzero;
  for (std::size_t i = 1; i < kPartials; ++i) {
    least = _mm512_min_epi16(least, partials[i].least);
    largest = _mm512_max_epi16(largest, partials[i].largest);
    nonzero = _mm512_add_epi16(nonzero, partials[i].nonzero);
  }
  // To 32 bits: both halves of each word.
  const __m512i least_words = _mm512_min_epi32(_mm512_srai_epi32(least, 16), _mm512_srai_epi32(_mm512_slli_epi32(least, 16), 16));
  const __m512i largest_words = _mm512_max_epi32(_mm512_srai_epi32(largest, 16), _mm512_srai_epi32(_mm512_slli_epi32(largest, 16), 16));
  const __m512i nonzero_words = _mm512_add_epi32(_mm512_srli_epi32(nonzero, 16), _mm512_and_si512(nonzero, _mm512_set1_epi32(0xffff)));
  return {Floats::total(sums.sum),
          Floats::total(sums.magnitudes),
          Floats::total(sums.squares),
          from_key(_mm512_reduce_min_epi32(least_words)),
          from_key(_mm512_reduce_max_epi32(largest_words)),
          Floats::total_counts(nonzero_words)};
}

struct DotMomentsOf {
  static constexpr bool kInStreams = true;
  Moments total;

  // Called, not inlined: for_blocks is not of this instruction set.
  template <class Layout>
  void take(const Layout& layout, const Blocks& blocks, std::size_t ahead) noexcept {
    merge(total, moments_of_sums<BF16>(dot_sums_of_blocks(layout, blocks, ahead), blocks));
  }
};

Moments dot_moments(const unsigned char* data, std::size_t count) noexcept {
  DotMomentsOf reduction;
  for_blocks<BF16Pairs>(data, count, reduction);
  return reduction.total;
}

}  // namespace
}  // namespace vigil::avx512

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace vigil {
namespace {

bool has_avx512() noexcept {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2") && has_f16c();
}

bool has_avx512_bf16() noexcept { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }

}  // namespace

const Kernel* avx512_kernel() noexcept {
  using namespace avx512;
  static constexpr Kernel kernel{
      "avx512", has_avx512, {functions_of<F32>(), functions_of<F64>(), functions_of<BF16>(), functions_of<F16>()}};
  return &kernel;
}

const Kernel* avx512_bf16_kernel() noexcept {
  using namespace avx512;
  static constexpr KernelFunctions kBFloat16{dot_moments, moments_and_histogram<BF16>, moments_and_update<BF16>, squares<BF16>};
  static constexpr Kernel kernel{
      "avx512_bf16", has_avx512_bf16, {functions_of<F32>(), functions_of<F64>(), kBFloat16, functions_of<F16>()}};
  return &kernel;
}

}  // namespace vigil

#else

namespace vigil {

const Kernel* avx512_kernel() noexcept { return nullptr; }
const Kernel* avx512_bf16_kernel() noexcept { return nullptr; }

}  // namespace vigil

#endif
