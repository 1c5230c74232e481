// The table of settings against config.h, config/default.yml and the suggestions made from it.
#include "vigil/config/settings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "config/config_fields.h"
#include "vigil/config/config_reader.h"
#include "vigil/config/document.h"
#include "vigil/config/suggestion.h"

namespace vigil::config_reader {
namespace {

std::string default_file() {
  std::ifstream file(VIGIL_DEFAULT_YML, std::ios::binary);
  EXPECT_TRUE(file) << VIGIL_DEFAULT_YML;
  return {std::istreambuf_iterator<char>(file), {}};
}

// Dotted key of every value in a document -> the comment lines right above it.
void collect(const Document& document, const Node& node, const std::string& section, std::map<std::string, std::string>& comments) {
  const std::string_view source = document.source;
  for (std::size_t i = 0; i < node.children.size(); i += 2) {
    const Node& key = node.children[i];
    const std::string path = path_of(section, key.text);
    const Node& value = node.children[i + 1];
    if (value.kind == Node::Kind::mapping) {
      collect(document, value, path, comments);
      continue;
    }
    std::string& comment = comments[path];
    std::size_t line_start = source.rfind('\n', key.offset) + 1;
    while (line_start > 0) {
      const std::size_t above = line_start < 2 ? 0 : source.rfind('\n', line_start - 2) + 1;
      const std::string_view line = source.substr(above, line_start - above);
      const std::size_t first = line.find_first_not_of(' ');
      if (first == std::string_view::npos || line[first] != '#') break;
      comment.insert(0, line);
      line_start = above;
    }
  }
}

// The rule of the catalogue that a setting belongs to, or null.
const RuleRow* rule_of(std::string_view key) {
  for (const RuleRow& rule : kRules) {
    if (key.substr(0, key.rfind('.')) == "rules." + std::string(rule.name)) return &rule;
  }
  return nullptr;
}

std::map<std::string, std::string> comments_of_default_file() {
  const Document document = parse_document(default_file());
  std::map<std::string, std::string> comments;
  if (document.root) collect(document, *document.root, "", comments);
  return comments;
}

TEST(Settings, AreAsManyAsConfigHasMembers) { EXPECT_EQ(settings().size(), setting_count()); }

TEST(Settings, HaveKeysOfTheirOwnWithTheSectionsTogether) {
  std::set<std::string_view> keys;
  std::set<std::string_view> begun;
  std::string_view open;
  for (const Setting& setting : settings()) {
    EXPECT_TRUE(keys.insert(setting.key).second) << setting.key;
    EXPECT_EQ(find_setting(setting.key), &setting);
    const std::string_view section = setting.key.substr(0, setting.key.find('.'));
    if (section != open) {
      EXPECT_TRUE(begun.insert(section).second) << setting.key;
    }
    open = section;
  }
}

TEST(Settings, EachChangeTheirOwnMemberOfConfig) {
  const std::string before = to_yaml(Config{});
  const std::string after = to_yaml(changed_config());
  std::size_t changed = 0;
  for (std::size_t a = 0, b = 0; a < before.size() && b < after.size();) {
    const std::size_t a_end = before.find('\n', a);
    const std::size_t b_end = after.find('\n', b);
    const bool section = before[a_end - 1] == ':';
    if (!section) {
      EXPECT_NE(before.substr(a, a_end - a), after.substr(b, b_end - b));
      ++changed;
    }
    a = a_end + 1;
    b = b_end + 1;
  }
  EXPECT_EQ(changed, settings().size());
}

TEST(Settings, HoldTheDefaultsWithinTheirRanges) {
  Config config;
  for (const Setting& setting : settings()) {
    if (const auto* integer = std::get_if<Integer>(&setting.kind)) {
      EXPECT_LT(integer->min, integer->max) << setting.key;
      EXPECT_TRUE(in_range(*integer, integer->member(config))) << setting.key;
    }
  }
}

TEST(Settings, ReadTheIntegersThatTheyWrite) {
  for (const Setting& setting : settings()) {
    if (const auto* integer = std::get_if<Integer>(&setting.kind)) {
      for (const std::int64_t value : {integer->min, integer->max, integer->min + 1, integer->max - 1}) {
        EXPECT_EQ(parse_integer(setting, integer_text(setting, value)), value) << setting.key;
      }
    }
  }
}

TEST(Settings, RequireATextOnlyWhereTheConditionIsAFlag) {
  for (const Setting& setting : settings()) {
    const auto* text = std::get_if<Text>(&setting.kind);
    if (text == nullptr || text->required_if.empty()) continue;
    const Setting* condition = find_setting(text->required_if);
    ASSERT_NE(condition, nullptr) << setting.key;
    EXPECT_TRUE(std::holds_alternative<Flag>(condition->kind)) << setting.key;
  }
}

TEST(DefaultFile, EqualsTheDefaultsInTheHeader) {
  EXPECT_TRUE(fields_of(load_config(VIGIL_DEFAULT_YML)) == fields_of(Config{})) << to_yaml(load_config(VIGIL_DEFAULT_YML));
}

TEST(DefaultFile, HoldsEverySettingAndNoOther) {
  std::set<std::string> in_table;
  for (const Setting& setting : settings()) in_table.emplace(setting.key);
  std::set<std::string> in_file;
  for (const auto& [key, comment] : comments_of_default_file()) in_file.insert(key);
  EXPECT_EQ(in_file, in_table);
}

TEST(DefaultFile, SaysTheRangeOfEverySettingInItsComment) {
  const auto comments = comments_of_default_file();
  for (const Setting& setting : settings()) {
    const auto found = comments.find(std::string(setting.key));
    ASSERT_NE(found, comments.end()) << setting.key;
    const std::string& comment = found->second;
    EXPECT_NE(comment, "") << setting.key;
    if (rule_of(setting.key) != nullptr) continue;
    if (const auto* integer = std::get_if<Integer>(&setting.kind)) {
      EXPECT_NE(comment.find(range_text(setting, *integer)), std::string::npos) << setting.key << "\n" << comment;
    } else if (const auto* choice = std::get_if<Choice>(&setting.kind)) {
      for (const Choice::Name& name : choice->names) {
        EXPECT_NE(comment.find(name.name), std::string::npos) << setting.key << "\n" << comment;
      }
    }
  }
}

TEST(DefaultFile, SaysWhenEachRuleFiresAndTheRangesOfItsParameters) {
  const auto comments = comments_of_default_file();
  std::size_t parameters = 0;
  for (const Setting& setting : settings()) {
    const RuleRow* rule = rule_of(setting.key);
    if (rule == nullptr) continue;
    const std::string& comment = comments.at(std::string(setting.key));
    EXPECT_NE(comment.find(rule->fires), std::string::npos) << setting.key << "\n" << comment;
    if (const auto* number = std::get_if<Number>(&setting.kind)) {
      ++parameters;
      const std::string name(setting.key.substr(setting.key.rfind('.') + 1));
      EXPECT_NE(comment.find("# " + name + ", " + number_text(number->min) + " to " + number_text(number->max)), std::string::npos)
          << setting.key << "\n"
          << comment;
    }
  }
  EXPECT_GE(parameters, kRules.size());
}

TEST(EditDistance, CountsInsertionsDeletionsSubstitutionsAndSwaps) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("port", "port"), 0u);
  EXPECT_EQ(edit_distance("prt", "port"), 1u);
  EXPECT_EQ(edit_distance("poort", "port"), 1u);
  EXPECT_EQ(edit_distance("pork", "port"), 1u);
  EXPECT_EQ(edit_distance("prot", "port"), 1u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(Suggestion, FindsEverySettingAfterOneTypingError) {
  for (const Setting& setting : settings()) {
    const std::size_t dot = setting.key.rfind('.');
    const std::string_view section = setting.key.substr(0, dot);
    const std::string name(setting.key.substr(dot + 1));
    for (const std::string& written : {name + "s", "x" + name, name.substr(0, name.size() - 1)}) {
      if (find_setting(path_of(section, written)) != nullptr) continue;
      EXPECT_NE(suggestion(section, written).find("'" + name + "'"), std::string::npos) << setting.key << " as " << written;
    }
  }
}

TEST(Suggestion, FindsEverySettingFromTheTop) {
  std::map<std::string, int> uses;  // of a name in several sections no suggestion can know which was meant
  for (const Setting& setting : settings()) ++uses[std::string(setting.key.substr(setting.key.rfind('.') + 1))];
  for (const Setting& setting : settings()) {
    const std::string name(setting.key.substr(setting.key.rfind('.') + 1));
    if (uses.at(name) > 3) continue;
    EXPECT_NE(suggestion("", name).find("'" + std::string(setting.key) + "'"), std::string::npos) << setting.key;
  }
}

TEST(Suggestion, IsSilentWhenNothingComesNear) {
  EXPECT_EQ(suggestion("", ""), "");
  EXPECT_EQ(suggestion("", "x"), "");
  EXPECT_EQ(suggestion("ring", "tensorboard"), "");
  EXPECT_EQ(suggestion("", std::string(100'000, 'a')), "");
}

}  // namespace
}  // namespace vigil::config_reader
