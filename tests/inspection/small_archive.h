// Archives of a few bytes, with every number in them at hand to be lied about.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vigil::test {

inline std::string little(std::uint64_t value, std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
  return text;
}

struct SmallEntry {
  std::string name;
  std::string contents;
  bool deflated = false;
};

inline std::string deflated(const std::string& contents) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, contents.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(contents.data()));
  stream.avail_in = static_cast<uInt>(contents.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

inline std::string small_archive(const std::vector<SmallEntry>& entries) {
  std::string file;
  std::string directory;
  for (const SmallEntry& entry : entries) {
    const std::string data = entry.deflated ? deflated(entry.contents) : entry.contents;
    const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(entry.contents.data()), entry.contents.size());
    // Flags, method, time, date, checksum, sizes, length of the name, of the extra field.
    const std::string both = little(0, 2) + little(entry.deflated ? 8 : 0, 2) + little(0, 4) + little(crc, 4) + little(data.size(), 4) +
                             little(entry.contents.size(), 4) + little(entry.name.size(), 2) + little(0, 2);
    directory += "PK\x01\x02" + little(20, 2) + little(20, 2) + both + little(0, 2) + little(0, 2) + little(0, 2) + little(0, 4) +
                 little(file.size(), 4) + entry.name;
    file += "PK\x03\x04" + little(20, 2) + both + entry.name + data;
  }
  const std::size_t offset = file.size();
  return file + directory + "PK\x05\x06" + little(0, 4) + little(entries.size(), 2) + little(entries.size(), 2) +
         little(directory.size(), 4) + little(offset, 4) + little(0, 2);
}

// --- pickles ---

inline std::string text(std::string_view value) { return 'X' + little(value.size(), 4) + std::string(value); }
inline std::string number(std::int64_t value) { return std::string("\x8a\x08") + little(static_cast<std::uint64_t>(value), 8); }
inline std::string tuple(const std::vector<std::int64_t>& numbers) {
  std::string pickled = "(";
  for (const std::int64_t each : numbers) pickled += number(each);
  return pickled + 't';
}

struct SmallTensor {
  std::string storage = "FloatStorage";
  std::string key = "0";
  std::int64_t offset = 0;
  std::vector<std::int64_t> sizes{2, 3};
  std::vector<std::int64_t> strides{3, 1};
};

inline std::string pickled(const SmallTensor& tensor) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\n" + tensor.storage + '\n' + text(tensor.key) + text("cpu") +
         number(6) + "tQ" + number(tensor.offset) + tuple(tensor.sizes) + tuple(tensor.strides) + "\x89" +
         "ccollections\nOrderedDict\n)RtR";
}

/// A state dict of one tensor "w".
inline std::string state_dict(const SmallTensor& tensor) { return std::string("\x80\x02}") + text("w") + pickled(tensor) + "s."; }

/// A model of six floats, 0 to 5, with any pickle.
inline std::string small_model(const std::string& pickle, bool deflate_elements = false) {
  std::string elements;
  for (const std::uint32_t bits : {0u, 0x3f800000u, 0x40000000u, 0x40400000u, 0x40800000u, 0x40a00000u}) elements += little(bits, 4);
  return small_archive({{"m/data.pkl", pickle}, {"m/data/0", elements, deflate_elements}, {"m/version", "3\n"}});
}

}  // namespace vigil::test
