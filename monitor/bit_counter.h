// Included once per instruction set, like vector_blocks.h and before it: no include guard, no #include.

// Counts of the 32 bits of words, by carry-save adders (the positional population count of Klarqvist, Mula and Lemire, "Efficient
// computation of positional population counts using SIMD instructions", 2021): sixteen vectors of words become one, whose bits stand for 16
// each, and sixteen of these one whose bits stand for 256.
class BitCounter {
 public:
  using Bits = Floats::Bits;
  static constexpr std::size_t kWords = 16;  // vectors of one group

  BitCounter() noexcept {
    for (std::size_t i = 0; i < kLevels; ++i) ones_[i] = sixteens_[i] = Floats::no_bits();
    for (Bits& bytes : bytes_) bytes = Floats::no_bits();
  }

  // `next.template word<i>()` yields vector i of the 16.
  template <class Next>
  VIGIL_FORCE_INLINE void take_group(Next& next) noexcept {
    waiting_[waiting_count_++] = add_group(ones_, next);
    if (waiting_count_ == kWords) add_waiting();
  }

  // The counts of all groups so far, by bit. Ends the counter's use.
  const std::uint64_t* finish() noexcept {
    if (waiting_count_ > 0) {
      for (std::size_t i = waiting_count_; i < kWords; ++i) waiting_[i] = Floats::no_bits();
      add_waiting();
    }
    for (int k = 0; k < 8; ++k) {
      add_bytes(k, bytes_of_levels(ones_, k), 1);
      add_bytes(k, bytes_of_levels(sixteens_, k), 16);
      add_bytes(k, bytes_[k], 256);
    }
    return counts_;
  }

 private:
  static constexpr std::size_t kLevels = 4;
  using Levels = Bits[kLevels];  // bits that stand for 1, 2, 4 and 8 times the unit

  // What of the group's sums does not fit the levels: bits that stand for 16 times the unit.
  template <class Next>
  VIGIL_FORCE_INLINE static Bits add_group(Levels& levels, Next& next) noexcept {
    // In registers: through memory, each of the eight additions to the lowest level would wait for the one before it.
    Levels copy = {levels[0], levels[1], levels[2], levels[3]};
    const Bits carries = carry<kLevels, 0>(copy, next);
    for (std::size_t i = 0; i < kLevels; ++i) levels[i] = copy[i];
    return carries;
  }
  // The carry out of the 2^level inputs from `first` on.
  template <std::size_t kLevel, std::size_t kFirst, class Next>
  VIGIL_FORCE_INLINE static Bits carry(Levels& levels, Next& next) noexcept {
    if constexpr (kLevel == 0) {
      return next.template word<kFirst>();
    } else {
      const Bits a = carry<kLevel - 1, kFirst>(levels, next);
      const Bits b = carry<kLevel - 1, kFirst + (std::size_t{1} << (kLevel - 1))>(levels, next);
      return Floats::carry_save_add(levels[kLevel - 1], a, b);
    }
  }
  struct WaitingReader {
    const Bits* waiting;
    template <std::size_t kWord>
    VIGIL_FORCE_INLINE Bits word() noexcept {
      return waiting[kWord];
    }
  };
  void add_waiting() noexcept {
    WaitingReader reader{waiting_};
    const Bits carries = add_group(sixteens_, reader);
    waiting_count_ = 0;
    for (int k = 0; k < 8; ++k) bytes_[k] = Floats::add_bytes(bytes_[k], Floats::low_bit_of_bytes(carries, k));
    if (++bytes_terms_ < 255) return;
    for (int k = 0; k < 8; ++k) {
      add_bytes(k, bytes_[k], 256);
      bytes_[k] = Floats::no_bits();
    }
    bytes_terms_ = 0;
  }
  // In byte j of each word the number, at most 15, that the levels hold for its bit 8j + k.
  static Bits bytes_of_levels(const Levels& levels, int k) noexcept {
    Bits bytes = Floats::no_bits();
    for (std::size_t i = kLevels; i-- > 0;)
      bytes = Floats::add_bytes(Floats::add_bytes(bytes, bytes), Floats::low_bit_of_bytes(levels[i], k));
    return bytes;
  }
  void add_bytes(int k, Bits bytes, std::uint64_t weight) noexcept {
    const std::uint32_t even = Floats::total_words(Floats::even_bytes(bytes)), odd = Floats::total_words(Floats::odd_bytes(bytes));
    counts_[k] += weight * (even & 0xffffu);
    counts_[8 + k] += weight * (odd & 0xffffu);
    counts_[16 + k] += weight * (even >> 16);
    counts_[24 + k] += weight * (odd >> 16);
  }

  Levels ones_, sixteens_;
  Bits waiting_[kWords];
  std::size_t waiting_count_ = 0;
  Bits bytes_[8];  // counts of 256, in byte j of each word of bytes_[k] for its bit 8j + k
  int bytes_terms_ = 0;
  std::uint64_t counts_[32] = {};
};
