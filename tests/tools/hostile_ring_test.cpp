// Ring files with words that no writer would write: whatever is said of them, nothing crashes, hangs or reaches the terminal as it stands.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "effort.h"
#include "files.h"
#include "markup.h"
#include "tools/ring_trainer.h"
#include "vigil/monitor/ring_format.h"
#include "vigil/tools/dump.h"
#include "vigil/tools/export.h"
#include "vigil/tools/inspect.h"
#include "vigil/tools/ps.h"
#include "vigil/tools/tail.h"
#include "vigil/tools/top.h"

namespace vigil {
namespace {

using namespace test;

// What each subcommand makes of the files in a folder, in this process: many files a second.
class HostileRing : public testing::Test {
 protected:
  HostileRing() {
    setup.directory = folder.path() / "whole";
    std::filesystem::create_directory(setup.directory);
    whole = read_text(trained(setup, 450, TrainingEnd::killed));
    std::filesystem::create_directory(folder.path() / "bad");
    path = (folder.path() / "bad" / "bad.ring").string();
  }

  void look_at(const std::string& bytes, const std::string& what) {
    SCOPED_TRACE(what);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    std::ostringstream out, err;
    tools::RunChoice choice;
    choice.word = path;
    for (const tools::DumpFormat format : {tools::DumpFormat::text, tools::DumpFormat::json}) {
      tools::DumpOptions options;
      options.files = {path};
      options.format = format;
      tools::dump(options, out, err);
    }
    tools::PsOptions list;
    list.directories = {(folder.path() / "bad").string()};
    EXPECT_EQ(tools::ps(list, out, err), 0);
    tools::TopOptions top;
    top.run = choice;
    top.once = true;
    tools::top(top, out, err);
    for (const tools::ExportFormat format : {tools::ExportFormat::csv, tools::ExportFormat::openmetrics}) {
      tools::ExportOptions options;
      options.run = choice;
      options.format = format;
      options.tensors = true;
      options.is_terminal = true;
      tools::export_run(options, out, err);
    }
    tools::InspectOptions inspected;
    inspected.file = path;
    inspected.report = (folder.path() / "bad.html").string();
    std::filesystem::remove(*inspected.report);
    if (tools::inspect(inspected, out, err) < 2) {
      const std::string page = read_text(*inspected.report);
      EXPECT_NO_THROW(MarkupReader::read(page));
      EXPECT_EQ(page.find('\x1b'), std::string::npos);
    }
    const std::string said = out.str() + err.str();
    EXPECT_EQ(said.find('\x1b'), std::string::npos);
    EXPECT_LT(said.size(), std::size_t{64} << 20);
  }

  std::size_t begin_of(SectionKind kind) const {
    RingHeader header;
    whole.copy(reinterpret_cast<char*>(&header), sizeof header);
    return static_cast<std::size_t>(header.sections[static_cast<std::size_t>(kind) - 1].offset);
  }

  TemporaryFolder folder;
  TrainingSetup setup;
  std::string whole, path;
};

TEST_F(HostileRing, WordsOfTheRecordsMaySayAnything) {
  std::mt19937_64 random(1);
  const std::size_t steps = begin_of(SectionKind::steps), frames = begin_of(SectionKind::frames), events = begin_of(SectionKind::events);
  for (int round = 0; round < test::rounds(25); ++round) {
    std::string bytes = whole;
    for (const auto& [begin, size] :
         {std::pair(steps, std::size_t{400'000}), std::pair(frames, std::size_t{200'000}), std::pair(events, std::size_t{2'500})}) {
      for (int i = 0; i < 2000; ++i) {
        // Extremes, and what stands for them in doubles.
        constexpr std::uint64_t kWords[] = {
            0, 1, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, ~std::uint64_t{0}, 0x7FF0000000000000, 0x7FF8000000000000, 0xFFEFFFFFFFFFFFFF};
        const std::uint64_t word = random() % 2 == 0 ? kWords[random() % 8] : random();
        const std::size_t at = begin + 128 + random() % (size / 8) * 8;
        if (at + 8 > bytes.size()) continue;
        bytes.replace(at, 8, reinterpret_cast<const char*>(&word), 8);
      }
    }
    look_at(bytes, "round " + std::to_string(round));
  }
}

TEST_F(HostileRing, AnyByteOfTheFirstPagesMayBeAnother) {
  std::mt19937_64 random(2);
  for (int round = 0; round < test::rounds(40); ++round) {
    std::string bytes = whole;
    const std::size_t at = random() % std::min<std::size_t>(begin_of(SectionKind::steps) + 256, bytes.size());
    bytes[at] = static_cast<char>(random());
    look_at(bytes, "byte " + std::to_string(at));
  }
}

TEST_F(HostileRing, AFileMayEndAnywhere) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{100}, std::size_t{4095}, std::size_t{4096}, std::size_t{4607},
                                 std::size_t{10'000}, whole.size() - 1})
    look_at(whole.substr(0, size), std::to_string(size) + " bytes");
  look_at(whole + "x", "one byte more");
}

}  // namespace
}  // namespace vigil
