// HTML that is well-formed XML, taken apart for tests of what a page says.
#pragma once

#include <cctype>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace vigil::test {

struct Element {
  std::string name;
  std::vector<std::pair<std::string, std::string>> attributes;
  std::string text;  ///< of this and all inner ones, entities resolved
  std::vector<Element> children;

  std::string attribute(const std::string& wanted) const {
    for (const auto& [key, value] : attributes) {
      if (key == wanted) return value;
    }
    return "";
  }
  /// All inner ones of a name, in their order.
  std::vector<const Element*> all(const std::string& wanted) const {
    std::vector<const Element*> found;
    for (const Element& child : children) {
      if (child.name == wanted) found.push_back(&child);
      for (const Element* const inner : child.all(wanted)) found.push_back(inner);
    }
    return found;
  }
  /// The inner one with that id. @throws std::runtime_error without one
  const Element& with_id(const std::string& id) const {
    const Element* const found = find_id(id);
    if (found == nullptr) throw std::runtime_error("nothing has the id " + id);
    return *found;
  }

 private:
  const Element* find_id(const std::string& id) const {
    for (const Element& child : children) {
      if (child.attribute("id") == id) return &child;
      if (const Element* const inner = child.find_id(id)) return inner;
    }
    return nullptr;
  }
};

/// Knows elements, attributes in double quotes and the entities that HTML and XML have in common.
class MarkupReader {
 public:
  /// The root. @throws std::runtime_error that says what is not well-formed
  static Element read(const std::string& text) {
    MarkupReader reader(text);
    const std::string doctype = "<!DOCTYPE html>";
    if (text.compare(0, doctype.size(), doctype) == 0) reader.at_ = doctype.size();
    reader.skip_spaces();
    Element root = reader.element();
    reader.skip_spaces();
    if (reader.at_ != text.size()) reader.fail("something behind the root");
    return root;
  }

 private:
  explicit MarkupReader(const std::string& text) : text_(text) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error(what + " at byte " + std::to_string(at_) + ": " + text_.substr(at_, 60));
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void expect(char c) {
    if (peek() != c) fail(std::string("expected ") + c);
    ++at_;
  }
  void skip_spaces() {
    while (std::isspace(static_cast<unsigned char>(peek())) != 0) ++at_;
  }
  std::string word() {
    const std::size_t begin = at_;
    while (std::isalnum(static_cast<unsigned char>(peek())) != 0 || peek() == '-' || peek() == ':') ++at_;
    if (begin == at_) fail("expected a name");
    return text_.substr(begin, at_ - begin);
  }
  std::string until(const std::string& ends) {
    std::string read;
    while (at_ < text_.size() && ends.find(peek()) == std::string::npos) {
      if (static_cast<unsigned char>(peek()) < 0x20 && peek() != '\n') fail("a control character");
      if (peek() != '&') {
        read += text_[at_++];
        continue;
      }
      const std::size_t end = text_.find(';', at_);
      const std::string entity = end == std::string::npos ? "" : text_.substr(at_, end + 1 - at_);
      const std::vector<std::pair<std::string, char>> known{{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#39;", '\''}};
      bool is_known = false;
      for (const auto& [name, character] : known) {
        if (entity != name) continue;
        read += character;
        is_known = true;
      }
      if (!is_known) fail("an unknown entity");
      at_ = end + 1;
    }
    return read;
  }
  Element element() {
    expect('<');
    Element read;
    read.name = word();
    std::set<std::string> keys;
    for (skip_spaces(); peek() != '>' && peek() != '/'; skip_spaces()) {
      const std::string key = word();
      if (!keys.insert(key).second) fail("an attribute twice");
      expect('=');
      expect('"');
      read.attributes.emplace_back(key, until("\"<"));
      expect('"');
    }
    if (peek() == '/') {
      ++at_;
      expect('>');
      return read;
    }
    expect('>');
    while (true) {
      read.text += until("<");
      if (peek() == '\0') fail("no end of " + read.name);
      if (text_.compare(at_, 2, "</") == 0) break;
      read.children.push_back(element());
      read.text += read.children.back().text;
    }
    at_ += 2;
    if (word() != read.name) fail("expected the end of " + read.name);
    expect('>');
    return read;
  }

  const std::string& text_;
  std::size_t at_ = 0;
};

}  // namespace vigil::test
