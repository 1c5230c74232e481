// The kernel for any processor with vectors of 128 bits: NEON of aarch64, SSE2 of x86-64. In the vector types of GCC and clang, which each
// makes into its processor's instructions.
#include "vigil/monitor/kernel_table.h"

#if defined(__GNUC__) && (defined(__aarch64__) || defined(__x86_64__))

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace vigil::vector128 {
namespace {

#include "vigil/monitor/scalar_blocks.h"

template <class T, std::size_t kLanes>
struct VectorOf {
  typedef T Type __attribute__((vector_size(sizeof(T) * kLanes)));
};
using Words = VectorOf<std::uint32_t, 4>::Type;
using LongWords = VectorOf<std::uint64_t, 2>::Type;
using Bytes = VectorOf<std::uint8_t, 16>::Type;
using TwoFloats = VectorOf<float, 2>::Type;
using FourFloats = VectorOf<float, 4>::Type;
using TwoDoubles = VectorOf<double, 2>::Type;
using FourShorts = VectorOf<std::uint16_t, 4>::Type;

template <class To, class From>
VIGIL_FORCE_INLINE To bit_cast(From from) noexcept {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

template <class T>
VIGIL_FORCE_INLINE T load_vector(const unsigned char* data) noexcept {
  T x;
  std::memcpy(&x, data, sizeof x);
  return x;
}

// The first `bytes` bytes, the others 0.
template <class T>
VIGIL_FORCE_INLINE T load_first(const unsigned char* data, std::size_t bytes) noexcept {
  T x{};
  std::memcpy(&x, data, bytes);
  return x;
}

// Operations on the lanes of `Vector_`; `Bits_` are integers of the same size and number.
template <class Vector_, class Bits_>
struct Lanewise {
  using Vector = Vector_;
  using Bits = Bits_;
  using Lanes = Bits;

  template <class T>
  VIGIL_FORCE_INLINE static T settle(T x) noexcept {
#if defined(__aarch64__)
    asm("" : "+w"(x));
#else
    asm("" : "+x"(x));
#endif
    return x;
  }
  VIGIL_FORCE_INLINE static Vector zero() noexcept { return Vector{}; }
  VIGIL_FORCE_INLINE static Vector add(Vector a, Vector b) noexcept { return a + b; }
  VIGIL_FORCE_INLINE static Vector subtract(Vector a, Vector b) noexcept { return a - b; }
  VIGIL_FORCE_INLINE static Vector multiply_add(Vector a, Vector b, Vector c) noexcept { return a * b + c; }
  VIGIL_FORCE_INLINE static Vector select(Lanes lanes, Vector a, Vector b) noexcept {
    return bit_cast<Vector>((bits(a) & lanes) | (bits(b) & ~lanes));
  }
  VIGIL_FORCE_INLINE static Vector min(Vector a, Vector b) noexcept { return a < b ? a : b; }
  VIGIL_FORCE_INLINE static Vector max(Vector a, Vector b) noexcept { return a > b ? a : b; }
  VIGIL_FORCE_INLINE static Bits no_bits() noexcept { return Bits{}; }
  VIGIL_FORCE_INLINE static Bits bits(Vector x) noexcept { return bit_cast<Bits>(x); }
  VIGIL_FORCE_INLINE static Bits either(Bits a, Bits b) noexcept { return a | b; }
  VIGIL_FORCE_INLINE static Bits count_nonzero(Bits counts, Vector magnitude) noexcept {
    return counts - bit_cast<Bits>(bits(magnitude) != Bits{});  // a comparison that holds is -1
  }
  VIGIL_FORCE_INLINE static Bits add_counts(Bits a, Bits b) noexcept { return a + b; }
  VIGIL_FORCE_INLINE static Bits count_lanes(Bits counts, Lanes lanes) noexcept { return counts - lanes; }
};

// Registers: 32 on aarch64, 16 on x86-64.
#if defined(__aarch64__)
constexpr std::size_t kSums = 4;
#else
constexpr std::size_t kSums = 2;
#endif

struct Doubles : Lanewise<TwoDoubles, LongWords> {
  using Wide = TwoDoubles;
  using Word = std::uint64_t;
  static constexpr Word kInfinityBits = Float64::kExponent;
  static constexpr std::size_t kLanes = 2, kAccumulators = kSums, kTermsPerSum = 512, kVectorsPerWord = 2;
  static constexpr bool kCountsInStreams = false;
  static constexpr double kLeastSquares = 1e-240;

  VIGIL_FORCE_INLINE static Vector splat(double x) noexcept { return Vector{x, x}; }
  static double representable(double x) noexcept { return x; }
  VIGIL_FORCE_INLINE static Vector abs(Vector x) noexcept {
    constexpr std::uint64_t kMagnitude = Float64::kMagnitude;
    return bit_cast<Vector>(bits(x) & LongWords{kMagnitude, kMagnitude});
  }
  VIGIL_FORCE_INLINE static double least(Vector x) noexcept { return std::min(x[0], x[1]); }
  VIGIL_FORCE_INLINE static double largest(Vector x) noexcept { return std::max(x[0], x[1]); }
  VIGIL_FORCE_INLINE static Lanes first_lanes(std::size_t n) noexcept { return bit_cast<Lanes>(LongWords{0, 1} < LongWords{n, n}); }

  VIGIL_FORCE_INLINE static Wide no_wide() noexcept { return zero(); }
  VIGIL_FORCE_INLINE static Wide widen_and_add(Wide sum, Vector x) noexcept { return sum + x; }
  VIGIL_FORCE_INLINE static void add_deviations(Wide& sum, Wide& squares, Vector x, Vector center) noexcept {
    const Wide difference = x - center;
    sum += difference;
    squares += difference * difference;
  }
  VIGIL_FORCE_INLINE static double total(Wide x) noexcept { return x[0] + x[1]; }

  VIGIL_FORCE_INLINE static Lanes at_least(Vector magnitude, Word least) noexcept {
    return bit_cast<Lanes>(bits(magnitude) >= LongWords{least, least});
  }
  VIGIL_FORCE_INLINE static bool has_any_bit(Bits x) noexcept { return (x[0] | x[1]) != 0; }
  VIGIL_FORCE_INLINE static std::uint64_t total_counts(Bits counts) noexcept { return counts[0] + counts[1]; }

  // Of two vectors; the order of the words has no meaning.
  VIGIL_FORCE_INLINE static Words one_hot(Vector a, Vector b) noexcept;
};

struct Floats : Lanewise<FourFloats, Words> {
  using Wide = TwoDoubles;
  using Word = std::uint32_t;
  static constexpr Word kInfinityBits = Float32::kExponent;
  static constexpr std::size_t kLanes = 4, kAccumulators = kSums, kTermsPerSum = 16, kVectorsPerWord = 1;
  static constexpr bool kCountsInStreams = false;
  static constexpr double kLeastSquares = 1e-25;  // below, squares may have been lost to underflow

  VIGIL_FORCE_INLINE static Vector splat(double x) noexcept {
    const float f = static_cast<float>(x);
    return Vector{f, f, f, f};
  }
  static double representable(double x) noexcept { return static_cast<double>(static_cast<float>(x)); }
  VIGIL_FORCE_INLINE static Vector abs(Vector x) noexcept { return bit_cast<Vector>(bits(x) & words(Float32::kMagnitude)); }
  VIGIL_FORCE_INLINE static double least(Vector x) noexcept {
    return static_cast<double>(std::min(std::min(x[0], x[1]), std::min(x[2], x[3])));
  }
  VIGIL_FORCE_INLINE static double largest(Vector x) noexcept {
    return static_cast<double>(std::max(std::max(x[0], x[1]), std::max(x[2], x[3])));
  }
  VIGIL_FORCE_INLINE static Lanes first_lanes(std::size_t n) noexcept {
    return bit_cast<Lanes>(Words{0, 1, 2, 3} < words(static_cast<std::uint32_t>(n)));
  }

  VIGIL_FORCE_INLINE static Wide no_wide() noexcept { return Wide{}; }
  VIGIL_FORCE_INLINE static Wide widen_and_add(Wide sum, Vector x) noexcept { return sum + (low_half(x) + high_half(x)); }
  // Adds x - center to `sum` and its square to `squares`.
  VIGIL_FORCE_INLINE static void add_deviations(Wide& sum, Wide& squares, Vector x, Vector center) noexcept {
    const Wide low = low_half(x) - low_half(center), high = high_half(x) - high_half(center);
    sum += low + high;
    squares += low * low + high * high;
  }
  VIGIL_FORCE_INLINE static double total(Wide x) noexcept { return x[0] + x[1]; }

  VIGIL_FORCE_INLINE static Lanes at_least(Vector magnitude, Word least) noexcept {
    return bit_cast<Lanes>(bits(magnitude) >= words(least));
  }
  VIGIL_FORCE_INLINE static bool has_any_bit(Bits x) noexcept { return Doubles::has_any_bit(bit_cast<LongWords>(x)); }
  VIGIL_FORCE_INLINE static std::uint64_t total_counts(Bits counts) noexcept { return total_words(counts); }

  // For each element bit i of its word, where bucket i of a histogram counts it; 0 where none does.
  VIGIL_FORCE_INLINE static Bits one_hot(Vector magnitude) noexcept { return bit_of((bits(magnitude) - words(kFirstBucketOfFloat)) >> 23); }
  VIGIL_FORCE_INLINE static Bits bit_of(Bits bucket) noexcept {
    return (words(1) << (bucket & 31)) & bit_cast<Bits>(bucket < words(32));  // a shift by more is undefined
  }
  // state := its sum with a and b without carry; returns the carries.
  VIGIL_FORCE_INLINE static Bits carry_save_add(Bits& state, Bits a, Bits b) noexcept {
    const Bits different = state ^ a, carries = (state & a) | (different & b);
    state = different ^ b;
    return carries;
  }
  VIGIL_FORCE_INLINE static Bits low_bit_of_bytes(Bits x, int shift) noexcept {
    return (x >> static_cast<std::uint32_t>(shift)) & words(0x01010101);
  }
  VIGIL_FORCE_INLINE static Bits add_bytes(Bits a, Bits b) noexcept { return bit_cast<Bits>(bit_cast<Bytes>(a) + bit_cast<Bytes>(b)); }
  VIGIL_FORCE_INLINE static Bits even_bytes(Bits x) noexcept { return x & words(0x00ff00ff); }
  VIGIL_FORCE_INLINE static Bits odd_bytes(Bits x) noexcept { return even_bytes(x >> 8); }
  VIGIL_FORCE_INLINE static std::uint32_t total_words(Bits x) noexcept { return x[0] + x[1] + x[2] + x[3]; }

 private:
  VIGIL_FORCE_INLINE static Words words(std::uint32_t x) noexcept { return Words{x, x, x, x}; }
  VIGIL_FORCE_INLINE static Wide low_half(Vector x) noexcept { return __builtin_convertvector(TwoFloats{x[0], x[1]}, Wide); }
  VIGIL_FORCE_INLINE static Wide high_half(Vector x) noexcept { return __builtin_convertvector(TwoFloats{x[2], x[3]}, Wide); }
};

Words Doubles::one_hot(Vector a, Vector b) noexcept {
  const LongWords base{kFirstBucketOfDouble, kFirstBucketOfDouble};
  const LongWords first = (bits(a) - base) >> 52, second = (bits(b) - base) >> 52;
  const auto word = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  return Floats::bit_of(Words{word(first[0]), word(first[1]), word(second[0]), word(second[1])});
}

// An element type of which a vector lies in memory as `Stored`; `Self::widen` makes it one of V_'s.
template <class Self, class V_, class Scalar_, class Stored>
struct ElementType {
  using V = V_;
  using Scalar = Scalar_;
  VIGIL_FORCE_INLINE static typename V::Vector load(const unsigned char* data) noexcept { return Self::widen(load_vector<Stored>(data)); }
  VIGIL_FORCE_INLINE static typename V::Vector load_partial(const unsigned char* data, std::size_t n) noexcept {
    return Self::widen(load_first<Stored>(data, bytes_of<Scalar>(n)));
  }
};
struct F32 : ElementType<F32, Floats, Float32, FourFloats> {
  VIGIL_FORCE_INLINE static FourFloats widen(FourFloats x) noexcept { return x; }
};
struct F64 : ElementType<F64, Doubles, Float64, TwoDoubles> {
  VIGIL_FORCE_INLINE static TwoDoubles widen(TwoDoubles x) noexcept { return x; }
};
struct BF16 : ElementType<BF16, Floats, BFloat16, FourShorts> {
  VIGIL_FORCE_INLINE static FourFloats widen(FourShorts x) noexcept {
    return bit_cast<FourFloats>(__builtin_convertvector(x, Words) << 16);
  }
};
struct F16 : ElementType<F16, Floats, Float16, FourShorts> {
  VIGIL_FORCE_INLINE static FourFloats widen(FourShorts x) noexcept {
#if defined(__aarch64__)
    typedef __fp16 FourHalves __attribute__((vector_size(8)));
    return __builtin_convertvector(bit_cast<FourHalves>(x), FourFloats);
#else
    return FourFloats{float_from_float16(x[0]), float_from_float16(x[1]), float_from_float16(x[2]), float_from_float16(x[3])};
#endif
  }
};

#include "vigil/monitor/bit_counter.h"

#include "vigil/monitor/vector_wide_blocks.h"

#include "vigil/monitor/vector_blocks.h"

#include "vigil/monitor/vector_reductions.h"

bool is_supported() noexcept { return true; }

}  // namespace
}  // namespace vigil::vector128

namespace vigil {

const Kernel* vector128_kernel() noexcept {
  using namespace vector128;
  static constexpr Kernel kernel{
      "vector128", vector128::is_supported, {functions_of<F32>(), functions_of<F64>(), functions_of<BF16>(), functions_of<F16>()}};
  return &kernel;
}

}  // namespace vigil

#else

namespace vigil {

const Kernel* vector128_kernel() noexcept { return nullptr; }

}  // namespace vigil

#endif
