// All finite elements of some tensors, block by block, as float or double.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "vigil/inspection/element_numbers.h"
#include "vigil/inspection/model_tensor.h"

namespace vigil {

/// What is asked of a number's bits, so that no floating-point environment and no -ffast-math has a say in it.
template <class Number>
struct NumberBits {
  using Word = std::conditional_t<sizeof(Number) == 4, std::uint32_t, std::uint64_t>;
  static constexpr int kBits = static_cast<int>(8 * sizeof(Word));
  static constexpr int kFractionBits = sizeof(Number) == 4 ? 23 : 52;
  static constexpr int kExponentBias = sizeof(Number) == 4 ? 127 : 1023;
  static constexpr Word kSign = Word{1} << (kBits - 1);
  static constexpr Word kInfinity = static_cast<Word>(kSign - (Word{1} << kFractionBits));

  static Word of(Number number) noexcept {
    Word word;
    std::memcpy(&word, &number, sizeof word);
    return word;
  }
  static Number number(Word word) noexcept {
    Number number;
    std::memcpy(&number, &word, sizeof number);
    return number;
  }
  /// A word that is larger for a larger number; -0 comes before +0.
  static Word ordered(Word word) noexcept { return (word & kSign) != 0 ? static_cast<Word>(~word) : static_cast<Word>(word | kSign); }
  static Word from_ordered(Word word) noexcept { return (word & kSign) != 0 ? static_cast<Word>(word ^ kSign) : static_cast<Word>(~word); }
};

struct NonfiniteCounts {
  std::uint64_t nan = 0, positive_infinite = 0, negative_infinite = 0;
};

inline constexpr std::size_t kBlockElements = 4096;

/// Moves the finite of `count` numbers to the front, counts the others, and returns how many they are.
template <class Number>
std::size_t keep_finite(Number* numbers, std::size_t count, NonfiniteCounts& counts) noexcept {
  using Bits = NumberBits<Number>;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto word = Bits::of(numbers[i]);
    const auto magnitude = static_cast<typename Bits::Word>(word & ~Bits::kSign);
    if (magnitude < Bits::kInfinity) {
      numbers[kept++] = numbers[i];
    } else if (magnitude > Bits::kInfinity) {
      ++counts.nan;
    } else {
      ++(word == magnitude ? counts.positive_infinite : counts.negative_infinite);
    }
  }
  return kept;
}

template <class Number>
bool all_finite(const Number* numbers, std::size_t count) noexcept {
  using Bits = NumberBits<Number>;
  typename Bits::Word found = 0;
  for (std::size_t i = 0; i < count; ++i) found |= (Bits::of(numbers[i]) & Bits::kInfinity) == Bits::kInfinity ? 1 : 0;
  return found == 0;
}

/// Calls `piece(const ModelTensor&, data, count)` for each piece of memory, and then `use(const ModelTensor&, const Number*, count)` for
/// its finite elements, at most kBlockElements together. The tensors have values. Returns what is not finite.
template <class Number, class Piece, class Use>
NonfiniteCounts for_each_finite(const std::vector<const ModelTensor*>& tensors, Piece piece, Use use) {
  constexpr ElementType kAsItIs = sizeof(Number) == 4 ? ElementType::float32 : ElementType::float64;
  NonfiniteCounts counts;
  std::vector<Number> buffer(kBlockElements);
  for (const ModelTensor* const tensor : tensors) {
    const std::size_t bytes = element_size(tensor->type);
    tensor->elements->for_each_piece([&](const void* data, std::size_t count) {
      piece(*tensor, data, count);
      const auto* from = static_cast<const char*>(data);
      for (std::size_t done = 0; done < count;) {
        const std::size_t here = std::min(count - done, kBlockElements);
        const Number* numbers = buffer.data();
        if (tensor->type == kAsItIs) {
          numbers = reinterpret_cast<const Number*>(static_cast<const void*>(from));
        } else {
          to_numbers(tensor->type, from, here, buffer.data());
        }
        std::size_t finite = here;
        if (!all_finite(numbers, here)) {
          if (numbers != buffer.data()) std::copy_n(numbers, here, buffer.data());
          numbers = buffer.data();
          finite = keep_finite(buffer.data(), here, counts);
        }
        if (finite > 0) use(*tensor, numbers, finite);
        from += here * bytes;
        done += here;
      }
    });
  }
  return counts;
}

}  // namespace vigil
