// One block of elements, reduced in double precision: the specification that every kernel must match, and what the vector kernels fall
// back to for the blocks that their own arithmetic cannot hold. Included once per kernel, inside its namespace, so that each has a copy
// compiled for its own instruction set and none leaks into another. Therefore no include guard and no #include; <algorithm>, <cmath>,
// <cstring>, <limits> and kernel_table.h come before it.

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// How the bits of an element type are read. NaN, Inf and zero are asked of the bits, so no compiler flag can decide otherwise.
struct Float32 {
  using Bits = std::uint32_t;
  static constexpr Bits kMagnitude = 0x7fffffffu, kExponent = 0x7f800000u;
  static double value(Bits bits) noexcept {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return static_cast<double>(x);
  }
};
struct Float64 {
  using Bits = std::uint64_t;
  static constexpr Bits kMagnitude = 0x7fffffffffffffffu, kExponent = 0x7ff0000000000000u;
  static double value(Bits bits) noexcept {
    double x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
  }
};
struct BFloat16 {
  using Bits = std::uint16_t;
  static constexpr Bits kMagnitude = 0x7fffu, kExponent = 0x7f80u;
  static double value(Bits bits) noexcept { return static_cast<double>(float_from_bfloat16(bits)); }
};
struct Float16 {
  using Bits = std::uint16_t;
  static constexpr Bits kMagnitude = 0x7fffu, kExponent = 0x7c00u;
  static double value(Bits bits) noexcept { return static_cast<double>(float_from_float16(bits)); }
};

template <class Element>
typename Element::Bits load_bits(const unsigned char* data, std::size_t index) noexcept {
  typename Element::Bits bits;
  std::memcpy(&bits, data + index * sizeof bits, sizeof bits);  // any alignment
  return bits;
}

template <class Element>
constexpr std::size_t bytes_of(std::size_t count) noexcept {
  return count * sizeof(typename Element::Bits);
}

// The exponent to scale a block of float64 by, so that squares stay within double; 0 where they do anyhow.
inline int block_scale(const unsigned char* data, std::size_t count) noexcept {
  std::uint64_t largest = 0;
#pragma omp simd reduction(max : largest)
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t magnitude = load_bits<Float64>(data, i) & Float64::kMagnitude;
    const std::uint64_t finite = magnitude < Float64::kExponent ? magnitude : 0;
    largest = std::max(largest, finite);
  }
  if (largest == 0) return 0;
  const int exponent = std::ilogb(Float64::value(largest));
  // 4096 squares of 2^400 and of 2^-400 are far inside the range. Beyond ±1000 the factor itself would leave it.
  return exponent >= -400 && exponent <= 400 ? 0 : std::clamp(exponent, -1000, 1000);
}

// One block, at most kBlock elements, looked at twice while it lies in a cache.
template <class Element>
Moments scaled_block_moments(const unsigned char* data, std::size_t count, int scale_exponent) noexcept {
  using Bits = typename Element::Bits;
  const double scale = scale_exponent == 0 ? 1.0 : std::ldexp(1.0, -scale_exponent);
  std::uint64_t nan = 0, inf = 0, zero = 0;
  double least = kInfinity, largest = -kInfinity, sum = 0, magnitude_sum = 0, squares = 0;
#pragma omp simd reduction(+ : nan, inf, zero, sum, magnitude_sum, squares) reduction(min : least) reduction(max : largest)
  for (std::size_t i = 0; i < count; ++i) {
    const Bits bits = load_bits<Element>(data, i);
    const Bits magnitude = bits & Element::kMagnitude;
    nan += magnitude > Element::kExponent;
    inf += magnitude == Element::kExponent;
    zero += magnitude == 0;
    const bool finite = magnitude < Element::kExponent;
    const double value = Element::value(bits);
    const double low = finite ? value : kInfinity, high = finite ? value : -kInfinity;
    least = low < least ? low : least;
    largest = high > largest ? high : largest;
    const double x = (finite ? value : 0.0) * scale;
    sum += x;
    magnitude_sum += std::fabs(x);
    squares += x * x;
  }
  Moments block;
  block.count = count;
  block.nan_count = nan;
  block.inf_count = inf;
  block.zero_count = zero;
  const std::uint64_t n = finite_count(block);
  if (n == 0) return block;

  // Of equal elements the mean is their value, whatever the sum was rounded to: a constant tensor has no deviation at all.
  const double mean = least == largest ? least * scale : sum / static_cast<double>(n);
  double deviations = 0;
#pragma omp simd reduction(+ : deviations)
  for (std::size_t i = 0; i < count; ++i) {
    const Bits bits = load_bits<Element>(data, i);
    const bool finite = (bits & Element::kMagnitude) < Element::kExponent;
    const double deviation = finite ? Element::value(bits) * scale - mean : 0.0;
    deviations += deviation * deviation;
  }
  block.min = least;
  block.max = largest;
  block.mean = scale_exponent == 0 ? mean : std::ldexp(mean, scale_exponent);
  block.l1 = scale_exponent == 0 ? magnitude_sum : std::ldexp(magnitude_sum, scale_exponent);
  block.m2 = deviations;
  block.sum_squares = squares;
  block.scale_exponent = scale_exponent;
  return block;
}

template <class Element>
Moments block_moments(const unsigned char* data, std::size_t count) noexcept {
  int scale_exponent = 0;
  if constexpr (sizeof(typename Element::Bits) == 8) scale_exponent = block_scale(data, count);
  return scaled_block_moments<Element>(data, count, scale_exponent);
}

// Infinite or NaN when an element is, or when squares of float64 leave the range of double.
template <class Element>
double block_squares(const unsigned char* data, std::size_t count) noexcept {
  double squares = 0;
#pragma omp simd reduction(+ : squares)
  for (std::size_t i = 0; i < count; ++i) {
    const double x = Element::value(load_bits<Element>(data, i));
    squares += x * x;
  }
  return squares;
}

// Adds a block to the histogram, one element after the other.
template <class Element>
void block_histogram(const unsigned char* data, std::size_t count, MagnitudeHistogram& histogram) noexcept {
  // |x| as a double has the exponent of a normal number, whatever it was before; 2^k less one unit in the last place has that of the bucket
  // that 2^k ends.
  constexpr std::int64_t kBias = 1023 + MagnitudeHistogram::kLowestExponent;
  std::uint64_t counts[MagnitudeHistogram::kBuckets + 2] = {};
  for (std::size_t i = 0; i < count; ++i) {
    const auto bits = load_bits<Element>(data, i);
    const auto magnitude = bits & Element::kMagnitude;
    if (magnitude == 0 || magnitude >= Element::kExponent) continue;
    const double value = std::fabs(Element::value(bits));
    std::uint64_t wide;
    std::memcpy(&wide, &value, sizeof wide);
    const std::int64_t bucket = static_cast<std::int64_t>((wide - 1) >> 52) - kBias;
    ++counts[std::clamp<std::int64_t>(bucket, -1, MagnitudeHistogram::kBuckets) + 1];
  }
  histogram.underflow += counts[0];
  for (std::size_t i = 0; i < MagnitudeHistogram::kBuckets; ++i) histogram.buckets[i] += counts[i + 1];
  histogram.overflow += counts[MagnitudeHistogram::kBuckets + 1];
}

// Sum of (x - previous)² where both are finite. Squares of float64 may leave the range of double.
template <class Element>
double block_update_squares(const unsigned char* data, const unsigned char* previous, std::size_t count) noexcept {
  double squares = 0;
#pragma omp simd reduction(+ : squares)
  for (std::size_t i = 0; i < count; ++i) {
    const auto bits = load_bits<Element>(data, i), before = load_bits<Element>(previous, i);
    const bool finite = (bits & Element::kMagnitude) < Element::kExponent && (before & Element::kMagnitude) < Element::kExponent;
    const double difference = finite ? Element::value(bits) - Element::value(before) : 0.0;
    squares += difference * difference;
  }
  return squares;
}
