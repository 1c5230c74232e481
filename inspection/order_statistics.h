// Elements by their rank, exactly, of more elements than one would keep.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "vigil/inspection/finite_blocks.h"

namespace vigil {

/// Selects by radix: all elements are counted by the upper 16 bits of their ordered words, then those that share these with a wanted one
/// by the next 16, and so on: rounds() times over the elements in all. A round takes 512 KiB for each group of wanted elements that are
/// still together, of which there are at most as many as ranks.
template <class Number>
class OrderStatistics {
 public:
  using Bits = NumberBits<Number>;
  using Word = typename Bits::Word;
  static constexpr std::size_t kDigits = std::size_t{1} << 16;
  static constexpr int rounds() noexcept { return Bits::kBits / 16; }

  OrderStatistics() : first_(kDigits, 0) {}

  /// First round; `numbers` are finite.
  void count_first(const Number* numbers, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) ++first_[static_cast<std::size_t>(Bits::of(numbers[i]) >> (Bits::kBits - 16))];
  }
  /// How many have these upper 16 bits, sign and exponent first.
  const std::vector<std::uint64_t>& first_counts() const noexcept { return first_; }

  /// Ends the first round. `ranks`, from 0, ascend and are below the number of elements.
  void want(std::vector<std::uint64_t> ranks) {
    ranks_ = std::move(ranks);
    Group all;
    all.counts.resize(kDigits);
    for (std::size_t digit = 0; digit < kDigits; ++digit) {
      const Word word = Bits::ordered(static_cast<Word>(static_cast<Word>(digit) << (Bits::kBits - 16)));
      all.counts[static_cast<std::size_t>(word >> (Bits::kBits - 16))] = first_[digit];
    }
    std::vector<Group> groups;
    groups.push_back(std::move(all));
    next_round(groups);
  }
  /// Whether all digits of the wanted ones are known.
  bool is_done() const noexcept { return round_ == rounds(); }

  /// A later round.
  void count(const Number* numbers, std::size_t count) noexcept {
    const int shift = Bits::kBits - 16 * (round_ + 1);
    for (std::size_t i = 0; i < count; ++i) {
      const Word word = Bits::ordered(Bits::of(numbers[i]));
      const std::int32_t begin = group_of_[static_cast<std::size_t>(word >> (Bits::kBits - 16))];
      if (begin < 0) continue;
      const Word prefix = prefix_of(word, shift);
      for (std::size_t at = static_cast<std::size_t>(begin); at < groups_.size() && groups_[at].prefix <= prefix; ++at) {
        if (groups_[at].prefix == prefix) ++groups_[at].counts[static_cast<std::size_t>(word >> shift) & (kDigits - 1)];
      }
    }
  }
  void end_round() {
    std::vector<Group> groups = std::move(groups_);
    next_round(groups);
  }

  /// Once it is done: the element of a wanted rank.
  Number value(std::uint64_t rank) const {
    const auto at = std::lower_bound(ranks_.begin(), ranks_.end(), rank);
    return Bits::number(Bits::from_ordered(found_[static_cast<std::size_t>(at - ranks_.begin())]));
  }

 private:
  struct Group {
    Word prefix = 0;           // the digits so far, ordered
    std::uint64_t before = 0;  // elements that are smaller than all in it
    std::vector<std::uint64_t> counts;
  };

  // The digits above the one at `shift`.
  static Word prefix_of(Word word, int shift) noexcept { return static_cast<Word>(word >> shift >> 16); }

  // Goes from the counts of a round to the groups of the next.
  void next_round(const std::vector<Group>& counted) {
    std::vector<Group> next;
    std::size_t rank = 0;
    found_.clear();
    for (const Group& group : counted) {
      std::uint64_t before = group.before;
      for (std::size_t digit = 0; digit < kDigits && rank < ranks_.size(); ++digit) {
        const std::uint64_t after = before + group.counts[digit];
        for (bool is_first = true; rank < ranks_.size() && ranks_[rank] < after; ++rank) {
          const auto prefix = static_cast<Word>(static_cast<Word>(group.prefix << 16) | static_cast<Word>(digit));
          if (std::exchange(is_first, false)) next.push_back({prefix, before, {}});
          found_.push_back(prefix);
        }
        before = after;
      }
    }
    groups_ = std::move(next);
    if (++round_ == rounds()) {
      groups_.clear();
      return;
    }
    group_of_.assign(kDigits, -1);
    for (std::size_t at = groups_.size(); at-- > 0;) {
      groups_[at].counts.assign(kDigits, 0);
      group_of_[static_cast<std::size_t>(groups_[at].prefix >> (16 * (round_ - 1)))] = static_cast<std::int32_t>(at);
    }
  }

  std::vector<std::uint64_t> first_, ranks_;
  std::vector<Word> found_;  // by rank: the digits so far
  std::vector<Group> groups_;
  std::vector<std::int32_t> group_of_;  // by the first digit: the first group with it; -1 none
  int round_ = 0;
};

}  // namespace vigil
