// The broadcast ring: order, laps, torn reads, and a stress that ThreadSanitizer watches in the preset tsan.
#include "vigil/monitor/ring.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace vigil {
namespace {

struct Memory {
  explicit Memory(RingGeometry g) : geometry(g), words(new RingWord[g.total_words()]{}) {}
  RingWriter writer() { return {words.get(), geometry}; }
  RingReader reader() const { return {words.get(), geometry}; }
  RingGeometry geometry;
  std::unique_ptr<RingWord[]> words;
};

void push_number(RingWriter& writer, std::uint64_t n) { writer.push({{&n, 1}}); }

TEST(Ring, ReaderOfAnEmptyRingFindsNothing) {
  Memory memory({1, 4});
  std::uint64_t word = 99;
  RingReader reader = memory.reader();
  EXPECT_FALSE(reader.try_read(&word));
  EXPECT_EQ(word, 99u);
}

TEST(Ring, ReadsRecordsInOrderAndOnlyOnce) {
  Memory memory({1, 4});
  RingWriter writer = memory.writer();
  RingReader reader = memory.reader();
  for (std::uint64_t n = 0; n < 100; ++n) {
    push_number(writer, n);
    std::uint64_t word = 0;
    ASSERT_TRUE(reader.try_read(&word));
    EXPECT_EQ(word, n);
    EXPECT_FALSE(reader.try_read(&word));
  }
  EXPECT_EQ(reader.read(), 100u);
  EXPECT_EQ(reader.overwritten(), 0u);
}

TEST(Ring, SlowReaderSkipsToTheOldestWholeSlotAndCountsWhatItLost) {
  Memory memory({1, 4});
  RingWriter writer = memory.writer();
  RingReader reader = memory.reader();
  for (std::uint64_t n = 0; n < 11; ++n) push_number(writer, n);
  std::vector<std::uint64_t> seen;
  for (std::uint64_t word = 0; reader.try_read(&word);) seen.push_back(word);
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{7, 8, 9, 10}));
  EXPECT_EQ(reader.overwritten(), 7u);
}

TEST(Ring, ReadersDoNotDisturbEachOther) {
  Memory memory({1, 8});
  RingWriter writer = memory.writer();
  RingReader first = memory.reader(), second = memory.reader();
  for (std::uint64_t n = 0; n < 5; ++n) push_number(writer, n);
  std::uint64_t word = 0;
  while (first.try_read(&word)) {
  }
  EXPECT_EQ(first.read(), 5u);
  EXPECT_TRUE(second.try_read(&word));
  EXPECT_EQ(word, 0u);
}

TEST(Ring, JoinsTheTwoPiecesOfARecord) {
  Memory memory({5, 2});
  RingWriter writer = memory.writer();
  const std::uint64_t head[2] = {1, 2}, body[3] = {3, 4, 5};
  writer.push({{head, 2}, {body, 3}});
  std::vector<std::uint64_t> record(5);
  RingReader reader = memory.reader();
  ASSERT_TRUE(reader.try_read(record.data()));
  EXPECT_EQ(record, (std::vector<std::uint64_t>{1, 2, 3, 4, 5}));
}

TEST(Ring, SlotBeingWrittenIsNotReturned) {
  Memory memory({1, 2});
  RingWriter writer = memory.writer();
  for (std::uint64_t n = 0; n < 2; ++n) push_number(writer, n);
  // What a writer leaves that died while it wrote record 2 over record 0: the sequence word is odd.
  memory.words[RingGeometry::kLineWords].store(2 * 2 + 1);
  RingReader reader = memory.reader();
  std::uint64_t word = 0;
  ASSERT_TRUE(reader.try_read(&word));
  EXPECT_EQ(word, 1u);
  EXPECT_EQ(reader.overwritten(), 1u);
  EXPECT_FALSE(reader.try_read(&word));
}

TEST(Ring, SlotsDoNotShareCacheLines) {
  const RingGeometry geometry{9, 3};
  EXPECT_EQ(geometry.slot_words() % RingGeometry::kLineWords, 0u);
  EXPECT_GE(geometry.slot_words(), 1 + geometry.payload_words);
}

// A record whose words follow from its number, so that a mix of two records cannot pass for one.
constexpr std::size_t kWords = 24;
void fill(std::uint64_t* words, std::uint64_t n) {
  words[0] = n;
  for (std::size_t i = 1; i < kWords; ++i) words[i] = (words[i - 1] + n) * 0x9e3779b97f4a7c15ULL;
}
bool is_whole(const std::uint64_t* words) {
  std::uint64_t expected[kWords];
  fill(expected, words[0]);
  return std::equal(words, words + kWords, expected);
}

TEST(Ring, UnderStressEveryRecordIsReadWholeOrCountedAsOverwritten) {
  constexpr std::uint64_t kRecords = 200000;
  Memory memory({kWords, 16});
  struct Outcome {
    std::uint64_t read = 0, overwritten = 0, torn = 0, broken = 0, disordered = 0;
  };
  std::vector<Outcome> outcomes(3);
  std::atomic<std::size_t> ready{0};
  std::atomic<bool> done{false};

  std::vector<std::thread> readers;
  for (Outcome& outcome : outcomes) {
    readers.emplace_back([&] {
      RingReader reader = memory.reader();
      std::uint64_t words[kWords];
      std::uint64_t next = 0;
      ready.fetch_add(1);
      for (bool last = false;;) {
        last = done.load();
        while (reader.try_read(words)) {
          outcome.broken += !is_whole(words);
          outcome.disordered += words[0] < next;
          next = words[0] + 1;
        }
        if (last) break;
      }
      outcome.read = reader.read();
      outcome.overwritten = reader.overwritten();
      outcome.torn = reader.torn();
    });
  }
  while (ready.load() < readers.size()) std::this_thread::yield();
  RingWriter writer = memory.writer();
  std::uint64_t words[kWords];
  for (std::uint64_t n = 0; n < kRecords; ++n) {
    fill(words, n);
    writer.push({{words, kWords}});
  }
  done.store(true);
  for (std::thread& reader : readers) reader.join();

  for (const Outcome& outcome : outcomes) {
    EXPECT_EQ(outcome.broken, 0u);
    EXPECT_EQ(outcome.disordered, 0u);
    EXPECT_EQ(outcome.read + outcome.overwritten, kRecords);
    EXPECT_LE(outcome.torn, outcome.overwritten);
    EXPECT_GT(outcome.read, 0u);
  }
}

// The stress above tears few of its small records. Here a reader copies a long one while the writer laps it, until it has met that.
TEST(Ring, RecordThatChangesWhileItIsCopiedIsDiscarded) {
  constexpr std::size_t kLong = 8192;
  constexpr std::uint64_t kTornEnough = 10;
  Memory memory({kLong, 2});
  std::atomic<bool> done{false};
  std::thread writing([&] {
    RingWriter writer = memory.writer();
    std::vector<std::uint64_t> words(kLong);
    for (std::uint64_t n = 0; !done.load(); ++n) {
      std::fill(words.begin(), words.end(), n);
      writer.push({{words.data(), kLong}});
    }
  });
  std::vector<std::uint64_t> words(kLong);
  std::uint64_t mixed = 0, torn = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (torn < kTornEnough && mixed == 0 && std::chrono::steady_clock::now() < deadline) {
    RingReader reader = memory.reader();  // a new one always has something to copy, so that one core is enough to be interrupted in it
    if (reader.try_read(words.data())) mixed += !std::equal(words.begin() + 1, words.end(), words.begin());
    torn += reader.torn();
  }
  done.store(true);
  writing.join();
  EXPECT_EQ(mixed, 0u);
  EXPECT_GE(torn, kTornEnough);
}

}  // namespace
}  // namespace vigil
