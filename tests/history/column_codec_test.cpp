#include "vigil/history/column_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace vigil {
namespace {

using Words = std::vector<std::uint64_t>;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();

Words words_of(const std::vector<double>& values) {
  Words words;
  for (const double value : values) words.push_back(word_of(value));
  return words;
}

std::string packed(const Words& words, ColumnKind kind) {
  std::string bytes;
  append_column(bytes, words.data(), words.size(), kind);
  return bytes;
}

Words read(std::string_view bytes, std::size_t count) {
  Words words(count, 0xABCD);
  read_column(bytes, words.data(), count);
  return words;
}

// Columns that lead to each of the encodings.
std::vector<Words> columns() {
  std::mt19937_64 random(3);
  std::vector<Words> all{
      {0},
      {7, 7, 7, 7},
      {1, 2, 3, 4, 5, 6},
      {10, 5, ~std::uint64_t{0}, 0, std::uint64_t{1} << 63},
      words_of({1.5, 1.5, 1.5, 1.5, 0.25, 0.25, 0.25}),
      words_of({1.5, -2.25, 1e-20f, 3e30f, -0.0, 0.0}),
      words_of({0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.2}),
      words_of({0.1, 0.2, 0.3}),
      words_of({kNan, -kNan, kInf, -kInf, -0.0, 0.0, 4.9e-324, 1.7976931348623157e308}),
      words_of({kNan, 1.5, kInf, -kInf}),
      {0x7ff0000000000001, 0xfff4000000000abc, 0x7ff8000000000001},  // NaNs of other payloads
  };
  Words random_words, random_times;
  std::uint64_t time = 1'700'000'000'000'000'000;
  for (int i = 0; i < 600; ++i) {
    random_words.push_back(random());
    random_times.push_back(time += 10'000'000 + random() % 100'000);
  }
  all.push_back(random_words);
  all.push_back(random_times);
  return all;
}

TEST(ColumnCodec, EveryBitOfIntegersAndRealsComesBack) {
  for (const Words& words : columns()) {
    for (const ColumnKind kind : {ColumnKind::integer, ColumnKind::real}) EXPECT_EQ(read(packed(words, kind), words.size()), words);
  }
}

TEST(ColumnCodec, TakesFewBytesForWhatHardlyChanges) {
  EXPECT_EQ(packed(Words(256, 42), ColumnKind::integer).size(), 9u);
  Words counter;
  for (std::uint64_t i = 0; i < 256; ++i) counter.push_back(1'000'000 + i);
  EXPECT_LT(packed(counter, ColumnKind::integer).size(), 262u);
  Words floats;
  for (int i = 0; i < 256; ++i) floats.push_back(word_of(static_cast<double>(0.1f * static_cast<float>(i))));
  EXPECT_EQ(packed(floats, ColumnKind::real).size(), 1u + 4 * 256);
}

TEST(ColumnCodec, RoundedNumbersAreTheNearestFloatAndNothingElseChanges) {
  const std::vector<double> values{0.1, -1e-7, kNan, kInf, -kInf, 0.0, -0.0, 3.4e38};
  const Words back = read(packed(words_of(values), ColumnKind::rounded), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) {
      EXPECT_TRUE(std::isnan(double_of(back[i])));
    } else {
      EXPECT_EQ(back[i], word_of(static_cast<double>(static_cast<float>(values[i])))) << values[i];
    }
  }
}

TEST(ColumnCodec, NumbersBeyondFloatAreNotRounded) {
  for (const double beyond : {1e39, -1e300, 1e-39, -1e-310}) {
    const std::vector<double> values{0.1, beyond, kNan};
    EXPECT_EQ(read(packed(words_of(values), ColumnKind::rounded), values.size()), words_of(values)) << beyond;
  }
}

TEST(ColumnCodec, DamagedBytesAreToldOrReadAsSomeOtherNumbers) {
  for (const Words& words : columns()) {
    for (const ColumnKind kind : {ColumnKind::integer, ColumnKind::real}) {
      const std::string bytes = packed(words, kind);
      for (std::size_t size = 0; size < bytes.size(); size += 1 + size / 16)
        EXPECT_THROW(read(std::string_view(bytes).substr(0, size), words.size()), DamagedData) << size << " of " << bytes.size();
      EXPECT_THROW(read(bytes + "x", words.size()), DamagedData);
      for (std::size_t i = 0; i < bytes.size(); i += 1 + i / 16) {
        std::string damaged = bytes;
        damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
        try {
          read(damaged, words.size());
        } catch (const DamagedData&) {
        }
      }
    }
  }
}

TEST(ColumnCodec, SealedBytesWithAnyBitFlippedAreDamaged) {
  ColumnSetWriter writer(3);
  const Words some{1, 2, 3}, others = words_of({0.5, kNan, 2.5}), zeros{0, 0, 0};
  writer.add(4, some.data(), ColumnKind::integer);
  writer.add(300, others.data(), ColumnKind::real);
  writer.add(5, zeros.data(), ColumnKind::real);
  const std::string bytes = writer.finish();

  const ColumnSetReader reader(bytes, 3);
  Words words(3, 9);
  reader.read(300, words.data());
  EXPECT_EQ(words, others);
  reader.read(4, words.data());
  EXPECT_EQ(words, some);
  reader.read(5, words.data());
  EXPECT_EQ(words, zeros);
  EXPECT_EQ(reader.columns().size(), 2u) << "zeros take no room";
  EXPECT_THROW(ColumnSetReader(bytes, 4).read(4, Words(4).data()), DamagedData);

  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_THROW(ColumnSetReader(damaged, 3), DamagedData) << bit;
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_THROW(ColumnSetReader(bytes.substr(0, size), 3), DamagedData);
}

}  // namespace
}  // namespace vigil
