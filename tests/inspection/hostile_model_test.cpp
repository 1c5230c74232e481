// Files that are damaged, are no models, or are made to deceive.
#include <sys/stat.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "files.h"
#include "inspection/small_archive.h"
#include "vigil/inspection/saved_model.h"

namespace vigil {
namespace {

using namespace test;

// What is wrong with the file, its name cut off; "" if it was read, all elements included.
std::string refusal_of(const std::filesystem::path& path) {
  try {
    for (const ModelTensor& tensor : open_saved_model(path).tensors) {
      std::uint64_t elements = 0;
      tensor.elements->for_each_piece([&](const void*, std::size_t count) { elements += count; });
      EXPECT_EQ(elements, element_count(tensor));
    }
    return "";
  } catch (const InspectionError& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.rfind(path.string() + ": ", 0), 0u) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message.substr(std::min(message.size(), path.string().size() + 2));
  }
}

std::string refusal_of_bytes(const TemporaryFolder& folder, const std::string& bytes) { return refusal_of(folder.write("m.pt", bytes)); }

std::string with_bytes(std::string file, std::size_t at, const std::string& bytes) { return file.replace(at, bytes.size(), bytes); }

TEST(HostileModel, WhatIsNoModelIsNamedForWhatItIs) {
  const TemporaryFolder folder;
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "is empty"},
      {"hello\n", "is a text"},
      {"\x89PNG\r\n\x1a\n" + std::string(40, '\0'), "is a PNG picture"},
      {std::string("PK\x03\x04") + std::string(200, '\0'), "is cut off"},
      {std::string("\x80\x02}.") + std::string(40, '\0'), "is a bare Python pickle"},
      {std::string(300, '\x01'), "is no saved model"},
      {small_archive({{"a.txt", "a"}}), "is a ZIP archive without a model"},
      {small_archive({{"arr_0.npy", "a"}}), "is an archive of NumPy arrays"},
      {small_archive({{"m/data.pkl", state_dict({})}, {"m/data/0", std::string(24, '\0')}, {"m/byteorder", "big"}}),
       "was written on a big-endian machine"},
  };
  for (const auto& [bytes, expected] : cases) EXPECT_EQ(refusal_of_bytes(folder, bytes).substr(0, expected.size()), expected);
  EXPECT_EQ(refusal_of(folder.path()).substr(0, 11), "is a folder");
  EXPECT_EQ(refusal_of(folder.path() / "none"), "cannot be opened: No such file or directory");
  const std::filesystem::path pipe = folder.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(refusal_of(pipe).substr(0, 18), "is no regular file");
}

TEST(HostileModel, EveryNumberOfATensorIsChecked) {
  const TemporaryFolder folder;
  constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
  std::vector<SmallTensor> lies(9);
  lies[0].offset = 1;
  lies[1].offset = -1;
  lies[2].sizes = {3, 3};
  lies[3].sizes = {-2, 3};
  lies[4].strides = {-3, 1};
  lies[5].sizes = {kLargest, kLargest};
  lies[6].strides = {kLargest, kLargest};
  lies[7].storage = "DoubleStorage";
  lies[8].offset = kLargest;
  ASSERT_EQ(refusal_of_bytes(folder, small_model(state_dict({}))), "");
  for (std::size_t i = 0; i < lies.size(); ++i) {
    const std::string refusal = refusal_of_bytes(folder, small_model(state_dict(lies[i])));
    EXPECT_EQ(refusal.rfind("its tensor w of ", 0), 0u) << i << ": " << refusal;
    EXPECT_NE(refusal.find("is larger than the entry m/data/0, which has 24 bytes"), std::string::npos) << i << ": " << refusal;
  }
  SmallTensor elsewhere;
  elsewhere.key = "../../etc/passwd";
  EXPECT_NE(refusal_of_bytes(folder, small_model(state_dict(elsewhere))).find("which is not in the file"), std::string::npos);
  SmallTensor uneven;
  uneven.strides = {1};
  EXPECT_NE(refusal_of_bytes(folder, small_model(state_dict(uneven))).find("more sizes than strides"), std::string::npos);
}

TEST(HostileModel, AnExpandedTensorIsPassedOverRatherThanReadForDays) {
  const TemporaryFolder folder;
  SmallTensor tensor;
  tensor.sizes = {1 << 20, 1 << 20};
  tensor.strides = {0, 0};
  const SavedModel model = open_saved_model(folder.write("m.pt", small_model(state_dict(tensor))));
  EXPECT_TRUE(model.tensors.empty());
  ASSERT_EQ(model.passed_over.size(), 1u);
  EXPECT_EQ(model.passed_over[0].name, "w");
  EXPECT_EQ(model.passed_over[0].reason, "it repeats the 4 bytes that the file holds of it to 4.0 TiB");
}

TEST(HostileModel, APickleThatIsNoneIsRefusedWithTheByte) {
  const TemporaryFolder folder;
  const std::string begin = "\x80\x02";
  std::string deep = begin;
  for (int i = 0; i < 1000; ++i) deep += ']';
  for (int i = 0; i < 999; ++i) deep += 'a';
  // Each list holds the one before twice: 2^60 values in 60 bytes.
  std::string laughs = begin + '}' + text("w") + ']' + pickled({}) + 'a';
  for (char i = 0; i < 60; ++i) laughs += std::string("q") + i + "0](h" + i + 'h' + i + 'e';
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "ends within a value (byte 0)"},
      {begin + "N", "ends within a value (byte 3)"},
      {begin + ".", "takes a value that is not there (byte 2)"},
      {begin + "\x95", "ends within a value"},
      {begin + "i__builtin__\neval\n.", "has the opcode 0x69 'i', which neither libtorch nor torch.save writes (byte 2)"},
      {begin + "h\x05.", "refers to a value that it has not noted"},
      {begin + "X\xff\xff\xff\xff" + "a.", "ends within a value"},
      {begin + "t.", "has no mark where it needs one"},
      {begin + "}Ns.", "takes a value that is not there"},
      {begin + "NN.", "ends with values left over"},
      {begin + "N}b.", "gives a state to what is no object"},
      {std::string("\x80\x07N."), "is of protocol 7"},
      {deep + '.', "is nested deeper than 200"},
      {laughs + "s.", "is more than the 524,288th tensor"},
  };
  for (const auto& [pickle, expected] : cases) {
    const std::string refusal = refusal_of_bytes(folder, small_model(pickle));
    EXPECT_NE(refusal.find(expected), std::string::npos) << refusal << "\nexpected " << expected;
  }
}

TEST(HostileModel, ACallIsDescribedAndNeverMade) {
  const TemporaryFolder folder;
  const std::string marker = folder.file("made");
  const std::string pickle =
      std::string("\x80\x02}") + text("w") + pickled({}) + "s" + text("x") + "cposix\nsystem\n" + text("touch " + marker) + "\x85Rs.";
  const SavedModel model = open_saved_model(folder.write("m.pt", small_model(pickle)));
  EXPECT_EQ(model.tensors.size(), 1u);
  EXPECT_FALSE(std::filesystem::exists(marker));
}

TEST(HostileModel, AListThatHoldsItselfIsReadOnce) {
  const TemporaryFolder folder;
  EXPECT_EQ(refusal_of_bytes(folder, small_model(std::string("\x80\x02]q") + '\0' + "h" + '\0' + "a" + pickled({}) + "a.")), "");
}

TEST(HostileModel, EntriesThatLieUponEachOtherAreRefused) {
  const TemporaryFolder folder;
  const std::string file = small_archive({{"m/data.pkl", state_dict({})}, {"m/data/0", std::string(24, '\0')}});
  const std::size_t second = file.rfind("PK\x01\x02");
  const std::size_t first = file.find("PK\x01\x02");
  ASSERT_NE(first, second);
  // The second entry is the first one again, by its offset, sizes, checksum and name.
  std::string twice = file;
  twice.replace(second, 46, file.substr(first, 46));
  EXPECT_NE(refusal_of_bytes(folder, twice), "");
  std::string same_name = small_archive({{"m/data.pkl", "N."}, {"m/data.pkl", "N."}});
  EXPECT_NE(refusal_of_bytes(folder, same_name).find("two entries of the name m/data.pkl"), std::string::npos);
}

TEST(HostileModel, EveryFieldOfTheEndOfTheArchiveMayLie) {
  const TemporaryFolder folder;
  const std::string file = small_model(state_dict({}));
  const std::size_t end = file.size() - 22;
  for (const std::size_t field : {4u, 6u, 8u, 10u, 12u, 14u, 16u, 18u, 20u}) {
    for (const std::uint64_t value : {1u, 2u, 0x7fffu, 0xffffu}) {
      const std::string refusal = refusal_of_bytes(folder, with_bytes(file, end + field, little(value, 2)));
      EXPECT_NE(refusal, "") << field << ' ' << value;
    }
  }
}

TEST(HostileModel, AFileCutAtAnyByteIsRefused) {
  const TemporaryFolder folder;
  const std::string file = small_model(state_dict({}));
  for (std::size_t bytes = 0; bytes < file.size(); ++bytes) EXPECT_NE(refusal_of_bytes(folder, file.substr(0, bytes)), "") << bytes;
}

// Fields of the directory that no reader goes by: who made the entry, and what kind of file it was there.
bool is_meaningless(const std::string& file, std::size_t at) {
  for (std::size_t entry = file.find("PK\x01\x02"); entry != std::string::npos; entry = file.find("PK\x01\x02", entry + 1)) {
    const std::size_t field = at - entry;
    if (at > entry && ((field >= 4 && field < 6) || (field >= 36 && field < 42))) return true;
  }
  return false;
}

void expect_flips_found(bool is_deflated) {
  const TemporaryFolder folder;
  const std::string file = small_model(state_dict({}), is_deflated);
  const std::size_t data = file.find("m/data/0") + 8;
  for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
    std::string flipped = file;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    const std::filesystem::path path = folder.write("m.pt", flipped);
    const std::string refusal = refusal_of(path);
    // A bit of packed data may be one of another packing of the same.
    const bool is_same = is_deflated && bit / 8 >= data && bit / 8 < file.find("PK", data);
    bool is_found = !refusal.empty() || is_same;
    try {
      is_found = is_found || !check_integrity(path).empty();
    } catch (const InspectionError&) {
      is_found = true;
    }
    EXPECT_TRUE(is_found || is_meaningless(file, bit / 8)) << "byte " << bit / 8 << " bit " << bit % 8;
  }
}

TEST(HostileModel, AnyFlippedBitIsFound) { expect_flips_found(false); }

TEST(HostileModel, AnyFlippedBitOfAPackedArchiveIsFound) { expect_flips_found(true); }

TEST(HostileModel, ADamagedElementIsNamedWithItsTensor) {
  const TemporaryFolder folder;
  std::string file = small_model(state_dict({}));
  file[file.find("m/data/0") + 8 + 13] ^= 1;
  const std::vector<DamagedEntry> damaged = check_integrity(folder.write("m.pt", file));
  ASSERT_EQ(damaged.size(), 1u);
  EXPECT_EQ(damaged[0].entry, "m/data/0");
  EXPECT_EQ(damaged[0].tensor, "w");
  EXPECT_EQ(damaged[0].what, "has a checksum that does not match its contents; copy the file again from where it came from");
  EXPECT_EQ(refusal_of(folder.path() / "m.pt"), "its entry m/data/0 " + damaged[0].what);
  EXPECT_TRUE(check_integrity(folder.write("m.pt", small_model(state_dict({})))).empty());
}

TEST(HostileModel, AFileThatShrinksWhileItIsReadIsAnError) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.write("m.pt", small_model(state_dict({})));
  const SavedModel model = open_saved_model(path);
  std::filesystem::resize_file(path, 10);
  EXPECT_THROW(model.tensors[0].elements->for_each_piece([](const void*, std::size_t) {}), InspectionError);
}

}  // namespace
}  // namespace vigil
