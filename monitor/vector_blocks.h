// One block of elements, reduced in the vector arithmetic of an instruction set. Included once per instruction set, inside its namespace
// and its target region (see scalar_blocks.h, which comes before it): no include guard, no #include.
//
// What the includer defines before it:
//   Floats, Doubles   vectors of an instruction set: `Vector`, `Bits` (the same register as integers), `Wide` (double sums), kLanes,
//                     kAccumulators (independent sums, as many as registers allow), kCountsInStreams (whether to count magnitudes in
//                     streams, below: on 16 registers it is slower, and vectors of 128 bits fill no cache line of each stream in a group)
//                     and operations on them;
//   F32, F64, BF16, F16   element types: `V` (Floats or Doubles), `Scalar` (of scalar_blocks.h), load, load_partial (the rest zeros);
//   BitCounter            of bit_counter.h.
//
// Three tiers. The first sums in the vector's own precision, for at most kTermsPerSum terms to a sum before these are widened to double,
// and looks at no NaN. The second, where the mean is large against the deviations, sums again relative to the mean. The third, where the
// sum of squares is not finite or about to underflow, is wide_block_moments of vector_wide_blocks.h.

// Memory is asked for ahead of the sums, across the ends of pages, where the processor's own prefetchers stop.
//
// A short stretch is read in order. A long one is read as kStreams streams side by side, a vector of each in turn: each has prefetchers of
// its own at work, and together they keep more of the memory's channels busy than any loop over one stream can, even one that does nothing
// with what it reads (docs/performance.md).
constexpr std::size_t kStreams = 4, kLeastBlocksOfStream = 2, kMostBlocksOfStream = 64;

// Where the vectors of a group lie, and how far the next group is.
template <class E>
struct InOrder {
  static constexpr std::size_t kVectorBytes = bytes_of<typename E::Scalar>(E::V::kLanes), kLeastVectors = 1, kPrefetchBytes = 4096;

  template <std::size_t kVector>
  VIGIL_FORCE_INLINE static constexpr std::size_t offset() noexcept {
    return kVector * kVectorBytes;
  }
  static constexpr std::size_t step(std::size_t vectors) noexcept { return vectors * kVectorBytes; }
  // Whether a vector is the first on its cache line.
  static constexpr bool begins_line(std::size_t vector) noexcept { return vector * kVectorBytes % 64 == 0; }
};

template <class E>
struct InStreams {
  static constexpr std::size_t kVectorBytes = bytes_of<typename E::Scalar>(E::V::kLanes), kPrefetchBytes = 2048;
  static constexpr std::size_t kLeastVectors = kStreams * std::max<std::size_t>(64 / kVectorBytes, 1);  // a cache line of each
  std::size_t stride;                                                                                   // bytes from stream to stream

  template <std::size_t kVector>
  VIGIL_FORCE_INLINE std::size_t offset() const noexcept {
    return kVector % kStreams * stride + kVector / kStreams * kVectorBytes;
  }
  static constexpr std::size_t step(std::size_t vectors) noexcept { return vectors / kStreams * kVectorBytes; }
  static constexpr bool begins_line(std::size_t vector) noexcept { return vector / kStreams * kVectorBytes % 64 == 0; }
};

// Vectors of a group, at least `vectors`.
template <class Layout>
constexpr std::size_t group_size(std::size_t vectors) noexcept {
  return std::max(vectors, Layout::kLeastVectors);
}

// Loads vector kVector of a group, and asks for the memory `ahead` of it, once for each cache line.
template <class E, std::size_t kVector, class Layout>
VIGIL_FORCE_INLINE typename E::V::Vector load_and_prefetch(const Layout& layout, const unsigned char* group, std::size_t ahead) noexcept {
  const unsigned char* const data = group + layout.template offset<kVector>();
  if constexpr (Layout::begins_line(kVector)) __builtin_prefetch(data + ahead);
  return E::load(data);
}

// `count` elements in `pieces` pieces of memory, `stride` bytes from one to the next.
struct Blocks {
  const unsigned char* data;
  std::size_t count, pieces = 1, stride = 0;

  std::size_t count_of_piece() const noexcept { return count / pieces; }
  const unsigned char* piece(std::size_t i) const noexcept { return data + i * stride; }
};

// What the first tier finds out about blocks.
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

// The first tier. `ahead` is how far ahead to ask for memory. Blocks in streams are whole ones.
template <class E, class Layout, class Pass>
VIGIL_FORCE_INLINE BlockSums sums_of_blocks(const Layout& layout, const Blocks& blocks, std::size_t ahead, Pass& pass) noexcept {
  using V = typename E::V;
  constexpr std::size_t kVectors = group_size<Layout>(Pass::kVectors), kGroup = kVectors * V::kLanes;
  constexpr std::size_t kGroupsPerSum = std::max<std::size_t>(V::kTermsPerSum * Pass::kAccumulators / kVectors, 1);
  Partial<V> partials[Pass::kAccumulators];
  WideSums<V> sums;
  pass.begin_block(blocks.data);
  const unsigned char* next = blocks.data;
  for (std::size_t groups = blocks.count / kGroup; groups > 0;) {
    const std::size_t here = std::min(groups, kGroupsPerSum);
    for (std::size_t g = 0; g < here; ++g, next += layout.step(kVectors)) pass.group(partials, layout, next, ahead);
    sums.take(partials);
    pass.widen();
    groups -= here;
  }
  std::size_t rest = blocks.count % kGroup;
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
  pass.end_block(blocks);

  for (std::size_t i = 1; i < Pass::kAccumulators; ++i) {
    partials[0].least = V::min(partials[0].least, partials[i].least);
    partials[0].largest = V::max(partials[0].largest, partials[i].largest);
    partials[0].nonzero = V::add_counts(partials[0].nonzero, partials[i].nonzero);
  }
  return {V::total(sums.sum),          V::total(sums.magnitudes),       V::total(sums.squares),
          V::least(partials[0].least), V::largest(partials[0].largest), V::total_counts(partials[0].nonzero)};
}

// The second tier: adds the sum and the sum of squares of x - center.
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
  sum += V::total(wide_sum);
  squares += V::total(wide_squares);
}

template <class E>
Moments moments_of_sums(const BlockSums& sums, const Blocks& blocks) noexcept {
  using V = typename E::V;
  const bool holds = is_finite_bits(sums.squares) && (sums.squares >= V::kLeastSquares || sums.nonzero == 0);
  Moments all;
  if (!holds) {
    for (std::size_t i = 0; i < blocks.pieces; ++i) merge(all, wide_block_moments<E>(blocks.piece(i), blocks.count_of_piece()));
    return all;
  }
  const double n = static_cast<double>(blocks.count);
  all.count = blocks.count;
  all.zero_count = blocks.count - sums.nonzero;
  all.min = sums.least;
  all.max = sums.largest;
  if (sums.least == sums.largest) {  // then no sum is needed, nor its rounding
    all.mean = sums.least;
    all.l1 = n * std::fabs(sums.least);
    all.sum_squares = n * sums.least * sums.least;
    return all;
  }
  all.mean = sums.sum / n;
  all.l1 = sums.magnitudes;
  all.sum_squares = sums.squares;
  all.m2 = sums.squares - sums.sum * all.mean;
  // Where the mean is as large as the deviations, the difference has lost digits that the two have in common.
  if (all.m2 * 2 < sums.squares) {
    const double center = V::representable(all.mean);
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < blocks.pieces; ++i) shifted_sums<E>(blocks.piece(i), blocks.count_of_piece(), center, sum, squares);
    all.mean = center + sum / n;
    all.m2 = std::max(squares - sum * (sum / n), 0.0);
    all.sum_squares = all.m2 + n * all.mean * all.mean;
    if (sums.least >= 0 || sums.largest <= 0) all.l1 = n * std::fabs(all.mean);
  }
  return all;
}

// The part of for_blocks() below that is read in streams; moves `data` and `count` past it. Not inlined: small tensors are many, and the
// registers are theirs.
template <class E, class Reduction>
[[gnu::noinline]] void for_streams(const unsigned char*& data, std::size_t& count, Reduction& reduction) noexcept {
  constexpr std::size_t kBlockBytes = bytes_of<typename E::Scalar>(kBlock);
  while (count >= kStreams * kLeastBlocksOfStream * kBlock) {
    const std::size_t of_stream = std::min(count / (kStreams * kBlock), kMostBlocksOfStream);
    const InStreams<E> streams{of_stream * kBlockBytes};
    for (std::size_t i = 0; i < of_stream; ++i) {
      reduction.take(streams, Blocks{data + i * kBlockBytes, kStreams * kBlock, kStreams, streams.stride},
                     i + 1 < of_stream ? streams.kPrefetchBytes : 0);
    }
    data += kStreams * streams.stride;
    count -= kStreams * of_stream * kBlock;
  }
}

// Calls `reduction.take(layout, blocks, ahead)` for all elements, in blocks that are reduced together.
template <class E, class Reduction>
VIGIL_FORCE_INLINE void for_blocks(const unsigned char* data, std::size_t count, Reduction& reduction) noexcept {
  if constexpr (Reduction::kInStreams) {
    if (count >= kStreams * kLeastBlocksOfStream * kBlock) for_streams<E>(data, count, reduction);
  }
  for (; count > 0; data += bytes_of<typename E::Scalar>(kBlock)) {
    const std::size_t size = std::min(kBlock, count);
    count -= size;
    reduction.take(InOrder<E>{}, Blocks{data, size}, count > 0 ? InOrder<E>::kPrefetchBytes : 0);
  }
}
