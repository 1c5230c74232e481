// A broadcast ring: one writer, any number of readers, the oldest slot is overwritten.
//
// Invariants
//  1. The writer never waits for, looks at or writes for a reader. A reader's cursor lives with the reader.
//  2. Word 0 is the number of committed records. Record i lies in slot i % slot_count.
//  3. A slot's first word is its sequence: 2i+1 while record i is being written, 2i+2 once it is whole, 0 before any.
//  4. Every word is written by a release store and read by an acquire load. A reader that has seen one word of record
//     i + slot_count therefore also sees that the sequence is no longer 2i+2, and discards what it copied: no torn record is
//     ever returned. (Fences would be cheaper on weak machines, but ThreadSanitizer cannot check them; on x86-64 these are plain
//     moves.)
//  5. For each reader, once it has caught up: committed = read + overwritten.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace vigil {

using RingWord = std::atomic<std::uint64_t>;
static_assert(RingWord::is_always_lock_free && sizeof(RingWord) == 8, "rings are shared between threads and processes");

/// Sizes of a ring, from which the place of everything in it follows.
struct RingGeometry {
  std::size_t payload_words = 0;  ///< 8-byte words of one record
  std::size_t slot_count = 0;     ///< records kept, at least 1

  static constexpr std::size_t kLineWords = 8;  ///< one cache line: slots do not share one
  constexpr std::size_t slot_words() const noexcept { return (1 + payload_words + kLineWords - 1) / kLineWords * kLineWords; }
  constexpr std::size_t total_words() const noexcept { return kLineWords + slot_count * slot_words(); }
};

/// A part of a record: whole words from any plain data.
struct RingPiece {
  const void* data = nullptr;
  std::size_t words = 0;
};

/// Writes records into memory it does not own, `geometry.total_words()` zeroed words, 64-byte aligned.
class RingWriter {
 public:
  RingWriter(RingWord* memory, RingGeometry geometry) noexcept : memory_(memory), geometry_(geometry) {}

  /// Appends one record made of `pieces`, one behind the other, whose words together are at most `payload_words`; what is left of the
  /// slot keeps its old content. Wait-free; one thread only.
  void push(std::initializer_list<RingPiece> pieces) noexcept;

 private:
  RingWord* memory_;
  RingGeometry geometry_;
  std::uint64_t next_ = 0;
};

/// Reads records in order from its own cursor, starting at the oldest one still there.
class RingReader {
 public:
  RingReader(const RingWord* memory, RingGeometry geometry) noexcept : memory_(memory), geometry_(geometry) {}

  /// Copies the next whole record into `words[0 … payload_words)` and moves on; false when there is none. Records that the
  /// writer has overwritten are skipped and counted. Never waits.
  bool try_read(std::uint64_t* words) noexcept;

  std::uint64_t read() const noexcept { return read_; }
  /// Records that were gone before this reader came to them.
  std::uint64_t overwritten() const noexcept { return overwritten_; }
  /// How often a copy was discarded because its slot changed meanwhile; such a record counts as overwritten too.
  std::uint64_t torn() const noexcept { return torn_; }

 private:
  const RingWord* memory_;
  RingGeometry geometry_;
  std::uint64_t cursor_ = 0;
  std::uint64_t read_ = 0;
  std::uint64_t overwritten_ = 0;
  std::uint64_t torn_ = 0;
};

}  // namespace vigil
