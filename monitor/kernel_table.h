// What a kernel is: one implementation of the reductions of reduction.h for all element types.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "vigil/monitor/dtype.h"
#include "vigil/monitor/magnitude_histogram.h"
#include "vigil/monitor/moments.h"

namespace vigil {

/// For the small functions of a kernel: one that is not inlined costs more than it does.
#define VIGIL_FORCE_INLINE [[gnu::always_inline]] inline

/// Elements of a block: 32 KiB of float64 at most. A kernel reduces one, or the four where its streams stand, before it merges them into
/// the whole, so that a second look comes from the first-level cache, or with streams from the second-level one.
inline constexpr std::size_t kBlock = 4096;

/// What the bits of |x| are above, as a float and as a double, where |x| belongs to the first bucket of a histogram or a higher one: the
/// bits less this, shifted down to the exponent, are the index of the bucket, and more than any index below.
inline constexpr std::uint32_t kFirstBucketOfFloat = ((127u + static_cast<std::uint32_t>(MagnitudeHistogram::kLowestExponent)) << 23) + 1;
inline constexpr std::uint64_t kFirstBucketOfDouble =
    ((1023ull + static_cast<std::uint64_t>(std::int64_t{MagnitudeHistogram::kLowestExponent})) << 52) + 1;
/// The same of the overflow, above the last bucket.
inline constexpr std::uint32_t kOverflowOfFloat = kFirstBucketOfFloat + (std::uint32_t{MagnitudeHistogram::kBuckets} << 23);
inline constexpr std::uint64_t kOverflowOfDouble = kFirstBucketOfDouble + (std::uint64_t{MagnitudeHistogram::kBuckets} << 52);

/// The reductions for one element type. `data` has any alignment; none allocates or throws. All expect the default floating-point
/// environment.
struct KernelFunctions {
  Moments (*moments)(const unsigned char* data, std::size_t count) noexcept;
  /// The same, and adds to `histogram`.
  Moments (*moments_and_histogram)(const unsigned char* data, std::size_t count, MagnitudeHistogram& histogram) noexcept;
  /// Moments, and the sum of (x - previous)² over pairs of finite elements, added to `squares`; then, with `keep`, previous := data.
  /// Squares of float64 may leave the range of double.
  Moments (*moments_and_update)(const unsigned char* data, unsigned char* previous, std::size_t count, bool keep, double& squares) noexcept;
  /// Sum of x²: infinite or NaN when an element is. Squares of float64 may leave the range of double.
  double (*squares)(const unsigned char* data, std::size_t count) noexcept;
};

struct Kernel {
  std::string_view name;
  bool (*is_supported)() noexcept;           ///< by this processor and its operating system
  std::array<KernelFunctions, 4> functions;  ///< by DType
};

/// Whether the processor converts float16 (F16C), which clang's __builtin_cpu_supports does not know; that the operating system keeps its
/// registers follows from AVX2.
bool has_f16c() noexcept;

/// Null where the kernel is not compiled in.
const Kernel* portable_kernel() noexcept;
const Kernel* vector128_kernel() noexcept;
const Kernel* avx2_kernel() noexcept;
const Kernel* avx512_kernel() noexcept;
const Kernel* avx512_bf16_kernel() noexcept;

}  // namespace vigil
