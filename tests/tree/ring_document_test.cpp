// docs/ring-format.md: its tables and its worked example are made from the code, everything between `<!-- name -->` and `<!-- end -->`.
// `VIGIL_REFRESH=1 ctest -R RingDocument` writes them anew.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "monitor/ring_image.h"
#include "tree/ring_fields.h"
#include "tree/source_tree.h"

namespace vigil {
namespace {

using namespace test;

std::string number(std::uint64_t value) { return std::to_string(value); }

// --- tables ------------------------------------------------------------------------------------------------------------------

std::string type_of(const RingField& field) {
  if (field.type == "chars") return "char[" + number(field.size) + "]";
  if (field.type == "bytes") return "u8[" + number(field.size) + "]";
  return std::string(field.type);
}

std::string table_of(const RingStruct& of) {
  std::string out =
      "`" + std::string(of.name) + "`, " + number(of.bytes) + " bytes:\n\n| offset | type | field | what |\n|---|---|---|---|\n";
  for (const RingField& field : of.fields) {
    out += "| " + number(field.offset) + " | " + type_of(field) + " | `" + std::string(field.name) + "` | " + std::string(field.meaning) +
           " |\n";
  }
  return out;
}

template <std::size_t kCount>
std::string listed(const std::array<std::string_view, kCount>& names) {
  std::string out;
  for (std::size_t i = 0; i < kCount; ++i) out += (i > 0 ? ", " : "") + number(i) + " " + std::string(names[i]);
  return out;
}

std::string sections_table() {
  const std::array<std::array<const char*, 3>, kSectionCount> what{{
      {"one `IdentityRecord`", "1", ""},
      {"the bytes of all texts", "bytes", ""},
      {"a `RowRecord` for each row of a frame", "rows", ""},
      {"a `TextPlace` for each watched parameter", "parameters", ""},
      {"a `TextPlace` for each named parameter group", "0, or as many as learning rates", ""},
      {"name table of user scalars", "", ""},
      {"name table of phases; the first is `train`", "", ""},
      {"name table of layers with activations; the tag is the phase", "`activations`", ""},
      {"a `NoteRecord` for each hook", "", ""},
      {"ring of step records", "any", "416 + 8 · (`learning_rates` + 64)"},
      {"ring of tensor frames", "any", "24 + 152 · rows + 272 · `histograms` + 112 · `activations`"},
      {"ring of events", "", ""},
  }};
  const RingLayout layout = layout_of(tiny_schema(), kLeastSlots, kLeastSlots);
  std::string out = "| kind | section | holds | count | record_size |\n|---|---|---|---|---|\n";
  for (std::size_t i = 0; i < kSectionCount; ++i) {
    const Section& section = layout.sections[i];
    out += "| " + number(i + 1) + " | `" + std::string(kSectionNames[i]) + "` | " + what[i][0] + " | " +
           (what[i][1][0] == '\0' ? number(section.count) : what[i][1]) + " | " +
           (what[i][2][0] == '\0' ? number(section.record_size) : what[i][2]) + " |\n";
  }
  return out;
}

std::string bounds_table() {
  const std::array<std::pair<const char*, std::uint64_t>, 10> bounds{{
      {"slots of a ring, least", kLeastSlots},
      {"slots of a ring, most", kMaxSlots},
      {"rows of a frame", kMaxRows},
      {"watched parameters", kMaxParameters},
      {"parameter groups", kMaxParameterGroups},
      {"layers with activations", kMaxLayers},
      {"parts", kMaxParts},
      {"bytes of all texts", kMaxStringBytes},
      {"bytes of one text", kMaxTextBytes},
      {"nanoseconds between any time and 0", static_cast<std::uint64_t>(kMaxTimeNs)},
  }};
  std::string out = "| what | bound |\n|---|---|\n";
  for (const auto& [what, bound] : bounds) out += "| " + std::string(what) + " | " + number(bound) + " |\n";
  return out;
}

std::string flags_table() {
  const std::array<std::pair<StepRecord::Flag, const char*>, 12> flags{{
      {StepRecord::has_loss, "`loss` is valid"},
      {StepRecord::has_gradient_norm, "`gradient_norm` is"},
      {StepRecord::has_parameter_norm, "`parameter_norm` is"},
      {StepRecord::nonfinite, "loss or gradients were not finite"},
      {StepRecord::skipped, "the optimizer was not to step"},
      {StepRecord::has_optimizer_time, "`optimizer_ns` is valid"},
      {StepRecord::has_total_time, "`total_ns`, `forward_backward_ns`, `vigil_ns` are"},
      {StepRecord::again, "a record of this step was there before; only user scalars are new"},
      {StepRecord::has_data_time, "`data_ns` is valid"},
      {StepRecord::has_clip_ratio, "`clip_ratio` is"},
      {StepRecord::has_device_memory, "`device_…` are"},
      {StepRecord::saved_checkpoint, "the program has saved a checkpoint since the record before"},
  }};
  std::string out = "| flag | of a step record |\n|---|---|\n";
  for (const auto& [flag, what] : flags) out += "| " + number(flag) + " | " + what + " |\n";
  out += "| " + number(std::uint64_t{1} << StepRecord::kPhaseShift) + " i | phase i (1 to " +
         number(StepRecord::kPhaseMask >> StepRecord::kPhaseShift) +
         ") of the phase names is the last that ran since the record before |\n";
  return out;
}

// --- worked example ----------------------------------------------------------------------------------------------------------

// Lines `offset  bytes  what`, 16 bytes a line.
class Dump {
 public:
  explicit Dump(const Bytes& image) : image_(image), strings_(section_of(image, SectionKind::strings)) {}

  void title(const std::string& text) { out_ += (out_.empty() ? "" : "\n") + text + "\n"; }

  void bytes(std::size_t offset, std::size_t size, const std::string& what) {
    constexpr std::size_t kLine = 16;
    for (std::size_t line = 0; line < size; line += kLine) {
      std::array<char, 32> text{};
      std::snprintf(text.data(), text.size(), "%08zx ", offset + line);
      std::string shown = text.data();
      for (std::size_t i = line; i < std::min(line + kLine, size); ++i) {
        std::snprintf(text.data(), text.size(), " %02x", std::to_integer<unsigned>(image_[offset + i]));
        shown += text.data();
      }
      if (line == 0 && !what.empty())
        shown += std::string(9 + 3 * kLine + 2 - std::min<std::size_t>(shown.size(), 9 + 3 * kLine), ' ') + what;
      out_ += shown + "\n";
    }
  }

  // The fields of a struct that lies at `begin`; what is zero is left out.
  void record(std::string_view name, std::size_t begin, const std::string& prefix = "") {
    for (const RingField& field : ring_struct(name).fields) {
      const std::size_t offset = begin + field.offset;
      if (is_zero(offset, field.size)) continue;
      const std::string full_name = prefix + std::string(field.name);
      if (is_struct(field.type)) {
        record(field.type, offset, full_name + ".");
      } else if (const auto bracket = field.type.find('['); bracket != std::string_view::npos) {
        const std::string_view type = field.type.substr(0, bracket);
        const std::size_t size = type == "text" || type == "u64" || type == "f64" ? 8 : ring_struct(type).bytes;
        for (std::size_t i = 0; i < field.size / size; ++i) {
          const std::string one = full_name + "[" + number(i) + "]";
          if (is_zero(offset + i * size, size)) continue;
          if (type == "Section") {
            section(i, offset + i * size);
          } else if (is_struct(type)) {
            record(type, offset + i * size, one + ".");
          } else {
            bytes(offset + i * size, size, one + value(type, offset + i * size, size));
          }
        }
      } else {
        const std::size_t size = name == "LiveWords" ? 8 : field.size;
        bytes(offset, size, full_name + value(field.type, offset, size));
      }
    }
  }

  std::string text() const { return "```\n" + out_ + "```\n"; }

 private:
  void section(std::size_t i, std::size_t offset) {
    const auto section = read_at<Section>(image_, offset);
    bytes(offset, sizeof section,
          std::string(kSectionNames[i]) + " at " + number(section.offset) + ": " + number(section.size) + " bytes, " +
              number(section.count) + " of " + number(section.record_size));
  }
  bool is_zero(std::size_t offset, std::size_t size) const {
    const auto begin = image_.begin() + static_cast<std::ptrdiff_t>(offset);
    return std::all_of(begin, begin + static_cast<std::ptrdiff_t>(size), [](std::byte byte) { return byte == std::byte{0}; });
  }
  static bool is_struct(std::string_view type) {
    return std::any_of(ring_structs().begin(), ring_structs().end(), [type](const RingStruct& one) { return one.name == type; });
  }
  std::string value(std::string_view type, std::size_t offset, std::size_t size) const {
    if (type == "u16") return " " + number(read_at<std::uint16_t>(image_, offset));
    if (type == "u32") return " " + number(read_at<std::uint32_t>(image_, offset));
    if (type == "u64") return " " + number(read_at<std::uint64_t>(image_, offset));
    if (type == "i32") return " " + std::to_string(read_at<std::int32_t>(image_, offset));
    if (type == "i64") return " " + std::to_string(read_at<std::int64_t>(image_, offset));
    if (type == "f64") {
      const auto real = read_at<double>(image_, offset);
      std::array<char, 32> text{};
      std::snprintf(text.data(), text.size(), " %g", real);
      return real != real ? " NaN" : text.data();
    }
    if (type == "chars") return " \"" + std::string(reinterpret_cast<const char*>(&image_[offset]), size) + "\"";
    if (type == "text") {
      const auto place = read_at<TextPlace>(image_, offset);
      return " \"" + std::string(reinterpret_cast<const char*>(&image_[strings_.offset + place.offset]), place.size) + "\"";
    }
    return "";
  }

  const Bytes& image_;
  const Section strings_;
  std::string out_;
};

void dump_ring(Dump& dump, const Bytes& image, SectionKind kind, const std::string& name) {
  const Section section = section_of(image, kind);
  dump.title("section " + name + ": a ring");
  dump.bytes(section.offset, 8, "records committed: " + number(read_at<std::uint64_t>(image, section.offset)));
  const std::size_t slot = section.offset + 64;
  dump.bytes(slot, 8, "slot 0: record 0 is whole");
  if (kind == SectionKind::steps) {
    dump.record("StepRecord", slot + 8);
    dump.bytes(slot + 8 + sizeof(StepRecord), 8, "learning rate 0");
  } else {
    dump.record("FrameHeader", slot + 8);
    dump.record("TensorRow", slot + 8 + sizeof(FrameHeader), "row 0 ");
  }
}

std::string example() {
  const Bytes image = tiny_image(1000);
  Dump dump(image);
  dump.title("header");
  dump.record("RingHeader", 0);
  dump.title("live words");
  dump.record("LiveWords", RingHeader::kBytes);
  dump.title("section identity");
  dump.record("IdentityRecord", section_of(image, SectionKind::identity).offset);
  const Section strings = section_of(image, SectionKind::strings);
  dump.title("section strings");
  dump.bytes(strings.offset, strings.size,
             "\"" + std::string(reinterpret_cast<const char*>(&image[strings.offset]), static_cast<std::size_t>(strings.size)) + "\"");
  dump.title("section rows");
  dump.record("RowRecord", section_of(image, SectionKind::rows).offset);
  dump.title("section parameters");
  dump.bytes(section_of(image, SectionKind::parameters).offset, 8, "\"fc.weight\"");
  const std::size_t phases = section_of(image, SectionKind::phase_names).offset;
  dump.title("section phase_names: a name table");
  dump.bytes(phases, 8, "names: 1");
  dump.bytes(phases + 64, 4, "length of the first");
  dump.bytes(phases + 68, 4, "its tag");
  dump.bytes(phases + 72, 5, "\"train\"");
  dump_ring(dump, image, SectionKind::steps, "steps");
  dump_ring(dump, image, SectionKind::frames, "frames");
  return dump.text();
}

// --- the document ------------------------------------------------------------------------------------------------------------

std::map<std::string, std::string> blocks() {
  std::map<std::string, std::string> made{
      {"sections", sections_table()}, {"bounds", bounds_table()}, {"flags", flags_table()}, {"example", example()}};
  made["hooks"] = "Hooks, by number: " + listed(kHookNames) + ".\n";
  made["names"] = "Of a name table, n entries of `(8 + longest name + 7) / 8 * 8` bytes: user scalars " + number(ScalarNames::kCapacity) +
                  " names of at most " + number(ScalarNames::kMaxBytes) + " bytes, phases " + number(PhaseNames::kCapacity) + " of " +
                  number(PhaseNames::kMaxBytes) + ", layers of " + number(LayerNames::kMaxBytes) + ".\n";
  for (const RingStruct& one : ring_structs()) made[std::string(one.name)] = table_of(one);
  return made;
}

// `document` with the blocks as they should be; counts how often each is in it.
std::string with_blocks(const std::string& document, const std::map<std::string, std::string>& made, std::map<std::string, int>& times) {
  std::string out;
  std::istringstream lines(document);
  bool is_in_block = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == "<!-- end -->") is_in_block = false;
    if (!is_in_block) out += line + "\n";
    if (line.rfind("<!-- ", 0) != 0 || line == "<!-- end -->") continue;
    const std::string name = line.substr(5, line.size() - 9);
    const auto block = made.find(name);
    EXPECT_NE(block, made.end()) << "nobody makes the block " << name;
    if (block == made.end()) continue;
    ++times[name];
    is_in_block = true;
    out += block->second;
  }
  EXPECT_FALSE(is_in_block) << "a block does not end";
  return out;
}

TEST(RingDocument, TablesAndExampleAreMadeFromTheCode) {
  const auto path = source_path("docs/ring-format.md");
  const std::string text = read_text(path);
  const auto made = blocks();
  std::map<std::string, int> times;
  const std::string document = with_blocks(text, made, times);
  for (const auto& [name, block] : made) EXPECT_EQ(times[name], 1) << name;
  if (std::getenv("VIGIL_REFRESH") != nullptr) std::ofstream(path) << document;
  EXPECT_EQ(read_text(path), document) << "docs/ring-format.md is out of date; VIGIL_REFRESH=1 ctest -R RingDocument";
}

TEST(RingDocument, TellsEveryByteOfEveryStruct) {
  for (const RingStruct& one : ring_structs()) {
    std::size_t end = 0;
    for (const RingField& field : one.fields) {
      EXPECT_EQ(field.offset, end) << one.name << "::" << field.name;
      end = field.offset + field.size;
    }
    EXPECT_EQ(end, one.bytes) << one.name;
  }
}

// What the prose says in numbers.
TEST(RingDocument, SaysTheNumbersOfTheCode) {
  const std::string text = read_text(source_path("docs/ring-format.md"));
  for (const std::string& fact : {"the first " + number(offsetof(RingHeader, crc)) + " bytes",
                                  "bytes " + number(sizeof(RingHeader)) + " to " + number(RingHeader::kBytes),
                                  "version " + number(RingHeader::kAbiMajor) + "." + number(RingHeader::kAbiMinor)}) {
    EXPECT_NE(text.find(fact), std::string::npos) << fact;
  }
}

}  // namespace
}  // namespace vigil
