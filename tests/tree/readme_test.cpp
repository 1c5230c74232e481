// What the README shows, and what documents link, is what the repository holds.
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "tree/source_tree.h"
#include "vigil/config/config_reader.h"

namespace vigil {
namespace {

// The fenced code blocks of a Markdown text in one language.
std::vector<std::string> code_blocks(const std::string& markdown, const std::string& language) {
  std::vector<std::string> blocks;
  std::istringstream text(markdown);
  bool inside = false;
  for (std::string line; std::getline(text, line);) {
    if (!inside && line == "```" + language) {
      inside = true;
      blocks.emplace_back();
    } else if (inside && line == "```") {
      inside = false;
    } else if (inside) {
      blocks.back() += line + "\n";
    }
  }
  return blocks;
}

TEST(Readme, CodeIsTheMinimalExample) {
  const auto blocks = code_blocks(read_text(source_path("README.md")), "cpp");
  ASSERT_FALSE(blocks.empty());
  EXPECT_EQ(blocks.front(), read_text(source_path("examples/minimal.cpp")));
}

TEST(Readme, ConfigurationErrorIsTheOneShown) {
  const std::string readme = read_text(source_path("README.md"));
  const auto yaml = code_blocks(readme, "yaml");
  ASSERT_EQ(yaml.size(), 2u);
  try {
    parse_config(yaml.back(), "vigil.yml");
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_NE(readme.find("```\n" + std::string(error.what()) + "\n```\n"), std::string::npos) << error.what();
  }
}

TEST(Readme, ConfigurationsToCopyAreValid) {
  EXPECT_NO_THROW(parse_config(code_blocks(read_text(source_path("README.md")), "yaml").front()));
  const auto of_alerts = code_blocks(read_text(source_path("docs/alerts.md")), "yaml");
  ASSERT_FALSE(of_alerts.empty());
  for (const std::string& yaml : of_alerts) EXPECT_NO_THROW(parse_config(yaml)) << yaml;
}

// Markdown files of the repository: those at the top, of the page, and all of docs/.
std::vector<std::filesystem::path> documents() {
  std::vector<std::filesystem::path> files{source_path("README.md"), source_path("CONTRIBUTING.md"), source_path("CHANGELOG.md"),
                                           source_path("dashboard/README.md")};
  for (const auto& entry : std::filesystem::recursive_directory_iterator(source_path("docs"))) {
    if (entry.path().extension() == ".md") files.push_back(entry.path());
  }
  return files;
}

// Relative targets of the links and pictures of a Markdown text, without their anchors.
std::vector<std::string> linked_files(const std::string& markdown) {
  std::vector<std::string> targets;
  for (std::size_t at = markdown.find("]("); at != std::string::npos; at = markdown.find("](", at + 1)) {
    const std::string target = markdown.substr(at + 2, markdown.find(')', at) - at - 2);
    if (target.rfind("http", 0) == 0 || target.rfind('#', 0) == 0) continue;
    targets.push_back(target.substr(0, target.find('#')));
  }
  return targets;
}

TEST(Documents, LinkedFilesExist) {
  std::size_t links = 0;
  for (const auto& document : documents()) {
    for (const std::string& target : linked_files(read_text(document))) {
      EXPECT_TRUE(std::filesystem::exists(document.parent_path() / target)) << document << " links " << target;
      ++links;
    }
  }
  EXPECT_GT(links, 100u);
}

}  // namespace
}  // namespace vigil
