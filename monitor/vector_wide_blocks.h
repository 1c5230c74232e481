// One block of elements, reduced in double precision by the vector arithmetic of an instruction set: what block_moments and the others of
// scalar_blocks.h do, for blocks that hold non-finite elements or whose squares leave the range of float. Included once per instruction
// set, between scalar_blocks.h and vector_blocks.h, whose vectors and element types it uses: no include guard, no #include.

// Elements of a block that are not finite, and sums over those that are.
template <class V>
struct FiniteSums {
  typename V::Wide sum, magnitudes, squares;
  typename V::Vector least, largest;
  typename V::Bits nonzero, nonfinite, nan;

  VIGIL_FORCE_INLINE FiniteSums() noexcept
      : sum(V::no_wide()),
        magnitudes(V::no_wide()),
        squares(V::no_wide()),
        least(V::splat(kInfinity)),
        largest(V::splat(-kInfinity)),
        nonzero(V::no_bits()),
        nonfinite(V::no_bits()),
        nan(V::no_bits()) {}

  VIGIL_FORCE_INLINE void take(typename V::Vector x) noexcept {
    const typename V::Vector magnitude = V::abs(x);
    const auto is_nonfinite = V::at_least(magnitude, V::kInfinityBits);
    nonzero = V::count_nonzero(nonzero, magnitude);
    nonfinite = V::count_lanes(nonfinite, is_nonfinite);
    nan = V::count_lanes(nan, V::at_least(magnitude, V::kInfinityBits + 1));
    least = V::min(least, V::select(is_nonfinite, V::splat(kInfinity), x));
    largest = V::max(largest, V::select(is_nonfinite, V::splat(-kInfinity), x));
    const typename V::Vector finite = V::select(is_nonfinite, V::zero(), x);
    V::add_deviations(sum, squares, finite, V::zero());
    magnitudes = V::widen_and_add(magnitudes, V::abs(finite));
  }
};

// Sums of x - center and of its square over the finite elements.
template <class V>
struct FiniteDeviations {
  typename V::Vector center;
  typename V::Wide sum, squares;

  VIGIL_FORCE_INLINE explicit FiniteDeviations(double at) noexcept : center(V::splat(at)), sum(V::no_wide()), squares(V::no_wide()) {}
  VIGIL_FORCE_INLINE void take(typename V::Vector x) noexcept {
    V::add_deviations(sum, squares, V::select(V::at_least(V::abs(x), V::kInfinityBits), center, x), center);
  }
};

// Elements above the last bucket of a histogram, and those among them that are not finite.
template <class V>
struct BeyondBuckets {
  static constexpr auto kLeast = static_cast<typename V::Word>(sizeof(typename V::Word) == 4 ? kOverflowOfFloat : kOverflowOfDouble);
  typename V::Bits all, nonfinite;

  VIGIL_FORCE_INLINE BeyondBuckets() noexcept : all(V::no_bits()), nonfinite(V::no_bits()) {}
  VIGIL_FORCE_INLINE void take(typename V::Vector x) noexcept {
    const typename V::Vector magnitude = V::abs(x);
    all = V::count_lanes(all, V::at_least(magnitude, kLeast));
    nonfinite = V::count_lanes(nonfinite, V::at_least(magnitude, V::kInfinityBits));
  }
};

// Has `sums` take all elements, the last vector filled up with infinities. Returns how many these are.
template <class E, class Sums>
VIGIL_FORCE_INLINE std::size_t take_block(const unsigned char* data, std::size_t count, Sums& sums) noexcept {
  using V = typename E::V;
  for (; count >= V::kLanes; count -= V::kLanes, data += bytes_of<typename E::Scalar>(V::kLanes)) sums.take(E::load(data));
  if (count == 0) return 0;
  sums.take(V::select(V::first_lanes(count), E::load_partial(data, count), V::splat(kInfinity)));
  return V::kLanes - count;
}

// The moments of a block. Squares of float64 that leave the range of double are left to block_moments.
template <class E>
Moments wide_block_moments(const unsigned char* data, std::size_t count) noexcept {
  using V = typename E::V;
  FiniteSums<V> sums;
  const std::size_t fill = take_block<E>(data, count, sums);
  const double squares = V::total(sums.squares);
  const std::uint64_t nonfinite = V::total_counts(sums.nonfinite), nonzero = V::total_counts(sums.nonzero);
  if (!is_finite_bits(squares) || (squares < Doubles::kLeastSquares && nonzero > nonfinite))
    return block_moments<typename E::Scalar>(data, count);
  Moments block;
  block.count = count;
  block.nan_count = V::total_counts(sums.nan);
  block.inf_count = nonfinite - block.nan_count - fill;
  block.zero_count = count + fill - nonzero;
  const std::uint64_t finite = finite_count(block);
  if (finite == 0) return block;
  const double n = static_cast<double>(finite);
  block.min = V::least(sums.least);
  block.max = V::largest(sums.largest);
  block.l1 = V::total(sums.magnitudes);
  block.sum_squares = squares;
  // Of equal elements the mean is their value, whatever the sum was rounded to.
  const double center = block.min == block.max ? block.min : V::representable(V::total(sums.sum) / n);
  FiniteDeviations<V> deviations(center);
  take_block<E>(data, count, deviations);
  const double sum = V::total(deviations.sum);
  block.mean = center + sum / n;
  block.m2 = std::max(V::total(deviations.squares) - sum * (sum / n), 0.0);
  return block;
}

// As block_squares.
template <class E>
double wide_block_squares(const unsigned char* data, std::size_t count) noexcept {
  using V = typename E::V;
  typename V::Wide sum = V::no_wide(), squares = V::no_wide();
  for (; count >= V::kLanes; count -= V::kLanes, data += bytes_of<typename E::Scalar>(V::kLanes))
    V::add_deviations(sum, squares, E::load(data), V::zero());
  if (count > 0) V::add_deviations(sum, squares, E::load_partial(data, count), V::zero());
  return V::total(squares);
}

// As block_update_squares.
template <class E>
double wide_block_update_squares(const unsigned char* data, const unsigned char* previous, std::size_t count) noexcept {
  using V = typename E::V;
  typename V::Wide sum = V::no_wide(), squares = V::no_wide();
  while (count > 0) {
    const bool is_whole = count >= V::kLanes;
    const std::size_t lanes = is_whole ? V::kLanes : count;
    const typename V::Vector x = is_whole ? E::load(data) : E::load_partial(data, lanes);
    const typename V::Vector before = is_whole ? E::load(previous) : E::load_partial(previous, lanes);
    const auto x_is_nonfinite = V::at_least(V::abs(x), V::kInfinityBits), before_is = V::at_least(V::abs(before), V::kInfinityBits);
    // Where one is not finite the two are made equal: to the other, or both to 0.
    V::add_deviations(sum, squares, V::select(before_is, V::zero(), V::select(x_is_nonfinite, before, x)),
                      V::select(before_is, V::zero(), before));
    count -= lanes;
    data += bytes_of<typename E::Scalar>(lanes);
    previous += bytes_of<typename E::Scalar>(lanes);
  }
  return V::total(squares);
}

// Finite elements of a block above the last bucket of a histogram.
template <class E>
std::uint64_t count_beyond(const unsigned char* data, std::size_t count) noexcept {
  using V = typename E::V;
  BeyondBuckets<V> beyond;
  take_block<E>(data, count, beyond);  // what fills it up is in both counts
  return V::total_counts(beyond.all) - V::total_counts(beyond.nonfinite);
}
