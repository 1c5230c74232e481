#include "vigil/config/document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "vigil/config/prefix.h"
#include "vigil/config/text.h"

namespace vigil::config_reader {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// Leaves yaml-cpp in the middle of a document.
struct StopParsing {
  Fault fault;
};

// As users write it: `!!str`, not `tag:yaml.org,2002:str`.
std::string short_tag(const std::string& tag) {
  constexpr std::string_view kYamlPrefix = "tag:yaml.org,2002:";
  return starts_with(tag, kYamlPrefix) ? "!!" + tag.substr(kYamlPrefix.size()) : tag;
}

class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::string_view source) : source_(source) {}

  std::optional<Node> take_root() { return std::move(root_); }

  // Path of what is being parsed: `sampling.include[1]`.
  std::string path() const {
    std::string path;
    for (const Node& node : open_) {
      if (node.kind == Node::Kind::list) path += "[" + std::to_string(node.children.size()) + "]";
      if (node.kind == Node::Kind::mapping && node.children.size() % 2 == 1) {
        if (!path.empty()) path += ".";
        path += one_line(node.children.back().text);
      }
    }
    return path;
  }

  std::size_t offset_of(const YAML::Mark& mark) const {
    return mark.pos < 0 ? source_.size() : std::min(static_cast<std::size_t>(mark.pos), source_.size());
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    const std::size_t offset = offset_of(mark);
    if (std::exchange(started_, true)) throw StopParsing{{offset, "", "expected one document, got a second one"}};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { place(make_node(Node::Kind::null, mark, "")); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Node node = make_node(Node::Kind::alias, mark, "");
    node.foreign = alias_at(source_, node.offset);
    place(std::move(node));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    Node node = make_node(tag == "!" ? Node::Kind::quoted : Node::Kind::plain, mark, tag);
    node.text = value;
    if (node.foreign.empty() && !ends_on_its_line(node)) {
      const char* advice = node.kind == Node::Kind::quoted ? "is the closing quote missing?" : "is the next line indented too far?";
      const std::string expected = "expected a text that ends on its line, got more than one line";
      throw StopParsing{{node.offset, path(), expected + " (" + advice + ")"}};
    }
    place(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(make_node(Node::Kind::list, mark, tag));
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(make_node(Node::Kind::mapping, mark, tag));
  }
  void OnMapEnd() override { close(); }
  void OnAnchor(const YAML::Mark&, const std::string& name) override { anchor_ = "the anchor " + quoted_text("&" + name, '\''); }

 private:
  // yaml-cpp gives plain scalars and collections the tag "?", quoted scalars "!", as does a lone `!` in the file.
  Node make_node(Node::Kind kind, const YAML::Mark& mark, const std::string& tag) {
    Node node;
    node.kind = kind;
    node.offset = offset_of(mark);
    if (++nodes_ > kMaxNodes) {
      throw StopParsing{{node.offset, "", "expected at most " + std::to_string(kMaxNodes) + " keys and values, got more"}};
    }
    node.foreign = std::exchange(anchor_, "");
    const bool lone_mark = tag == "!" && starts_with(source_.substr(node.offset), "!");
    if (lone_mark || (!tag.empty() && tag != "?" && tag != "!")) node.foreign = "the tag " + quoted_text(short_tag(tag), '\'');
    return node;
  }

  // yaml-cpp takes the end of the file for a closing quote, and lines that are indented too far for more of the same text: either way a
  // setting would vanish in the text above it. Block texts (`|`, `>`) take several lines on purpose.
  bool ends_on_its_line(const Node& scalar) const {
    const std::string_view rest = source_.substr(scalar.offset);  // with no anchor or tag in front
    if (scalar.kind == Node::Kind::plain) return starts_with(rest, scalar.text);
    if (starts_with(rest, "|") || starts_with(rest, ">")) return true;
    const std::string_view line = rest.substr(0, rest.find('\n'));
    const char quote = line.empty() ? '"' : line.front();
    for (std::size_t i = 1; i < line.size(); ++i) {
      const bool escape = quote == '"' ? line[i] == '\\' : line.substr(i, 2) == "''";
      if (escape) {
        ++i;
      } else if (line[i] == quote) {
        return true;
      }
    }
    return false;
  }

  void place(Node node) {
    if (open_.empty()) {
      root_ = std::move(node);
    } else {
      open_.back().children.push_back(std::move(node));
    }
  }

  void open(Node node) {
    if (open_.size() == kMaxDepth) {
      throw StopParsing{{node.offset, "", "expected at most " + std::to_string(kMaxDepth) + " levels, got more"}};
    }
    open_.push_back(std::move(node));
  }

  void close() {
    Node node = std::move(open_.back());
    open_.pop_back();
    place(std::move(node));
  }

  std::string_view source_;
  bool started_ = false;
  std::size_t nodes_ = 0;
  std::string anchor_;      // of the next node
  std::vector<Node> open_;  // from the root to the collection being filled
  std::optional<Node> root_;
};

// yaml-cpp skips directives that it does not know, the rest of their line included.
std::size_t first_directive(std::string_view source) {
  if (starts_with(source, "%")) return 0;
  const std::size_t offset = source.find("\n%");
  return offset == std::string_view::npos ? kNowhere : offset + 1;
}

std::string_view line_at(std::string_view source, std::size_t offset) {
  const std::size_t start = source.substr(0, offset).rfind('\n') + 1;  // npos + 1 is 0
  const std::string_view line = source.substr(start);
  return line.substr(0, line.find_first_of("\r\n"));
}

bool is_indented_with_tab(std::string_view line) {
  const std::size_t first = line.find_first_not_of(' ');
  return first != std::string_view::npos && line[first] == '\t';
}

Fault syntax_fault(const YAML::Exception& error, const TreeBuilder& builder, std::string_view source) {
  if (error.mark.pos < 0) return {kNowhere, "", "expected YAML, got an error: " + error.msg};
  Fault fault;
  fault.offset = builder.offset_of(error.mark);
  // A pattern such as *.weight without quotes is an alias to YAML, and yaml-cpp's words for it differ between versions.
  const bool after_star = fault.offset > 0 && source[fault.offset - 1] == '*' && starts_with(error.msg, "alias not found");
  if (after_star) --fault.offset;
  if (after_star || starts_with(error.msg, "the referenced anchor is not defined")) {
    fault.key = builder.path();
    fault.text = "expected a value, got " + alias_at(source, fault.offset) + " (a text that begins with * needs quotes)";
    return fault;
  }
  fault.text = "expected YAML, got an error: " + error.msg;
  if (is_indented_with_tab(line_at(source, fault.offset))) fault.text += " (YAML is indented with spaces, not tabs)";
  return fault;
}

// A document of nothing but `---` has a null where it ends. A null elsewhere was written (`null`, `!tag`).
bool is_empty_document(std::string_view source, const Node& root) {
  const std::string_view rest = source.substr(root.offset);
  return root.kind == Node::Kind::null && root.foreign.empty() && (rest.empty() || starts_with(rest, "...") || starts_with(rest, "---"));
}

}  // namespace

Document parse_document(std::string_view yaml) {
  Document document;
  if (yaml.size() > kMaxSourceBytes) {
    document.faults.push_back({kNowhere, "", "expected at most " + std::to_string(kMaxSourceBytes >> 20) + " MiB, got more"});
    return document;
  }
  if (starts_with(yaml, kByteOrderMark)) yaml.remove_prefix(kByteOrderMark.size());
  document.source = std::string(yaml);
  const std::string_view source = document.source;
  // Before yaml-cpp: it replaces what is not UTF-8, and takes U+0004 for the end of the file.
  if (const auto unprintable = first_unprintable(source, true)) {
    document.faults.push_back({unprintable->offset, "", "expected printable UTF-8 text, got " + unprintable->description});
    return document;
  }
  if (const std::size_t offset = first_directive(source); offset != kNowhere) {
    document.faults.push_back({offset, "", "expected settings, got the directive " + quoted_text(line_at(source, offset), '\'')});
    return document;
  }

  TreeBuilder builder(source);
  std::optional<Node> root;
  try {
    std::istringstream stream(document.source);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
      root = builder.take_root();
    }
  } catch (const StopParsing& stop) {
    document.faults.push_back(stop.fault);
  } catch (const YAML::Exception& error) {
    document.faults.push_back(syntax_fault(error, builder, source));
  }
  if (root && !is_empty_document(source, *root)) document.root = std::move(root);
  return document;
}

Position position_of(std::string_view source, std::size_t offset) {
  if (offset == kNowhere) return {};
  const std::string_view before = source.substr(0, offset);
  const auto lines = std::count(before.begin(), before.end(), '\n');
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return {static_cast<int>(lines) + 1, static_cast<int>(before.size() - line_start) + 1};
}

bool is_written_null(std::string_view source, const Node& node) {
  const std::string_view rest = source.substr(node.offset);
  for (const char* word : {"~", "null", "Null", "NULL"}) {
    if (starts_with(rest, word)) return true;
  }
  return false;
}

std::string alias_at(std::string_view source, std::size_t offset) {
  const std::string_view rest = source.substr(offset);
  return "the alias " + quoted_text(rest.substr(0, rest.find_first_of(" \t\r\n,[]{}:")), '\'');
}

}  // namespace vigil::config_reader
