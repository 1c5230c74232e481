// YAML text as a small tree that remembers where everything stands. The only file pair that knows yaml-cpp.
//
// The tree is built from yaml-cpp's events, not from its nodes: nodes drop the first of two equal keys, and expand aliases.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vigil::config_reader {

inline constexpr std::size_t kMaxSourceBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxNodes = 10000;
inline constexpr std::size_t kMaxDepth = 16;  // the settings need 3

inline constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);

/// Something wrong with a text.
struct Fault {
  std::size_t offset = kNowhere;  ///< in bytes into the source; `kNowhere` for the text as a whole
  std::string key;                ///< dotted path; empty for the document itself
  std::string text;               ///< `expected …, got …`
};

struct Node {
  enum class Kind { null, plain, quoted, list, mapping, alias };
  Kind kind = Kind::null;
  std::size_t offset = 0;      ///< in bytes into the source. Of a null that is not written: of what follows it.
  std::string text;            ///< of a scalar, unescaped
  std::string foreign;         ///< what settings do not use: `the tag '!x'`, `the anchor '&x'`, `the alias '*x'`; else empty
  std::vector<Node> children;  ///< of a list: its elements; of a mapping: key, value, key, value, …
};

struct Document {
  std::string source;        ///< without a byte order mark; offsets count in it
  std::optional<Node> root;  ///< nothing for an empty document, and for one that could not be parsed
  std::vector<Fault> faults;
};

/// Parses `yaml`. Never throws but `std::bad_alloc`: everything wrong is a fault. At most one syntax error is found.
/// Faults: more than `kMaxSourceBytes`, unprintable text, YAML that yaml-cpp refuses, directives, a second document, more than `kMaxNodes`
/// or `kMaxDepth`.
Document parse_document(std::string_view yaml);

struct Position {
  int line = 0;
  int column = 0;
};

/// 1-based line and column (in bytes) of an offset; 0 and 0 for `kNowhere`.
Position position_of(std::string_view source, std::size_t offset);

/// True when the file says null at this node; false when it leaves the value out, which is a null to YAML too.
bool is_written_null(std::string_view source, const Node& node);

/// `the alias '*x'` for the alias that starts at `offset`.
std::string alias_at(std::string_view source, std::size_t offset);

}  // namespace vigil::config_reader
