#include "vigil/config/mapping_reader.h"

#include <algorithm>

#include "vigil/config/fault_report.h"
#include "vigil/config/suggestion.h"
#include "vigil/config/text.h"

namespace vigil::config_reader {

void MappingReader::unexpected(const Place& place, const std::string& expected, const std::string& got) {
  const bool left_out = place.value.kind == Node::Kind::null && !is_written_null(source_, place.value);
  fault(left_out ? place.key_offset : place.value.offset, place.key,
        "expected " + expected + ", got " + (got.empty() ? shown(place.value) : got));
}

void MappingReader::unknown_key(const Node& key, const std::string& path, const std::vector<std::string>& known) {
  std::string hint;
  for (const std::string& name : known) {
    if (key.text.size() > 64 || edit_distance(key.text, name) > 2) continue;
    hint = " (did you mean '" + name + "'?)";
    break;
  }
  fault(key.offset, path, "expected " + joined(known, " or ") + ", got " + quoted_text(key.text, '\'') + hint);
}

bool MappingReader::is_foreign(const Node& node, const std::string& key) {
  if (node.foreign.empty()) return false;
  fault(node.offset, key, "expected a value without anchors, aliases and tags, got " + node.foreign);
  return true;
}

void MappingReader::each(const Place& place, const std::string& expected, const EachEntry& entry) {
  if (place.value.kind != Node::Kind::mapping) return unexpected(place, expected);
  std::vector<const Node*> keys;
  const std::vector<Node>& children = place.value.children;
  for (std::size_t i = 0; i + 1 < children.size() && faults_.size() <= kMaxFaults; i += 2) {
    const Node& key = children[i];
    if (is_foreign(key, place.key)) continue;
    if (!is_scalar(key)) {
      fault(key.offset, place.key, "expected a key, got " + shown(key));
      continue;
    }
    const std::string path = (place.key.empty() ? "" : place.key + ".") + one_line(key.text);
    const auto first = std::find_if(keys.begin(), keys.end(), [&](const Node* other) { return other->text == key.text; });
    if (first != keys.end()) {
      const std::string line = std::to_string(position_of(source_, (*first)->offset).line);
      fault(key.offset, path, "expected each key once, got it again (first on line " + line + ")");
    }
    keys.push_back(&key);
    if (!is_foreign(children[i + 1], path)) entry(key, children[i + 1], path);
  }
}

void MappingReader::list_of(const Place& place, const std::string& plural, std::size_t most,
                            const std::function<void(const Place&)>& element) {
  const std::string expected = "a list of at most " + std::to_string(most) + " " + plural;
  const std::vector<Node>& children = place.value.children;
  if (place.value.kind != Node::Kind::list) return unexpected(place, expected);
  if (children.size() > most) return unexpected(place, expected, std::to_string(children.size()));
  for (std::size_t i = 0; i < children.size() && faults_.size() <= kMaxFaults; ++i) {
    const std::string path = place.key + "[" + std::to_string(i) + "]";
    if (!is_foreign(children[i], path)) element(Place{children[i], place.value.offset, path});
  }
}

std::optional<std::string> MappingReader::text_of(const Place& place, const std::string& noun, std::size_t max_bytes, const Node& node) {
  const Place at{node, place.key_offset, place.key};
  const std::string expected = "a " + noun + " of 1 to " + std::to_string(max_bytes) + " bytes";
  if (!is_scalar(node)) {
    unexpected(at, expected);
  } else if (const auto unprintable = first_unprintable(node.text, false)) {
    unexpected(at, "printable UTF-8 text", unprintable->description);
  } else if (node.text.empty() || node.text.size() > max_bytes) {
    unexpected(at, expected, std::to_string(node.text.size()) + " bytes");
  } else {
    return node.text;
  }
  return std::nullopt;
}

std::optional<bool> MappingReader::flag_of(const Place& place, const std::string& expected) {
  const bool is_true = place.value.text == "true";
  if (place.value.kind == Node::Kind::plain && (is_true || place.value.text == "false")) return is_true;
  unexpected(place, expected);
  return std::nullopt;
}

std::optional<std::size_t> MappingReader::choice_of(const Place& place, const std::vector<std::string>& names, const std::string& hint) {
  if (is_scalar(place.value)) {
    const auto found = std::find(names.begin(), names.end(), place.value.text);
    if (found != names.end()) return found - names.begin();
  }
  unexpected(place, joined(names, " or "), shown(place.value) + hint);
  return std::nullopt;
}

}  // namespace vigil::config_reader
