// Ring files that nobody has written, or somebody with ill will: an error that says what is wrong, or records, but never a crash, a hang
// or more memory than is stated. tests/fuzz/ring_file_fuzz.cpp goes further with the same reader.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "files.h"
#include "monitor/ring_image.h"

namespace vigil {
namespace {

using namespace test;

class HostileRing : public testing::Test {
 protected:
  std::string problem_with(const Bytes& bytes) {
    write_image(path, bytes);
    return problem_of(path);
  }

  TemporaryFolder folder;
  const std::string path = folder.file("hostile.ring");
  const Bytes good = small_image();
};

TEST_F(HostileRing, WhatIsChangedBelowIsReadable) {
  write_image(path, good);
  EXPECT_EQ(read_all(path), 2u + 1 + 1) << "two steps of three, a frame, an event";
}

TEST_F(HostileRing, OneThatIsCutOffAnywhere) {
  const std::size_t header_and_live = RingHeader::kBytes + sizeof(LiveWords);
  std::vector<std::size_t> lengths(header_and_live + 2);
  for (std::size_t i = 0; i < lengths.size(); ++i) lengths[i] = i;
  for (const Section& section : header_of(good).sections) {
    for (const std::uint64_t end : {section.offset, section.offset + section.size}) {
      for (const std::uint64_t length : {end - 1, end, end + 1}) {
        if (length < good.size()) lengths.push_back(length);
      }
    }
  }
  lengths.push_back(good.size() - 1);
  for (const std::size_t length : lengths) {
    Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
    const std::string expected = length < RingHeader::kBytes
                                     ? "it is shorter than a header: " + std::to_string(length) + " bytes"
                                     : "it is " + std::to_string(length) + " bytes long instead of " + std::to_string(good.size());
    ASSERT_EQ(problem_with(cut), expected) << length;
    if (length < RingHeader::kBytes) continue;
    // And says so itself.
    write_at(cut, offsetof(RingHeader, total_size), std::uint64_t{length});
    repair_crc(cut);
    ASSERT_NE(problem_with(cut).find("it lies outside of the file"), std::string::npos) << length;
  }
}

// What a header may say without anybody being able to tell that it is wrong.
bool is_taken_on_trust(std::size_t byte) {
  const std::vector<std::pair<std::size_t, std::size_t>> fields{
      {offsetof(RingHeader, abi_minor), 2},     {offsetof(RingHeader, compatible_flags), 4},
      {offsetof(RingHeader, ring_id), 16},      {offsetof(RingHeader, boot_id), 16},
      {offsetof(RingHeader, pid), 8},           {offsetof(RingHeader, pid_namespace), 8},
      {offsetof(RingHeader, process_start), 8}, {offsetof(RingHeader, wall_time_ns), 8},
      {offsetof(RingHeader, monotonic_ns), 8},  {offsetof(RingHeader, reserved), 4},
  };
  for (const auto& [offset, size] : fields) {
    if (byte >= offset && byte < offset + size) return true;
  }
  if (byte < offsetof(RingHeader, sections) || byte >= offsetof(RingHeader, reserved)) return false;
  const std::size_t in_section = (byte - offsetof(RingHeader, sections)) % sizeof(Section);
  return in_section >= offsetof(Section, reserved) && in_section < offsetof(Section, reserved) + 4;
}

TEST_F(HostileRing, OneWithAnyBitOfItsHeaderFlipped) {
  for (std::size_t byte = 0; byte < sizeof(RingHeader); ++byte) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Bytes flipped = good;
      flipped[byte] ^= static_cast<std::byte>(1U << bit);
      ASSERT_NE(problem_with(flipped), "") << "byte " << byte << ", bit " << bit;
      if (byte >= offsetof(RingHeader, crc)) continue;
      repair_crc(flipped);
      const std::string problem = problem_with(flipped);
      ASSERT_EQ(problem.find("checksum"), std::string::npos) << problem;
      const bool is_time_out_of_range = problem == "the times of its header are out of range";
      ASSERT_EQ(problem.empty() || is_time_out_of_range, is_taken_on_trust(byte)) << "byte " << byte << ", bit " << bit << ": " << problem;
    }
  }
}

TEST_F(HostileRing, TellsWhatIsWrongWithAHeader) {
  const auto problem_after = [&](auto change) {
    Bytes changed = good;
    RingHeader header = header_of(changed);
    change(header);
    write_at(changed, 0, header);
    repair_crc(changed);
    return problem_with(changed);
  };
  EXPECT_EQ(problem_after([](RingHeader& h) { h.magic[0] = 'V'; }), "it does not begin like a ring file");
  EXPECT_EQ(problem_after([](RingHeader& h) { h.endian_probe = 0x0807060504030201; }),
            "it was written by a machine with another order of bytes");
  EXPECT_EQ(problem_after([](RingHeader& h) { h.abi_major = 2; }), "its format is version 2; this program reads version 1");
  EXPECT_EQ(problem_after([](RingHeader& h) { h.incompatible_flags = 4; }), "it has features that this program does not know (4)");
  EXPECT_EQ(problem_after([](RingHeader& h) { h.abi_minor = 9, h.compatible_flags = ~0U; }), "");
  EXPECT_EQ(problem_after([](RingHeader& h) { h.header_size = 8192; }), "its header has another size");
  EXPECT_EQ(problem_after([](RingHeader& h) { h.section_count = 13; }), "its header has another size");
  const auto problem_of_section = [&](SectionKind kind, auto change) {
    return problem_after([&](RingHeader& h) { change(h.sections[static_cast<std::size_t>(kind) - 1]); });
  };
  EXPECT_EQ(problem_of_section(SectionKind::steps, [](Section& s) { s.kind = 11; }), "section steps: it is not where it should be");
  EXPECT_EQ(problem_of_section(SectionKind::rows, [](Section& s) { s.offset += 8; }), "section rows: it lies outside of the file");
  EXPECT_EQ(problem_of_section(SectionKind::rows, [](Section& s) { s.offset = 64; }), "section rows: it lies outside of the file");
  EXPECT_EQ(problem_of_section(SectionKind::rows, [](Section& s) { s.size = ~std::uint64_t{0}; }),
            "section rows: it lies outside of the file");
  EXPECT_EQ(problem_of_section(SectionKind::rows, [](Section& s) { s.count = kMaxRows + 1; }),
            "section rows: 131073 records; there may be 131072");
  EXPECT_EQ(problem_of_section(SectionKind::rows, [](Section& s) { s.record_size = 97; }),
            "section rows: a record of 97 bytes; it may have 96");
  EXPECT_EQ(problem_of_section(SectionKind::rows, [](Section& s) { s.size -= 8; }), "section rows: its size is not that of its records");
  EXPECT_EQ(problem_of_section(SectionKind::frames, [](Section& s) { s.count = 0; }), "section frames: fewer than 2 slots");
  EXPECT_EQ(problem_of_section(SectionKind::steps, [](Section& s) { s.count = 1; }), "section steps: fewer than 2 slots");
  EXPECT_EQ(problem_of_section(SectionKind::frames, [](Section& s) { s.count = 1000; }),
            "section frames: it has more slots than the ring of steps");
  EXPECT_EQ(problem_of_section(SectionKind::steps, [](Section& s) { s.count = 3; }),
            "section steps does not fit what the file says of its run");
  EXPECT_EQ(problem_of_section(SectionKind::events, [](Section& s) { s.record_size -= 8; }),
            "section events does not fit what the file says of its run");
}

TEST_F(HostileRing, TellsWhatIsWrongWithASchema) {
  const auto problem_after = [&](SectionKind kind, std::size_t offset, auto value) {
    Bytes changed = good;
    write_at(changed, section_of(good, kind).offset + offset, value);
    return problem_with(changed);
  };
  constexpr auto kIdentity = SectionKind::identity, kRows = SectionKind::rows;
  EXPECT_EQ(problem_after(kIdentity, offsetof(IdentityRecord, rank), std::int64_t{-1}),
            "section identity: rank or world size is out of range");
  EXPECT_EQ(problem_after(kIdentity, offsetof(IdentityRecord, world_size), std::int64_t{1} << 40),
            "section identity: rank or world size is out of range");
  EXPECT_EQ(problem_after(kIdentity, offsetof(IdentityRecord, start_time_ns), std::numeric_limits<std::int64_t>::min()),
            "section identity: the time of its start is out of range");
  EXPECT_EQ(problem_after(kIdentity, offsetof(IdentityRecord, activations), kMaxLayers + 1),
            "section identity: more than 65536 layers with activations");
  EXPECT_EQ(problem_after(kIdentity, offsetof(IdentityRecord, learning_rates), kMaxParameterGroups + 1),
            "section identity: more than 65536 learning rates");
  EXPECT_EQ(problem_after(kIdentity, offsetof(IdentityRecord, learning_rates), std::uint64_t{2}),
            "section groups: it names another number of learning rates than there are");
  EXPECT_EQ(problem_after(kIdentity, offsetof(IdentityRecord, histograms), std::uint64_t{3}),
            "section identity: more histograms than rows");
  EXPECT_EQ(problem_after(kIdentity, offsetof(IdentityRecord, activations), std::uint64_t{3}),
            "section layer_names does not fit what the file says of its run");
  EXPECT_EQ(problem_after(kIdentity, offsetof(IdentityRecord, run), TextPlace{~0U, 1}),
            "section identity: a text lies outside of the strings");
  EXPECT_EQ(problem_after(kIdentity, offsetof(IdentityRecord, run), TextPlace{0, ~0U}),
            "section identity: a text lies outside of the strings");
  EXPECT_EQ(problem_after(kRows, offsetof(RowRecord, kind), std::uint32_t{3}), "section rows: no kind of tensor has the number 3");
  EXPECT_EQ(problem_after(kRows, offsetof(RowRecord, dtype), std::uint32_t{4}), "section rows: no element type has the number 4");
  EXPECT_EQ(problem_after(kRows, offsetof(RowRecord, histogram), std::int32_t{1}),
            "section rows: a row's histogram is none of the frame's");
  EXPECT_EQ(problem_after(kRows, offsetof(RowRecord, histogram), std::int32_t{-2}),
            "section rows: a row's histogram is none of the frame's");
  EXPECT_EQ(problem_after(kRows, offsetof(RowRecord, learning_rate), std::int32_t{1}),
            "section rows: a row's learning rate is none of the run's");
  for (const std::int32_t part : {-1, 4096, std::numeric_limits<std::int32_t>::max()})
    EXPECT_EQ(problem_after(kRows, offsetof(RowRecord, part), part), "section rows: a row is of a part beyond the 4096 that there may be");
  EXPECT_EQ(problem_after(kRows, offsetof(RowRecord, state_count), std::uint32_t{4}),
            "section rows: a row has too many norms of the optimizer's state");
  EXPECT_EQ(problem_after(kRows, offsetof(RowRecord, optimizer_state), TextPlace{4, 5}),
            "section rows: what the optimizer keeps has a name that is none");
}

// Places may overlap in the file: 131072 rows that each name the same text would be 128 MiB of them.
TEST_F(HostileRing, TextsThatAreLongerThanTheirFile) {
  const std::uint64_t strings = section_of(good, SectionKind::strings).size;
  Bytes changed = good;
  write_at(changed, section_of(good, SectionKind::parameters).offset, TextPlace{0, static_cast<std::uint32_t>(strings)});
  EXPECT_EQ(problem_with(changed), "section parameters: the texts are longer together than the strings");

  Schema long_name = tiny_schema();
  long_name.rows[0].name.assign(kMaxTextBytes, 'w');
  EXPECT_EQ(problem_with(make_image(long_name, {2, 0}, fixed_origin())), "");
  long_name.rows[0].name += 'w';
  EXPECT_THROW(make_image(long_name, {2, 0}, fixed_origin()), RingFileError);
}

// 0, all ones, the largest and the smallest number, and what is close to a power of two.
TEST_F(HostileRing, OneWithAnyWordOfItsSectionsChanged) {
  std::map<std::string, std::size_t> problems;
  const int file = (write_image(path, good), open(path.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_GE(file, 0);
  std::vector<std::size_t> words;
  for (std::size_t word = RingHeader::kBytes; word < RingHeader::kBytes + sizeof(LiveWords); word += 8) words.push_back(word);
  for (const Section& section : header_of(good).sections) {
    // Of the events most slots are empty.
    const std::uint64_t bytes = std::min<std::uint64_t>(section.size, 10'000);
    for (std::uint64_t word = section.offset; word < section.offset + bytes; word += 8) words.push_back(word);
  }
  for (const std::size_t word : words) {
    for (const std::uint64_t value : {std::uint64_t{0}, ~std::uint64_t{0}, ~std::uint64_t{0} >> 1, std::uint64_t{1} << 63,
                                      std::uint64_t{0x100000001}, std::uint64_t{1} << 32}) {
      ASSERT_EQ(pwrite(file, &value, std::min<std::size_t>(8, good.size() - word), static_cast<off_t>(word)) > 0, true);
      ++problems[problem_of(path)];
    }
    ASSERT_EQ(pwrite(file, good.data() + word, 8, static_cast<off_t>(word)), 8);
  }
  close(file);
  EXPECT_EQ(problem_of(path), "");
  EXPECT_GT(problems[""], words.size()) << "most words are numbers that may be any";
  for (const auto& [problem, times] : problems) EXPECT_LT(problem.size(), 100u) << problem;
  EXPECT_EQ(problems.count("it has fewer records than it had") + problems.count("a record that was published is not there"), 1u);
  EXPECT_EQ(problems.count("it claims more records than anybody could have written"), 1u);
}

TEST_F(HostileRing, FilesOfRandomBytes) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 3000; ++i) {
    Bytes bytes(std::uniform_int_distribution<std::size_t>(0, 12000)(random));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    if (bytes.size() > RingHeader::kBytes && i % 2 == 1) {
      // A plausible beginning takes the reader further.
      RingHeader header = header_of(good);
      header.total_size = bytes.size();
      for (Section& section : header.sections) section.offset = random() % bytes.size() / 64 * 64;
      write_at(bytes, 0, header);
      repair_crc(bytes);
    }
    ASSERT_NE(problem_with(bytes), "");
  }
}

TEST_F(HostileRing, GoodFilesWithRandomBytesInThem) {
  std::mt19937_64 random(11);
  std::size_t readable = 0;
  for (int i = 0; i < 3000; ++i) {
    Bytes bytes = good;
    const std::size_t changes = 1 + random() % 64;
    const std::size_t begin = random() % 2 == 0 ? sizeof(RingHeader) : section_of(good, SectionKind::steps).offset;
    for (std::size_t change = 0; change < changes; ++change)
      bytes[begin + random() % (bytes.size() - begin)] = static_cast<std::byte>(random());
    readable += problem_with(bytes).empty() ? 1 : 0;
  }
  EXPECT_GT(readable, 100u);
}

// Counts that fit each other, and nothing else: each is one record at most.
TEST_F(HostileRing, CountsOfRecordsThatNobodyWrote) {
  const auto problem_after = [&](std::uint64_t committed) {
    Bytes changed = good;
    for (const SectionKind ring : {SectionKind::steps, SectionKind::frames, SectionKind::events})
      write_at(changed, section_of(good, ring).offset, committed);
    return problem_with(changed);
  };
  EXPECT_EQ(problem_after(0), "");
  EXPECT_EQ(problem_after(1000), "a record that was published is not there");
  EXPECT_EQ(problem_after(std::uint64_t{1} << 62), "a record that was published is not there");
  EXPECT_EQ(problem_after((std::uint64_t{1} << 62) + 1), "it claims more records than anybody could have written");
  EXPECT_EQ(problem_after(std::uint64_t{1} << 63), "it claims more records than anybody could have written");  // twice that is 0
  EXPECT_EQ(problem_after(~std::uint64_t{0}), "it claims more records than anybody could have written");
}

// Names that come and go, and records that use more than there are.
TEST_F(HostileRing, NamesThatAreNotThere) {
  Bytes changed = good;
  write_at(changed, section_of(good, SectionKind::layer_names).offset, std::uint64_t{0});
  write_at(changed, section_of(good, SectionKind::phase_names).offset, std::uint64_t{0});
  write_at(changed, section_of(good, SectionKind::scalar_names).offset, std::uint64_t{0});
  write_image(path, changed);
  RunFollower follower(std::make_unique<RingFileReader>(std::make_shared<const RingFile>(path)));
  std::size_t activations = 99;
  follower.poll({}, [&](const Frame& frame) { activations = frame.activations.size(); });
  EXPECT_EQ(activations, 0u) << "a row of activations whose layer has no name";
  EXPECT_TRUE(follower.snapshot()->user_scalars.empty());
}

}  // namespace
}  // namespace vigil
