// Columns of 64-bit words as few bytes, and back: what the blobs of the history are made of (docs/history.md describes them).
// Whatever bytes are read: they are right, or DamagedData is thrown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace vigil {

/// Bytes that are not what was written.
struct DamagedData : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class ColumnKind : std::uint8_t {
  integer,  ///< whole numbers
  real,     ///< doubles, which come back bit by bit
  /// Doubles that may come back as the nearest float: NaN stays NaN and an infinity one, and when any of them is beyond what float has in
  /// full precision, all come back bit by bit.
  rounded,
};

inline double double_of(std::uint64_t word) noexcept {
  double value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}

inline std::uint64_t word_of(double value) noexcept {
  std::uint64_t word;
  std::memcpy(&word, &value, sizeof word);
  return word;
}

/// Bytes that append_varint() appends for a number, 1 to 10.
constexpr std::size_t varint_size(std::uint64_t value) noexcept {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

/// Appends a number in groups of seven bits, the lowest first, as Protocol Buffers do.
void append_varint(std::string& out, std::uint64_t value);

/// Appends the eight bytes of a word.
void append_word(std::string& out, std::uint64_t word);

/// Reads what the functions here have appended. Does not own the bytes.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) noexcept : bytes_(bytes) {}

  bool is_at_end() const noexcept { return bytes_.empty(); }
  std::size_t size() const noexcept { return bytes_.size(); }
  // All throw DamagedData where there are not as many bytes.
  std::uint64_t varint();
  /// A varint that is at most `max`.
  std::size_t count(std::size_t max);
  std::string_view bytes(std::size_t size);
  std::uint64_t word();
  std::uint8_t byte() { return static_cast<std::uint8_t>(bytes(1).front()); }

 private:
  std::string_view bytes_;
};

/// Appends `count` words, of which there is at least one.
void append_column(std::string& out, const std::uint64_t* words, std::size_t count, ColumnKind kind);

/// Reads `count` words back. @throws DamagedData unless `bytes` is one column of as many
void read_column(std::string_view bytes, std::uint64_t* words, std::size_t count);

/// Appends the CRC-32 of what is there, for open_sealed().
void seal(std::string& out);
/// The bytes without their CRC-32. @throws DamagedData when it is another
std::string_view open_sealed(std::string_view bytes);

/// Several columns of the same length behind one another, each with its number. One that holds zeros only takes no room.
class ColumnSetWriter {
 public:
  explicit ColumnSetWriter(std::size_t length) : length_(length) {}

  void add(std::size_t number, const std::uint64_t* words, ColumnKind kind);
  /// The set, sealed.
  std::string finish();

 private:
  std::size_t length_;
  std::string out_, column_;
};

/// The set that a ColumnSetWriter made. Does not own the bytes.
class ColumnSetReader {
 public:
  /// @throws DamagedData
  ColumnSetReader(std::string_view bytes, std::size_t length);

  struct Column {
    std::size_t number;
    std::string_view bytes;
  };
  const std::vector<Column>& columns() const noexcept { return columns_; }
  /// The words of column `number`; zeros when the set has none. @throws DamagedData
  void read(std::size_t number, std::uint64_t* words) const;

 private:
  std::size_t length_;
  std::vector<Column> columns_;
};

}  // namespace vigil
