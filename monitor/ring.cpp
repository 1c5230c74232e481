#include "vigil/monitor/ring.h"

#include <cstring>

namespace vigil {
namespace {

const RingWord* slot_at(const RingWord* memory, const RingGeometry& geometry, std::uint64_t index) noexcept {
  return memory + RingGeometry::kLineWords + (index % geometry.slot_count) * geometry.slot_words();
}

RingWord* store_words(RingWord* out, RingPiece piece) noexcept {
  const auto* bytes = static_cast<const unsigned char*>(piece.data);
  for (std::size_t i = 0; i < piece.words; ++i) {
    std::uint64_t word;
    std::memcpy(&word, bytes + i * 8, 8);
    // release: pairs with the acquire load of the same word in try_read, see invariant 4.
    out[i].store(word, std::memory_order_release);
  }
  return out + piece.words;
}

}  // namespace

void RingWriter::push(std::initializer_list<RingPiece> pieces) noexcept {
  auto* slot = const_cast<RingWord*>(slot_at(memory_, geometry_, next_));
  // relaxed: the release stores of the words below carry it, being later in this thread.
  slot[0].store(2 * next_ + 1, std::memory_order_relaxed);
  RingWord* out = slot + 1;
  for (const RingPiece piece : pieces) out = store_words(out, piece);
  // release: who sees the even sequence sees the words before it.
  slot[0].store(2 * next_ + 2, std::memory_order_release);
  ++next_;
  // release: who sees the count sees the slot whole.
  memory_[0].store(next_, std::memory_order_release);
}

bool RingReader::try_read(std::uint64_t* words) noexcept {
  for (;;) {
    // acquire: pairs with the last store of push; slots below the count have been whole.
    const std::uint64_t committed = memory_[0].load(std::memory_order_acquire);
    if (cursor_ >= committed) return false;
    if (committed - cursor_ > geometry_.slot_count) {
      const std::uint64_t gone = committed - cursor_ - geometry_.slot_count;
      overwritten_ += gone;
      cursor_ += gone;
    }
    const RingWord* slot = slot_at(memory_, geometry_, cursor_);
    const std::uint64_t whole = 2 * cursor_ + 2;
    // acquire: pairs with push's store of the even sequence; the words of this record are visible.
    if (slot[0].load(std::memory_order_acquire) == whole) {
      for (std::size_t i = 0; i < geometry_.payload_words; ++i) words[i] = slot[1 + i].load(std::memory_order_acquire);
      // relaxed: the acquire loads above order it, see invariant 4.
      if (slot[0].load(std::memory_order_relaxed) == whole) {
        ++cursor_;
        ++read_;
        return true;
      }
      ++torn_;
    }
    ++overwritten_;
    ++cursor_;
  }
}

}  // namespace vigil
