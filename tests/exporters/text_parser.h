// A reader of both text formats, written from their specifications and independent of the writer. Whatever it does not expect
// is an error.
#pragma once

#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace vigil::test {

struct ParsedFamily {
  std::string type, help, unit;
  std::vector<std::string> series;  ///< `name{labels}` in the order of the text, labels sorted and unescaped
};

struct ParsedText {
  std::map<std::string, ParsedFamily> families;  ///< by the name in the metadata
  std::vector<std::string> family_order;
  std::map<std::string, double> values;  ///< by `name{labels}`; both formats and any order of labels give the same keys
};

/// @throws std::runtime_error "line N: …" on a breach of the 0.0.4 format
ParsedText parse_prometheus_text(std::string_view text);

/// @throws std::runtime_error "line N: …" on a breach of OpenMetrics 1.0: metadata in front of samples and once, names and suffixes
///         by type, units in names, no interleaving, counters not negative, buckets complete and rising, `# EOF` at the end
ParsedText parse_openmetrics_text(std::string_view text);

/// "name{a=\"x\",le=\"1\"}" as the parsers spell it.
std::string series_key(const std::string& name, std::map<std::string, std::string> labels);

}  // namespace vigil::test
