// What the readers of strict file formats share: walking a document key by key, and saying what is wrong where.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vigil/config/document.h"

namespace vigil::config_reader {

/// Gathers the faults of one document; a format derives from it. The document outlives it.
class MappingReader {
 public:
  /// A value and where to point when it is left out.
  struct Place {
    const Node& value;
    std::size_t key_offset;
    std::string key;  ///< dotted path
  };

  explicit MappingReader(const Document& document) : source_(document.source), faults_(document.faults) {}

  std::vector<Fault> take_faults() { return std::move(faults_); }

 protected:
  std::size_t faults() const noexcept { return faults_.size(); }
  void fault(std::size_t offset, std::string key, std::string text) { faults_.push_back({offset, std::move(key), std::move(text)}); }
  /// `expected …, got …` with the value, or with `got` where the value is nobody's business.
  void unexpected(const Place& place, const std::string& expected, const std::string& got = "");
  /// Names the nearest of `known`.
  void unknown_key(const Node& key, const std::string& path, const std::vector<std::string>& known);
  /// Anchors, aliases and tags are faults.
  bool is_foreign(const Node& node, const std::string& key);

  /// Calls `entry(key, value, path)` for each key of a mapping, those that stand there twice included.
  using EachEntry = std::function<void(const Node& key, const Node& value, const std::string& path)>;
  void each(const Place& place, const std::string& expected, const EachEntry& entry);
  /// Calls `element` for each element of a list.
  void list_of(const Place& place, const std::string& plural, std::size_t most, const std::function<void(const Place&)>& element);

  // Each of these answers nothing after a fault.
  std::optional<std::string> text_of(const Place& place, const std::string& noun, std::size_t max_bytes, const Node& node);
  std::optional<bool> flag_of(const Place& place, const std::string& expected = "true or false");
  std::optional<std::size_t> choice_of(const Place& place, const std::vector<std::string>& names, const std::string& hint = "");

 private:
  std::string_view source_;
  std::vector<Fault> faults_;
};

}  // namespace vigil::config_reader
