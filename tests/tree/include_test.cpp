// Who may include whom, as the design says; and what no library file may do.
#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "tree/source_tree.h"

namespace vigil {
namespace {

// Folder -> the folders of ours that its files may include, besides itself.
const std::map<std::string, std::set<std::string>> kMayInclude{
    {"monitor", {}},
    {"config", {}},
    {"history", {"monitor"}},
    {"dashboard", {}},
    {"exporters", {"dashboard", "history", "monitor", "config"}},
    {"terminal", {"monitor", "config"}},
    {"operators", {"inspection", "monitor"}},
    {"hooks", {"operators", "inspection", "monitor", "config", "exporters"}},
    {"inspection", {"terminal", "monitor"}},
    {"model", {"inspection", "operators", "terminal", "monitor", "config"}},
    {"daemon", {"exporters", "history", "monitor", "config"}},
    {"tools", {"daemon", "exporters", "history", "inspection", "terminal", "monitor", "config"}},
    {"model_tools", {"tools", "model", "inspection", "operators", "terminal", "monitor", "config"}},
    {"bench", {"hooks", "operators", "exporters", "monitor", "config"}},
    {"examples", {"model", "inspection", "terminal", "hooks", "monitor", "config"}},
};

std::vector<std::string> includes_of(const std::filesystem::path& file) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])");
  std::vector<std::string> includes;
  std::istringstream text(read_text(file));
  for (std::string line; std::getline(text, line);) {
    std::smatch match;
    if (std::regex_search(line, match, kInclude)) includes.push_back(match[1]);
  }
  return includes;
}

TEST(Tree, EachFolderIncludesOnlyTheFoldersBelowIt) {
  for (const auto& [folder, allowed] : kMayInclude) {
    ASSERT_FALSE(cpp_files(folder).empty()) << folder;
    for (const auto& file : cpp_files(folder)) {
      for (const std::string& include : includes_of(file)) {
        if (include.rfind("vigil/", 0) != 0) continue;
        const std::string other = include.substr(6, include.find('/', 6) - 6);
        EXPECT_TRUE(other == folder || allowed.count(other) > 0) << file << " includes " << include;
        EXPECT_TRUE(std::filesystem::exists(source_path(include.substr(6)))) << file << " includes " << include;
      }
    }
  }
}

TEST(Tree, OnlyHooksAndWhatTrainsKnowLibtorch) {
  for (const char* folder : {"monitor", "config", "history", "exporters", "daemon", "terminal", "inspection", "tools"}) {
    for (const auto& file : cpp_files(folder)) {
      for (const std::string& include : includes_of(file)) {
        for (const char* prefix : {"torch/", "ATen/", "c10/", "caffe2/"}) {
          EXPECT_NE(include.rfind(prefix, 0), 0u) << file << " includes " << include;
        }
      }
    }
  }
}

TEST(Tree, ExportersStayOutOfTheHeaderThatATrainerIncludes) {
  for (const std::string& include : includes_of(source_path("hooks/training_monitor.h"))) {
    EXPECT_EQ(include.find("exporters"), std::string::npos) << include;
  }
}

// Of monitor/, what a file that other processes read cannot do without.
const std::set<std::string> kTalkToTheSystem{"crash_mark.cpp", "fork_guard.cpp",       "process_identity.cpp",
                                             "ring_file.cpp",  "ring_file_reader.cpp", "ring_file_reader.h"};

TEST(Tree, MonitorUsesTheStandardLibraryAndIntrinsicsOnly) {
  for (const auto& file : cpp_files("monitor")) {
    for (const std::string& include : includes_of(file)) {
      if (include == "immintrin.h" || include == "xmmintrin.h" || include == "cpuid.h") continue;  // the compiler's own
      if (kTalkToTheSystem.count(file.filename().string()) > 0) continue;
      EXPECT_TRUE(include.rfind("vigil/monitor/", 0) == 0 || include.find('/') == std::string::npos) << file << " includes " << include;
      EXPECT_EQ(include.find(".h") != std::string::npos && include.find('/') == std::string::npos, false)
          << file << " includes " << include;
    }
  }
}

TEST(Tree, LibrariesPrintNothing) {
  for (const char* folder :
       {"monitor", "config", "dashboard", "history", "exporters", "terminal", "inspection", "operators", "hooks", "model"}) {
    for (const auto& file : cpp_files(folder)) {
      const std::string text = read_text(file);
      static const std::regex kPrinting(R"(std::(cout|cerr|clog)|\b(f|d)?printf\s*\(|\b(f?puts|putchar|perror)\s*\()");
      std::smatch match;
      EXPECT_FALSE(std::regex_search(text, match, kPrinting)) << file << " has " << match.str();
    }
  }
}

TEST(Tree, NoFileIsTooLongToRead) {
  for (const char* folder : {"monitor", "config", "dashboard", "history", "exporters", "daemon", "terminal", "inspection", "operators",
                             "hooks", "model", "model_tools", "tools", "bench", "examples", "tests"}) {
    for (const auto& file : cpp_files(folder)) {
      const std::string text = read_text(file);
      EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 500) << file;
    }
  }
}

}  // namespace
}  // namespace vigil
