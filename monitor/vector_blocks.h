// One block of elements, reduced in the vector arithmetic of an instruction set. Included once per instruction set, inside its namespace
// and its target region (see scalar_blocks.h, which comes before it): no include guard, no #include.
//
// What the includer defines before it:
//   Floats, Doubles   vectors of an instruction set: `Vector`, `Bits` (the same register as integers), `Wide` (double sums), kLanes,
//                     kAccumulators (independent sums, as many as registers allow) and operations on them;
//   F32, F64, BF16, F16   element types: `V` (Floats or Doubles), `Scalar` (of scalar_blocks.h), load, load_partial (the rest zeros);
//   BitCounter            of bit_counter.h.
//
// Three tiers. The first sums in the vector's own precision, for at most kTermsPerSum terms to a sum before these are widened to double,
// and looks at no NaN. The second, where the mean is large against the deviations, sums again relative to the mean. The third, where the
// sum of squares is not finite or about to underflow, is block_moments of scalar_blocks.h.

// How far ahead of the sums memory is asked for. The processor's own prefetchers stop at the end of a page; this far, it is the next one's
// turn in time, also for passes with much to do for each element.
constexpr std::size_t kPrefetchBytes = 4096;

// Loads vector kVector of a group, and asks for the memory `ahead` of it, once for each cache line.
template <class E, std::size_t kVector>
VIGIL_FORCE_INLINE typename E::V::Vector load_and_prefetch(const unsigned char* group, std::size_t ahead) noexcept {
  constexpr std::size_t kOffset = kVector * bytes_of<typename E::Scalar>(E::V::kLanes);
  if constexpr (kOffset % 64 == 0) __builtin_prefetch(group + kOffset + ahead);
  return E::load(group + kOffset);
}

// What the first tier finds out about a block.
struct BlockSums {
  double sum = 0, magnitudes = 0, squares = 0;
  double least = 0, largest = 0;
  std::uint64_t nonzero = 0;
};

// One of the independent sums of a block.
template <class V>
struct Partial {
  typename V::Vector sum, magnitudes, squares, least, largest;
  typename V::Bits nonzero;

  // Written down, like the others here: one that the compiler makes is not of this instruction set.
  VIGIL_FORCE_INLINE Partial() noexcept
      : sum(V::zero()),
        magnitudes(V::zero()),
        squares(V::zero()),
        least(V::splat(kInfinity)),
        largest(V::splat(-kInfinity)),
        nonzero(V::no_bits()) {}

  VIGIL_FORCE_INLINE void take(typename V::Vector x, typename V::Vector magnitude) noexcept {
    least = V::min(least, x);
    largest = V::max(largest, x);
    take_sums(x, magnitude);
  }
  // Of a vector that the elements fill only in part; the other lanes are 0.
  VIGIL_FORCE_INLINE void take_first(std::size_t lanes, typename V::Vector x, typename V::Vector magnitude) noexcept {
    const auto is_element = V::first_lanes(lanes);
    least = V::min(least, V::select(is_element, x, least));
    largest = V::max(largest, V::select(is_element, x, largest));
    take_sums(x, magnitude);
  }

 private:
  VIGIL_FORCE_INLINE void take_sums(typename V::Vector x, typename V::Vector magnitude) noexcept {
    // Now, not at the end of a group: GCC would put the sums off and keep all their terms in memory meanwhile.
    sum = V::settle(V::add(sum, x));
    magnitudes = V::settle(V::add(magnitudes, magnitude));
    squares = V::settle(V::multiply_add(x, x, squares));
    nonzero = V::settle(V::count_nonzero(nonzero, magnitude));
  }
};

// What a pass does with each vector of a block beside the sums: nothing.
template <class E>
struct Plain {
  using V = typename E::V;
  static constexpr std::size_t kAccumulators = V::kAccumulators;
  static constexpr std::size_t kVectors = kAccumulators;  // of a group

  VIGIL_FORCE_INLINE void begin_block(const unsigned char*) noexcept {}
  VIGIL_FORCE_INLINE void group(Partial<V> (&partials)[kAccumulators], const unsigned char* data, std::size_t ahead) noexcept {
    group(partials, data, ahead, std::make_index_sequence<kVectors>{});
  }
  VIGIL_FORCE_INLINE void look_at(typename V::Vector, typename V::Vector, const unsigned char*, std::size_t) noexcept {}
  VIGIL_FORCE_INLINE void widen() noexcept {}
  VIGIL_FORCE_INLINE void end_block(const unsigned char*, std::size_t) noexcept {}

 private:
  template <std::size_t... I>
  VIGIL_FORCE_INLINE void group(Partial<V> (&partials)[kAccumulators], const unsigned char* data, std::size_t ahead,
                                std::index_sequence<I...>) noexcept {
    (take(partials[I], load_and_prefetch<E, I>(data, ahead)), ...);
  }
  VIGIL_FORCE_INLINE static void take(Partial<V>& partial, typename V::Vector x) noexcept { partial.take(x, V::abs(x)); }
};

// A pass that counts magnitudes too.
template <class E>
class Histogram {
 public:
  using V = typename E::V;
  static constexpr std::size_t kAccumulators = 2;
  static constexpr std::size_t kVectorsPerWord = V::kVectorsPerWord;  // vectors of elements whose exponents fill one of words
  static constexpr std::size_t kVectors = BitCounter::kWords * kVectorsPerWord;

  Histogram() noexcept {}
  VIGIL_FORCE_INLINE void begin_block(const unsigned char*) noexcept { pending_count_ = 0; }
  VIGIL_FORCE_INLINE void group(Partial<V> (&partials)[kAccumulators], const unsigned char* data, std::size_t ahead) noexcept {
    GroupReader reader{partials, data, ahead};
    bits_.take_group(reader);
  }
  // The last vectors of a block, fewer than a group.
  VIGIL_FORCE_INLINE void look_at(typename V::Vector, typename V::Vector magnitude, const unsigned char*, std::size_t) noexcept {
    pending_[pending_count_++] = magnitude;
  }
  VIGIL_FORCE_INLINE void widen() noexcept {}
  void end_block(const unsigned char*, std::size_t) noexcept {
    if (pending_count_ == 0) return;
    for (std::size_t i = pending_count_; i < kVectors; ++i) pending_[i] = V::zero();
    PendingReader reader{pending_};
    bits_.take_group(reader);
  }

  // Adds what was counted to `histogram`; `moments` and `beyond` (elements above the last bucket) are of the same elements.
  void finish(const Moments& moments, std::uint64_t beyond, MagnitudeHistogram& histogram) noexcept {
    const std::uint64_t* counts = bits_.finish();
    std::uint64_t within = 0;
    for (std::size_t i = 0; i < MagnitudeHistogram::kBuckets; ++i) {
      histogram.buckets[i] += counts[i];
      within += counts[i];
    }
    histogram.overflow += beyond;
    histogram.underflow += finite_count(moments) - moments.zero_count - within - beyond;
  }

 private:
  // Sums the vectors of a group while it reads their exponents.
  struct GroupReader {
    Partial<V> (&partials)[kAccumulators];
    const unsigned char* data;
    std::size_t ahead;

    template <std::size_t kWord>
    VIGIL_FORCE_INLINE BitCounter::Bits word() noexcept {
      if constexpr (kVectorsPerWord == 1) {
        return V::one_hot(take<kWord>());
      } else {
        return V::one_hot(take<2 * kWord>(), take<2 * kWord + 1>());
      }
    }
    template <std::size_t kVector>
    VIGIL_FORCE_INLINE typename V::Vector take() noexcept {
      const typename V::Vector x = load_and_prefetch<E, kVector>(data, ahead), magnitude = V::abs(x);
      partials[kVector % kAccumulators].take(x, magnitude);
      return magnitude;
    }
  };
  struct PendingReader {
    const typename V::Vector* pending;

    template <std::size_t kWord>
    VIGIL_FORCE_INLINE BitCounter::Bits word() noexcept {
      if constexpr (kVectorsPerWord == 1) {
        return V::one_hot(pending[kWord]);
      } else {
        return V::one_hot(pending[2 * kWord], pending[2 * kWord + 1]);
      }
    }
  };

  BitCounter bits_;
  typename V::Vector pending_[kVectors];
  std::size_t pending_count_ = 0;
};

// A pass that compares with what the tensor was.
template <class E>
class Update {
 public:
  using V = typename E::V;
  static constexpr std::size_t kAccumulators = V::kAccumulators / 2;
  static constexpr std::size_t kVectors = kAccumulators;

  explicit Update(unsigned char* previous, bool keep) noexcept : previous_(previous), keep_(keep) {}

  VIGIL_FORCE_INLINE void begin_block(const unsigned char* data) noexcept {
    offset_ = previous_ - data;
    for (Difference& difference : differences_) difference.reset();
    block_ = V::no_wide();
  }
  VIGIL_FORCE_INLINE void group(Partial<V> (&partials)[kAccumulators], const unsigned char* data, std::size_t ahead) noexcept {
    group(partials, data, ahead, std::make_index_sequence<kVectors>{});
  }
  VIGIL_FORCE_INLINE void look_at(typename V::Vector x, typename V::Vector, const unsigned char* data, std::size_t lanes) noexcept {
    differences_[0].take(x, lanes == V::kLanes ? E::load(data + offset_) : E::load_partial(data + offset_, lanes));
  }
  VIGIL_FORCE_INLINE void widen() noexcept {
    for (Difference& difference : differences_) {
      block_ = V::widen_and_add(block_, difference.squares);
      difference.squares = V::zero();
    }
  }
  void end_block(const unsigned char* data, std::size_t count) noexcept {
    typename V::Bits any = differences_[0].any;
    for (const Difference& difference : differences_) any = V::either(any, difference.any);
    const double squares = V::total(block_);
    const bool holds = is_finite_bits(squares) && (squares >= V::kLeastSquares || !V::has_any_bit(any));
    squares_ += holds ? squares : block_update_squares<typename E::Scalar>(data, previous_, count);
    const std::size_t bytes = bytes_of<typename E::Scalar>(count);
    if (keep_) std::memcpy(previous_, data, bytes);  // from the first-level cache
    previous_ += bytes;
  }
  double squares() const noexcept { return squares_; }

 private:
  struct Difference {
    typename V::Vector squares;
    typename V::Bits any;  // a square can be 0 without the difference being it

    VIGIL_FORCE_INLINE void reset() noexcept {
      squares = V::zero();
      any = V::no_bits();
    }
    VIGIL_FORCE_INLINE void take(typename V::Vector x, typename V::Vector before) noexcept {
      const typename V::Vector difference = V::subtract(x, before);
      squares = V::multiply_add(difference, difference, squares);
      any = V::either(any, V::bits(V::abs(difference)));
    }
  };

  template <std::size_t... I>
  VIGIL_FORCE_INLINE void group(Partial<V> (&partials)[kAccumulators], const unsigned char* data, std::size_t ahead,
                                std::index_sequence<I...>) noexcept {
    (take(partials[I], differences_[I], load_and_prefetch<E, I>(data, ahead), load_and_prefetch<E, I>(data + offset_, ahead)), ...);
  }
  VIGIL_FORCE_INLINE static void take(Partial<V>& partial, Difference& difference, typename V::Vector x,
                                      typename V::Vector before) noexcept {
    partial.take(x, V::abs(x));
    difference.take(x, before);
  }

  Difference differences_[kAccumulators];
  typename V::Wide block_;
  double squares_ = 0;
  unsigned char* previous_;
  std::ptrdiff_t offset_ = 0;  // from an element to what it was
  bool keep_;
};

// Double sums of a block, to which its partial sums are added before they grow inexact.
template <class V>
struct WideSums {
  typename V::Wide sum, magnitudes, squares;

  VIGIL_FORCE_INLINE WideSums() noexcept : sum(V::no_wide()), magnitudes(V::no_wide()), squares(V::no_wide()) {}

  template <class Part, std::size_t kCount>
  VIGIL_FORCE_INLINE void take(Part (&partials)[kCount]) noexcept {
    for (std::size_t i = 1; i < kCount; ++i) {
      partials[0].sum = V::add(partials[0].sum, partials[i].sum);
      partials[0].magnitudes = V::add(partials[0].magnitudes, partials[i].magnitudes);
      partials[0].squares = V::add(partials[0].squares, partials[i].squares);
    }
    sum = V::widen_and_add(sum, partials[0].sum);
    magnitudes = V::widen_and_add(magnitudes, partials[0].magnitudes);
    squares = V::widen_and_add(squares, partials[0].squares);
    for (Part& partial : partials) partial.sum = partial.magnitudes = partial.squares = V::zero();
  }
};

// The first tier. `ahead` is kPrefetchBytes where the memory to be read goes on behind the block, else 0.
template <class E, class Pass>
VIGIL_FORCE_INLINE BlockSums sums_of_block(const unsigned char* data, std::size_t count, std::size_t ahead, Pass& pass) noexcept {
  using V = typename E::V;
  constexpr std::size_t kGroup = Pass::kVectors * V::kLanes, kGroupBytes = bytes_of<typename E::Scalar>(kGroup);
  constexpr std::size_t kGroupsPerSum = std::max<std::size_t>(V::kTermsPerSum * Pass::kAccumulators / Pass::kVectors, 1);
  Partial<V> partials[Pass::kAccumulators];
  WideSums<V> sums;
  pass.begin_block(data);
  const unsigned char* next = data;
  for (std::size_t groups = count / kGroup; groups > 0;) {
    const std::size_t here = std::min(groups, kGroupsPerSum);
    for (std::size_t g = 0; g < here; ++g, next += kGroupBytes) pass.group(partials, next, ahead);
    sums.take(partials);
    pass.widen();
    groups -= here;
  }
  std::size_t rest = count % kGroup;
  if (rest > 0) {
    for (; rest >= V::kLanes; rest -= V::kLanes, next += bytes_of<typename E::Scalar>(V::kLanes)) {
      const auto x = E::load(next), magnitude = V::abs(x);
      partials[0].take(x, magnitude);
      pass.look_at(x, magnitude, next, V::kLanes);
    }
    if (rest > 0) {
      const auto x = E::load_partial(next, rest), magnitude = V::abs(x);
      partials[0].take_first(rest, x, magnitude);
      pass.look_at(x, magnitude, next, rest);
    }
    sums.take(partials);
    pass.widen();
  }
  pass.end_block(data, count);

  for (std::size_t i = 1; i < Pass::kAccumulators; ++i) {
    partials[0].least = V::min(partials[0].least, partials[i].least);
    partials[0].largest = V::max(partials[0].largest, partials[i].largest);
    partials[0].nonzero = V::add_counts(partials[0].nonzero, partials[i].nonzero);
  }
  return {V::total(sums.sum),          V::total(sums.magnitudes),       V::total(sums.squares),
          V::least(partials[0].least), V::largest(partials[0].largest), V::total_counts(partials[0].nonzero)};
}

// The second tier: sum and sum of squares of x - center.
template <class E>
void shifted_sums(const unsigned char* data, std::size_t count, double center, double& sum, double& squares) noexcept {
  using V = typename E::V;
  const typename V::Vector shift = V::splat(center);
  typename V::Wide wide_sum = V::no_wide(), wide_squares = V::no_wide();
  while (count > 0) {
    typename V::Vector part_sum = V::zero(), part_squares = V::zero();
    std::size_t terms = V::kTermsPerSum;
    for (; terms > 0 && count >= V::kLanes; --terms, count -= V::kLanes, data += bytes_of<typename E::Scalar>(V::kLanes)) {
      const typename V::Vector x = V::subtract(E::load(data), shift);
      part_sum = V::add(part_sum, x);
      part_squares = V::multiply_add(x, x, part_squares);
    }
    if (terms > 0 && count > 0) {
      const typename V::Vector x = V::select(V::first_lanes(count), V::subtract(E::load_partial(data, count), shift), V::zero());
      part_sum = V::add(part_sum, x);
      part_squares = V::multiply_add(x, x, part_squares);
      count = 0;
    }
    wide_sum = V::widen_and_add(wide_sum, part_sum);
    wide_squares = V::widen_and_add(wide_squares, part_squares);
  }
  sum = V::total(wide_sum);
  squares = V::total(wide_squares);
}

template <class E>
Moments moments_of_sums(const BlockSums& sums, const unsigned char* data, std::size_t count) noexcept {
  using V = typename E::V;
  const bool holds = is_finite_bits(sums.squares) && (sums.squares >= V::kLeastSquares || sums.nonzero == 0);
  if (!holds) return block_moments<typename E::Scalar>(data, count);
  Moments block;
  const double n = static_cast<double>(count);
  block.count = count;
  block.zero_count = count - sums.nonzero;
  block.min = sums.least;
  block.max = sums.largest;
  if (sums.least == sums.largest) {  // then no sum is needed, nor its rounding
    block.mean = sums.least;
    block.l1 = n * std::fabs(sums.least);
    block.sum_squares = n * sums.least * sums.least;
    return block;
  }
  block.mean = sums.sum / n;
  block.l1 = sums.magnitudes;
  block.sum_squares = sums.squares;
  block.m2 = sums.squares - sums.sum * block.mean;
  // Where the mean is as large as the deviations, the difference has lost digits that the two have in common.
  if (block.m2 * 2 < sums.squares) {
    const double center = V::representable(block.mean);
    double sum = 0, squares = 0;
    shifted_sums<E>(data, count, center, sum, squares);
    block.mean = center + sum / n;
    block.m2 = std::max(squares - sum * (sum / n), 0.0);
    block.sum_squares = block.m2 + n * block.mean * block.mean;
    if (sums.least >= 0 || sums.largest <= 0) block.l1 = n * std::fabs(block.mean);
  }
  return block;
}

// Elements of a block above the last bucket of a histogram.
template <class Element>
std::uint64_t count_beyond(const unsigned char* data, std::size_t count, double bound) noexcept {
  std::uint64_t beyond = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto bits = load_bits<Element>(data, i);
    beyond += (bits & Element::kMagnitude) < Element::kExponent && std::fabs(Element::value(bits)) > bound;
  }
  return beyond;
}

template <class E>
Moments moments(const unsigned char* data, std::size_t count) noexcept {
  Moments total;
  Plain<E> pass;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t size = std::min(kBlock, count - begin);
    const unsigned char* block = data + bytes_of<typename E::Scalar>(begin);
    merge(total, moments_of_sums<E>(sums_of_block<E>(block, size, begin + size < count ? kPrefetchBytes : 0, pass), block, size));
  }
  return total;
}

template <class E>
Moments moments_and_histogram(const unsigned char* data, std::size_t count, MagnitudeHistogram& histogram) noexcept {
  const double bound = magnitude_bound(MagnitudeHistogram::kBuckets);
  Moments total;
  Histogram<E> pass;
  std::uint64_t beyond = 0;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t size = std::min(kBlock, count - begin);
    const unsigned char* block = data + bytes_of<typename E::Scalar>(begin);
    const Moments part = moments_of_sums<E>(sums_of_block<E>(block, size, begin + size < count ? kPrefetchBytes : 0, pass), block, size);
    if (std::max(std::fabs(part.min), std::fabs(part.max)) > bound) beyond += count_beyond<typename E::Scalar>(block, size, bound);
    merge(total, part);
  }
  pass.finish(total, beyond, histogram);
  return total;
}

template <class E>
Moments moments_and_update(const unsigned char* data, unsigned char* previous, std::size_t count, bool keep, double& squares) noexcept {
  Moments total;
  Update<E> pass(previous, keep);
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t size = std::min(kBlock, count - begin);
    const unsigned char* block = data + bytes_of<typename E::Scalar>(begin);
    merge(total, moments_of_sums<E>(sums_of_block<E>(block, size, begin + size < count ? kPrefetchBytes : 0, pass), block, size));
  }
  squares += pass.squares();
  return total;
}

template <class V>
VIGIL_FORCE_INLINE typename V::Vector add_square(typename V::Vector x, typename V::Vector sum, typename V::Bits& any) noexcept {
  any = V::either(any, V::bits(V::abs(x)));  // a square can be 0 without the element being it
  return V::multiply_add(x, x, sum);
}

// The guard's reduction.
template <class E>
double squares(const unsigned char* data, std::size_t count) noexcept {
  using V = typename E::V;
  constexpr std::size_t kSums = 4, kGroup = kSums * V::kLanes;
  double total = 0;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t size = std::min(kBlock, count - begin);
    const unsigned char* const block = data + bytes_of<typename E::Scalar>(begin);
    const std::size_t ahead = begin + size < count ? kPrefetchBytes : 0;
    const unsigned char* next = block;
    typename V::Wide wide = V::no_wide();
    typename V::Bits any = V::no_bits();
    constexpr std::size_t kStep = bytes_of<typename E::Scalar>(V::kLanes);
    for (std::size_t groups = size / kGroup; groups > 0;) {
      const std::size_t here = std::min<std::size_t>(groups, V::kTermsPerSum);
      typename V::Vector a = V::zero(), b = a, c = a, d = a;
      for (std::size_t g = 0; g < here; ++g, next += kSums * kStep) {
        a = add_square<V>(load_and_prefetch<E, 0>(next, ahead), a, any);
        b = add_square<V>(load_and_prefetch<E, 1>(next, ahead), b, any);
        c = add_square<V>(load_and_prefetch<E, 2>(next, ahead), c, any);
        d = add_square<V>(load_and_prefetch<E, 3>(next, ahead), d, any);
      }
      wide = V::widen_and_add(wide, V::add(V::add(a, b), V::add(c, d)));
      groups -= here;
    }
    typename V::Vector rest_sum = V::zero();
    std::size_t rest = size % kGroup;
    for (; rest >= V::kLanes; rest -= V::kLanes, next += kStep) rest_sum = add_square<V>(E::load(next), rest_sum, any);
    if (rest > 0) rest_sum = add_square<V>(E::load_partial(next, rest), rest_sum, any);
    const double sum = V::total(V::widen_and_add(wide, rest_sum));
    const bool holds = is_finite_bits(sum) && (sum >= V::kLeastSquares || !V::has_any_bit(any));
    total += holds ? sum : block_squares<typename E::Scalar>(block, size);
  }
  return total;
}

template <class E>
constexpr KernelFunctions functions_of() noexcept {
  return {moments<E>, moments_and_histogram<E>, moments_and_update<E>, squares<E>};
}
