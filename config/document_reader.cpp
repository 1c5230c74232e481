#include "vigil/config/document_reader.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "vigil/config/fault_report.h"
#include "vigil/config/settings.h"
#include "vigil/config/suggestion.h"
#include "vigil/config/text.h"

namespace vigil::config_reader {
namespace {

// Walks a document along the table and fills in a `Config`.
class Reader {
 public:
  explicit Reader(std::string_view source) : source_(source) {}

  Reading read(const Document& document) && {
    reading_.faults = document.faults;
    if (document.root) read_section(*document.root, "", document.root->offset);
    check_dependent_texts();
    return std::move(reading_);
  }

 private:
  struct ReadText {
    const Setting* setting;
    std::size_t offset;
  };

  void fault(std::size_t offset, std::string key, std::string text) {
    reading_.faults.push_back({offset, std::move(key), std::move(text)});
  }

  bool is_full() const { return reading_.faults.size() > kMaxFaults; }

  // `offset` of what stands for a value that is left out: its key, or the list that it is in.
  void wrong_kind(const Node& node, std::size_t offset, std::string key, const std::string& expected, const char* advice = "") {
    const bool left_out = node.kind == Node::Kind::null && !is_written_null(source_, node);
    const std::string hint = node.kind == Node::Kind::null ? advice : "";
    fault(left_out ? offset : node.offset, std::move(key), "expected " + expected + ", got " + shown(node) + hint);
  }

  // Anchors, aliases and tags have no use in a file of this size, and aliases can make a small file large.
  bool is_foreign(const Node& node, const std::string& key) {
    if (node.foreign.empty()) return false;
    fault(node.offset, key, "expected a value without anchors, aliases and tags, got " + node.foreign);
    return true;
  }

  void read_section(const Node& node, const std::string& section, std::size_t key_offset) {
    if (is_foreign(node, section)) return;
    if (node.kind != Node::Kind::mapping) {
      wrong_kind(node, key_offset, section, "a mapping of settings", section.empty() ? "" : kLeaveOut);
      return;
    }
    std::vector<const Node*> keys;
    for (std::size_t i = 0; i + 1 < node.children.size() && !is_full(); i += 2) {
      const Node& key = node.children[i];
      if (is_foreign(key, section)) continue;
      if (!is_scalar(key)) {
        wrong_kind(key, key.offset, section, "a key");
        continue;
      }
      const auto same_key = [&](const Node* other) { return other->text == key.text; };
      const auto first = std::find_if(keys.begin(), keys.end(), same_key);
      if (first == keys.end()) {
        keys.push_back(&key);
      } else {
        const std::string line = std::to_string(position_of(source_, (*first)->offset).line);
        fault(key.offset, path_of(section, one_line(key.text)), "expected each key once, got it again (first on line " + line + ")");
      }
      read_entry(key, node.children[i + 1], section);
    }
  }

  // Also after an earlier entry of the same key, so that its own faults are reported with the others.
  void read_entry(const Node& key, const Node& value, const std::string& section) {
    // `a.b: 1` is not `a: {b: 1}`, and an empty key is not the section that it stands in.
    const bool is_name = !key.text.empty() && key.text.find('.') == std::string::npos;
    const std::string path = path_of(section, key.text);
    const Setting* setting = is_name ? find_setting(path) : nullptr;
    reading_.places.emplace(path, value.offset);
    if (setting != nullptr) {
      if (!is_foreign(value, path)) read_value(*setting, value, key.offset);
    } else if (is_name && !names_in_section(path).empty()) {
      read_section(value, path, key.offset);
    } else {
      const std::string known = joined(names_in_section(section), " or ");
      const std::string hint = key.text == "<<" ? " (merge keys are not read)" : suggestion(section, key.text);
      fault(key.offset, path_of(section, one_line(key.text)), "expected " + known + ", got " + quoted_text(key.text, '\'') + hint);
    }
  }

  void read_value(const Setting& setting, const Node& node, std::size_t key_offset) {
    const std::string key(setting.key);
    const bool read = std::visit(Overloaded{
                                     [&](const Flag& flag) { return read_flag(flag, node); },
                                     [&](const Integer& integer) { return read_integer(setting, integer, node); },
                                     [&](const Number& number) { return read_number(number, node); },
                                     [&](const Choice& choice) { return read_choice(choice, node); },
                                     [&](const Text& text) { return read_text(setting, text, node); },
                                     [&](const TextList& list) { return read_list(setting, list, node); },
                                 },
                                 setting.kind);
    if (!read) wrong_kind(node, key_offset, key, expectation(setting), kLeaveOut);
  }

  // Each `read_…` answers whether the value is of its setting's kind.
  bool read_flag(const Flag& flag, const Node& node) {
    const bool yes = node.text == "true";
    if (node.kind != Node::Kind::plain || (!yes && node.text != "false")) return false;
    flag.member(reading_.config) = yes;
    return true;
  }

  bool read_integer(const Setting& setting, const Integer& integer, const Node& node) {
    const auto value = node.kind == Node::Kind::plain ? parse_integer(setting, node.text) : std::nullopt;
    if (!value || !in_range(integer, *value)) return false;
    integer.member(reading_.config) = *value;
    return true;
  }

  bool read_number(const Number& number, const Node& node) {
    const auto value = node.kind == Node::Kind::plain ? parse_number(node.text) : std::nullopt;
    if (!value || !in_range(number, *value)) return false;
    number.member(reading_.config) = *value;
    return true;
  }

  bool read_choice(const Choice& choice, const Node& node) {
    if (!is_scalar(node)) return false;
    for (const Choice::Name& name : choice.names) {
      if (name.name != node.text) continue;
      choice.set(reading_.config, name.value);
      return true;
    }
    return false;
  }

  // A text is taken as it is written: `name: 42` and `name: true` need no quotes.
  bool read_text(const Setting& setting, const Text& text, const Node& node) {
    if (!is_scalar(node)) return false;
    const std::string problem = text_problem(text.rule, node.text);
    if (!problem.empty()) fault(node.offset, std::string(setting.key), problem);
    text.member(reading_.config) = node.text;
    texts_.push_back({&setting, node.offset});
    return true;
  }

  bool read_list(const Setting& setting, const TextList& list, const Node& node) {
    if (node.kind != Node::Kind::list) return false;
    const std::string problem = length_problem(list, node.children.size());
    if (!problem.empty()) fault(node.offset, std::string(setting.key), problem);
    std::vector<std::string>& elements = list.member(reading_.config);
    elements.clear();
    for (const Node& child : node.children) {
      if (is_full()) break;
      const std::string key = std::string(setting.key) + "[" + std::to_string(elements.size()) + "]";
      elements.push_back(child.text);
      reading_.places.emplace(key, child.offset);
      if (is_foreign(child, key)) continue;
      if (!is_scalar(child)) {
        wrong_kind(child, node.offset, key, "a " + std::string(list.element.noun));
        continue;
      }
      const std::string element_problem = text_problem(list.element, child.text);
      if (!element_problem.empty()) fault(child.offset, key, element_problem);
    }
    return true;
  }

  void check_dependent_texts() {
    for (const ReadText& read : texts_) {
      const std::string problem = missing_text_problem(std::get<Text>(read.setting->kind), reading_.config);
      if (!problem.empty()) fault(read.offset, std::string(read.setting->key), problem);
    }
  }

  static constexpr const char* kLeaveOut = " (leave the key out to keep its default)";

  std::string_view source_;
  Reading reading_;
  std::vector<ReadText> texts_;
};

}  // namespace

Reading read_settings(const Document& document) { return Reader(document.source).read(document); }

}  // namespace vigil::config_reader
