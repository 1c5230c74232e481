#include "vigil/history/column_codec.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

// The first byte of a column. Numbers are little-endian.
enum class Encoding : std::uint8_t {
  constant,     // one word
  words,        // each as it is
  floats,       // each as a float
  differences,  // each as a varint: zigzag of what it is more than the one before, the first more than 0
  word_runs,    // varint how often, word; and so on
  float_runs,   // varint how often, float
};

// Small for numbers near 0 of either sign, in two's complement.
constexpr std::uint64_t zigzag(std::uint64_t difference) noexcept { return (difference << 1) ^ (0 - (difference >> 63)); }
constexpr std::uint64_t unzigzag(std::uint64_t coded) noexcept { return (coded >> 1) ^ (0 - (coded & 1)); }

template <class T>
void append_plain(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

template <class T>
T read_plain(std::string_view bytes) noexcept {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

bool is_float(std::uint64_t word) noexcept { return word_of(static_cast<double>(static_cast<float>(double_of(word)))) == word; }

// Whether the nearest float says the same but for digits.
bool is_near_float(std::uint64_t word) noexcept {
  const double value = double_of(word);
  if (!is_finite_bits(value)) return true;
  const double magnitude = std::fabs(value);
  return (magnitude >= static_cast<double>(std::numeric_limits<float>::min()) &&
          magnitude <= static_cast<double>(std::numeric_limits<float>::max())) ||
         is_float(word);
}

// What runs of equal words cost.
struct Runs {
  std::size_t count = 0, length_bytes = 0;
};

template <class Same>
Runs runs_of(std::size_t count, Same same) noexcept {
  Runs runs;
  for (std::size_t begin = 0; begin < count;) {
    std::size_t end = begin + 1;
    while (end < count && same(begin, end)) ++end;
    ++runs.count;
    runs.length_bytes += varint_size(end - begin);
    begin = end;
  }
  return runs;
}

std::uint32_t float_bits(std::uint64_t word) noexcept {
  const float value = static_cast<float>(double_of(word));
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

std::uint64_t word_of_float(std::uint32_t bits) noexcept {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return word_of(static_cast<double>(value));
}

void begin(std::string& out, Encoding encoding) { out += static_cast<char>(encoding); }

template <class Plain, class Value>
void append_runs(std::string& out, std::size_t count, Value value) {
  for (std::size_t first = 0; first < count;) {
    const Plain word = value(first);
    std::size_t end = first + 1;
    while (end < count && value(end) == word) ++end;
    append_varint(out, end - first);
    append_plain(out, word);
    first = end;
  }
}

void append_integers(std::string& out, const std::uint64_t* words, std::size_t count) {
  std::size_t difference_bytes = 0;
  for (std::size_t i = 0; i < count; ++i) difference_bytes += varint_size(zigzag(words[i] - (i > 0 ? words[i - 1] : 0)));
  const Runs runs = runs_of(count, [&](std::size_t a, std::size_t b) { return words[a] == words[b]; });
  const std::size_t run_bytes = runs.length_bytes + 8 * runs.count;
  if (run_bytes < difference_bytes) {
    begin(out, Encoding::word_runs);
    append_runs<std::uint64_t>(out, count, [&](std::size_t i) { return words[i]; });
  } else if (8 * count < difference_bytes) {
    begin(out, Encoding::words);
    for (std::size_t i = 0; i < count; ++i) append_plain(out, words[i]);
  } else {
    begin(out, Encoding::differences);
    for (std::size_t i = 0; i < count; ++i) append_varint(out, zigzag(words[i] - (i > 0 ? words[i - 1] : 0)));
  }
}

void append_reals(std::string& out, const std::uint64_t* words, std::size_t count, bool may_round) {
  const bool are_floats = std::all_of(words, words + count, may_round ? is_near_float : is_float);
  if (are_floats) {
    const Runs runs = runs_of(count, [&](std::size_t a, std::size_t b) { return float_bits(words[a]) == float_bits(words[b]); });
    if (runs.length_bytes + 4 * runs.count < 4 * count) {
      begin(out, Encoding::float_runs);
      append_runs<std::uint32_t>(out, count, [&](std::size_t i) { return float_bits(words[i]); });
    } else {
      begin(out, Encoding::floats);
      for (std::size_t i = 0; i < count; ++i) append_plain(out, float_bits(words[i]));
    }
    return;
  }
  const Runs runs = runs_of(count, [&](std::size_t a, std::size_t b) { return words[a] == words[b]; });
  if (runs.length_bytes + 8 * runs.count < 8 * count) {
    begin(out, Encoding::word_runs);
    append_runs<std::uint64_t>(out, count, [&](std::size_t i) { return words[i]; });
  } else {
    begin(out, Encoding::words);
    for (std::size_t i = 0; i < count; ++i) append_plain(out, words[i]);
  }
}

template <class Read>
void read_runs(ByteReader& bytes, std::uint64_t* words, std::size_t count, Read read) {
  for (std::size_t i = 0; i < count;) {
    const std::size_t length = bytes.count(count - i);
    if (length == 0) throw DamagedData("a run of a column is empty");
    std::fill_n(words + i, length, read());
    i += length;
  }
}

}  // namespace

void append_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

void append_word(std::string& out, std::uint64_t word) { append_plain(out, word); }

std::string_view ByteReader::bytes(std::size_t size) {
  if (size > bytes_.size()) throw DamagedData("bytes are missing at the end");
  const std::string_view taken = bytes_.substr(0, size);
  bytes_.remove_prefix(size);
  return taken;
}

std::uint64_t ByteReader::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const std::uint64_t group = byte();
    value |= (group & 0x7f) << shift;
    if (group < 0x80) return value;
  }
  throw DamagedData("a number has more than 64 bits");
}

std::size_t ByteReader::count(std::size_t max) {
  const std::uint64_t value = varint();
  if (value > max) throw DamagedData("a count is " + std::to_string(value) + ", and at most " + std::to_string(max) + " are expected");
  return static_cast<std::size_t>(value);
}

std::uint64_t ByteReader::word() { return read_plain<std::uint64_t>(bytes(8)); }

void append_column(std::string& out, const std::uint64_t* words, std::size_t count, ColumnKind kind) {
  if (std::all_of(words, words + count, [&](std::uint64_t word) { return word == words[0]; })) {
    begin(out, Encoding::constant);
    append_plain(out, words[0]);
  } else if (kind == ColumnKind::integer) {
    append_integers(out, words, count);
  } else {
    append_reals(out, words, count, kind == ColumnKind::rounded);
  }
}

void read_column(std::string_view column, std::uint64_t* words, std::size_t count) {
  ByteReader bytes(column);
  const auto read_float = [&bytes] { return word_of_float(read_plain<std::uint32_t>(bytes.bytes(4))); };
  switch (static_cast<Encoding>(bytes.byte())) {
    case Encoding::constant: std::fill_n(words, count, bytes.word()); break;
    case Encoding::words: {
      const std::string_view all = bytes.bytes(8 * count);
      std::memcpy(words, all.data(), all.size());
      break;
    }
    case Encoding::floats: {
      const std::string_view all = bytes.bytes(4 * count);
      for (std::size_t i = 0; i < count; ++i) words[i] = word_of_float(read_plain<std::uint32_t>(all.substr(4 * i)));
      break;
    }
    case Encoding::differences: {
      std::uint64_t word = 0;
      for (std::size_t i = 0; i < count; ++i) words[i] = word += unzigzag(bytes.varint());
      break;
    }
    case Encoding::word_runs: read_runs(bytes, words, count, [&bytes] { return bytes.word(); }); break;
    case Encoding::float_runs: read_runs(bytes, words, count, read_float); break;
    default: throw DamagedData("a column has an encoding that there is not");
  }
  if (!bytes.is_at_end()) throw DamagedData("a column has bytes behind its end");
}

void seal(std::string& out) {
  append_plain(out, static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(out.data()), out.size())));
}

std::string_view open_sealed(std::string_view bytes) {
  if (bytes.size() < 4) throw DamagedData("a blob is too short");
  const std::string_view content = bytes.substr(0, bytes.size() - 4);
  const auto expected = static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size()));
  if (read_plain<std::uint32_t>(bytes.substr(content.size())) != expected) throw DamagedData("the checksum of a blob does not match");
  return content;
}

void ColumnSetWriter::add(std::size_t number, const std::uint64_t* words, ColumnKind kind) {
  if (std::all_of(words, words + length_, [](std::uint64_t word) { return word == 0; })) return;
  column_.clear();
  append_column(column_, words, length_, kind);
  append_varint(out_, number);
  append_varint(out_, column_.size());
  out_ += column_;
}

std::string ColumnSetWriter::finish() {
  seal(out_);
  return std::move(out_);
}

ColumnSetReader::ColumnSetReader(std::string_view sealed, std::size_t length) : length_(length) {
  ByteReader bytes(open_sealed(sealed));
  while (!bytes.is_at_end()) {
    const std::size_t number = bytes.count(std::numeric_limits<std::uint32_t>::max());
    const std::size_t size = bytes.count(bytes.size());
    columns_.push_back({number, bytes.bytes(size)});
  }
}

void ColumnSetReader::read(std::size_t number, std::uint64_t* words) const {
  for (const Column& column : columns_) {
    if (column.number == number) return read_column(column.bytes, words, length_);
  }
  std::fill_n(words, length_, 0);
}

}  // namespace vigil
