// What is reduced with the blocks of vector_blocks.h: moments, with a histogram or an update beside them, and the guard's squares. Included
// once per instruction set, behind vector_blocks.h: no include guard, no #include.

// What a pass does with each vector beside the sums: nothing.
template <class E>
struct Plain {
  using V = typename E::V;
  static constexpr bool kInStreams = true;
  static constexpr std::size_t kAccumulators = V::kAccumulators, kVectors = kAccumulators;  // kVectors: of a group, at least

  VIGIL_FORCE_INLINE void begin_block(const unsigned char*) noexcept {}
  template <class Layout>
  VIGIL_FORCE_INLINE void group(Partial<V> (&partials)[kAccumulators], const Layout& layout, const unsigned char* data,
                                std::size_t ahead) noexcept {
    group(partials, layout, data, ahead, std::make_index_sequence<group_size<Layout>(kVectors)>{});
  }
  VIGIL_FORCE_INLINE void look_at(typename V::Vector, typename V::Vector, const unsigned char*, std::size_t) noexcept {}
  VIGIL_FORCE_INLINE void widen() noexcept {}
  VIGIL_FORCE_INLINE void end_block(const Blocks&) noexcept {}
  // At the moments of the blocks, last.
  VIGIL_FORCE_INLINE void look_at(const Moments&, const Blocks&) noexcept {}

 private:
  template <class Layout, std::size_t... I>
  VIGIL_FORCE_INLINE void group(Partial<V> (&partials)[kAccumulators], const Layout& layout, const unsigned char* data, std::size_t ahead,
                                std::index_sequence<I...>) noexcept {
    (take(partials[I % kAccumulators], load_and_prefetch<E, I>(layout, data, ahead)), ...);
  }
  VIGIL_FORCE_INLINE static void take(Partial<V>& partial, typename V::Vector x) noexcept { partial.take(x, V::abs(x)); }
};

// A pass that counts magnitudes too.
template <class E>
class Histogram {
 public:
  using V = typename E::V;
  static constexpr bool kInStreams = V::kCountsInStreams;
  static constexpr std::size_t kAccumulators = 2;
  static constexpr std::size_t kVectorsPerWord = V::kVectorsPerWord;  // vectors of elements whose exponents fill one of words
  static constexpr std::size_t kVectors = BitCounter::kWords * kVectorsPerWord;

  Histogram() noexcept {}
  VIGIL_FORCE_INLINE void begin_block(const unsigned char*) noexcept { pending_count_ = 0; }
  template <class Layout>
  VIGIL_FORCE_INLINE void group(Partial<V> (&partials)[kAccumulators], const Layout& layout, const unsigned char* data,
                                std::size_t ahead) noexcept {
    static_assert(kVectors % Layout::kLeastVectors == 0);
    GroupReader<Layout> reader{partials, layout, data, ahead};
    bits_.take_group(reader);
  }
  // The last vectors of a block, fewer than a group.
  VIGIL_FORCE_INLINE void look_at(typename V::Vector, typename V::Vector magnitude, const unsigned char*, std::size_t) noexcept {
    pending_[pending_count_++] = magnitude;
  }
  VIGIL_FORCE_INLINE void widen() noexcept {}
  void end_block(const Blocks&) noexcept {
    if (pending_count_ == 0) return;
    for (std::size_t i = pending_count_; i < kVectors; ++i) pending_[i] = V::zero();
    PendingReader reader{pending_};
    bits_.take_group(reader);
  }

  void look_at(const Moments& moments, const Blocks& blocks) noexcept {
    const double bound = magnitude_bound(MagnitudeHistogram::kBuckets);
    if (std::max(std::fabs(moments.min), std::fabs(moments.max)) <= bound) return;
    for (std::size_t i = 0; i < blocks.pieces; ++i) beyond_ += count_beyond<E>(blocks.piece(i), blocks.count_of_piece());
  }

  // Adds what was counted to `histogram`; `moments` are those of all elements.
  void finish(const Moments& moments, MagnitudeHistogram& histogram) noexcept {
    const std::uint64_t* counts = bits_.finish();
    std::uint64_t within = 0;
    for (std::size_t i = 0; i < MagnitudeHistogram::kBuckets; ++i) {
      histogram.buckets[i] += counts[i];
      within += counts[i];
    }
    histogram.overflow += beyond_;
    histogram.underflow += finite_count(moments) - moments.zero_count - within - beyond_;
  }

 private:
  // Sums the vectors of a group while it reads their exponents.
  template <class Layout>
  struct GroupReader {
    Partial<V> (&partials)[kAccumulators];
    const Layout& layout;
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
      const typename V::Vector x = load_and_prefetch<E, kVector>(layout, data, ahead), magnitude = V::abs(x);
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
  std::uint64_t beyond_ = 0;  // elements above the last bucket
};

// A pass that compares with what the tensor was.
template <class E>
class Update {
 public:
  using V = typename E::V;
  static constexpr bool kInStreams = false;  // it reads two already
  static constexpr std::size_t kAccumulators = V::kAccumulators / 2;
  static constexpr std::size_t kVectors = kAccumulators;

  explicit Update(unsigned char* previous, bool keep) noexcept : previous_(previous), keep_(keep) {}

  VIGIL_FORCE_INLINE void begin_block(const unsigned char* data) noexcept {
    offset_ = previous_ - data;
    for (Difference& difference : differences_) difference.reset();
    block_ = V::no_wide();
  }
  template <class Layout>
  VIGIL_FORCE_INLINE void group(Partial<V> (&partials)[kAccumulators], const Layout& layout, const unsigned char* data,
                                std::size_t ahead) noexcept {
    group(partials, layout, data, ahead, std::make_index_sequence<group_size<Layout>(kVectors)>{});
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
  void end_block(const Blocks& block) noexcept {
    typename V::Bits any = differences_[0].any;
    for (const Difference& difference : differences_) any = V::either(any, difference.any);
    const double squares = V::total(block_);
    const bool holds = is_finite_bits(squares) && (squares >= V::kLeastSquares || !V::has_any_bit(any));
    squares_ += holds ? squares : wide_block_update_squares<E>(block.data, previous_, block.count);
    const std::size_t bytes = bytes_of<typename E::Scalar>(block.count);
    if (keep_) std::memcpy(previous_, block.data, bytes);  // from the first-level cache
    previous_ += bytes;
  }
  VIGIL_FORCE_INLINE void look_at(const Moments&, const Blocks&) noexcept {}
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

  template <class Layout, std::size_t... I>
  VIGIL_FORCE_INLINE void group(Partial<V> (&partials)[kAccumulators], const Layout& layout, const unsigned char* data, std::size_t ahead,
                                std::index_sequence<I...>) noexcept {
    (take(partials[I], differences_[I], load_and_prefetch<E, I>(layout, data, ahead),
          load_and_prefetch<E, I>(layout, data + offset_, ahead)),
     ...);
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

template <class E, class Pass>
struct MomentsOf {
  static constexpr bool kInStreams = Pass::kInStreams;
  Pass& pass;
  Moments total;

  template <class Layout>
  VIGIL_FORCE_INLINE void take(const Layout& layout, const Blocks& blocks, std::size_t ahead) noexcept {
    const Moments part = moments_of_sums<E>(sums_of_blocks<E>(layout, blocks, ahead, pass), blocks);
    pass.look_at(part, blocks);
    merge(total, part);
  }
};

template <class E>
Moments moments(const unsigned char* data, std::size_t count) noexcept {
  Plain<E> pass;
  MomentsOf<E, Plain<E>> reduction{pass, {}};
  for_blocks<E>(data, count, reduction);
  return reduction.total;
}

template <class E>
Moments moments_and_histogram(const unsigned char* data, std::size_t count, MagnitudeHistogram& histogram) noexcept {
  Histogram<E> pass;
  MomentsOf<E, Histogram<E>> reduction{pass, {}};
  for_blocks<E>(data, count, reduction);
  pass.finish(reduction.total, histogram);
  return reduction.total;
}

template <class E>
Moments moments_and_update(const unsigned char* data, unsigned char* previous, std::size_t count, bool keep, double& squares) noexcept {
  Update<E> pass(previous, keep);
  MomentsOf<E, Update<E>> reduction{pass, {}};
  for_blocks<E>(data, count, reduction);
  squares += pass.squares();
  return reduction.total;
}

// A sum of squares of the guard's.
template <class V>
struct Squares {
  typename V::Vector sum;
  typename V::Bits any;  // a square can be 0 without the element being it

  VIGIL_FORCE_INLINE Squares() noexcept : sum(V::zero()), any(V::no_bits()) {}
  VIGIL_FORCE_INLINE void take(typename V::Vector x) noexcept {
    sum = V::multiply_add(x, x, sum);
    any = V::either(any, V::bits(V::abs(x)));
  }
};

template <class E, class Layout, std::size_t... I>
VIGIL_FORCE_INLINE void take_squares(Squares<typename E::V> (&sums)[4], const Layout& layout, const unsigned char* data, std::size_t ahead,
                                     std::index_sequence<I...>) noexcept {
  (sums[I % 4].take(load_and_prefetch<E, I>(layout, data, ahead)), ...);
}

// The guard's reduction of blocks.
template <class E, class Layout>
VIGIL_FORCE_INLINE double squares_of_blocks(const Layout& layout, const Blocks& blocks, std::size_t ahead) noexcept {
  using V = typename E::V;
  constexpr std::size_t kVectors = group_size<Layout>(4), kGroup = kVectors * V::kLanes;
  constexpr std::size_t kGroupsPerSum = std::max<std::size_t>(V::kTermsPerSum * 4 / kVectors, 1);
  typename V::Wide wide = V::no_wide();
  typename V::Bits any = V::no_bits();
  const unsigned char* next = blocks.data;
  for (std::size_t groups = blocks.count / kGroup; groups > 0;) {
    const std::size_t here = std::min(groups, kGroupsPerSum);
    Squares<V> sums[4];
    for (std::size_t g = 0; g < here; ++g, next += layout.step(kVectors))
      take_squares<E>(sums, layout, next, ahead, std::make_index_sequence<kVectors>{});
    wide = V::widen_and_add(wide, V::add(V::add(sums[0].sum, sums[1].sum), V::add(sums[2].sum, sums[3].sum)));
    any = V::either(any, V::either(V::either(sums[0].any, sums[1].any), V::either(sums[2].any, sums[3].any)));
    groups -= here;
  }
  Squares<V> last;
  std::size_t rest = blocks.count % kGroup;
  for (; rest >= V::kLanes; rest -= V::kLanes, next += bytes_of<typename E::Scalar>(V::kLanes)) last.take(E::load(next));
  if (rest > 0) last.take(E::load_partial(next, rest));
  const double sum = V::total(V::widen_and_add(wide, last.sum));
  if (is_finite_bits(sum) && (sum >= V::kLeastSquares || !V::has_any_bit(V::either(any, last.any)))) return sum;
  if (is_nan_bits(sum)) return sum;  // no square overflows to it
  double exact = 0;
  for (std::size_t i = 0; i < blocks.pieces; ++i) exact += wide_block_squares<E>(blocks.piece(i), blocks.count_of_piece());
  return exact;
}

template <class E>
struct SquaresOf {
  static constexpr bool kInStreams = true;
  double total = 0;

  template <class Layout>
  VIGIL_FORCE_INLINE void take(const Layout& layout, const Blocks& blocks, std::size_t ahead) noexcept {
    if (is_nan_bits(total)) return;  // and stays so
    total += squares_of_blocks<E>(layout, blocks, ahead);
  }
};

template <class E>
double squares(const unsigned char* data, std::size_t count) noexcept {
  SquaresOf<E> reduction;
  for_blocks<E>(data, count, reduction);
  return reduction.total;
}

template <class E>
constexpr KernelFunctions functions_of() noexcept {
  return {moments<E>, moments_and_histogram<E>, moments_and_update<E>, squares<E>};
}
