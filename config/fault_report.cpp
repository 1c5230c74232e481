#include "vigil/config/fault_report.h"

#include <algorithm>
#include <utility>

#include "vigil/config/text.h"

namespace vigil::config_reader {

std::string shown(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null: return "nothing";
    case Node::Kind::plain: return quoted_text(node.text, '\'');
    case Node::Kind::quoted: return "the text " + quoted_text(node.text, '"');
    case Node::Kind::list: return "a list";
    case Node::Kind::mapping: return "a mapping";
    case Node::Kind::alias: return node.foreign;
  }
  return "";
}

bool is_scalar(const Node& node) { return node.kind == Node::Kind::plain || node.kind == Node::Kind::quoted; }

std::vector<ConfigProblem> problems_of(std::vector<Fault> faults, std::string_view source, const std::string& file) {
  std::stable_sort(faults.begin(), faults.end(), [](const Fault& a, const Fault& b) { return a.offset < b.offset; });
  std::vector<ConfigProblem> problems;
  for (const Fault& fault : faults) {
    if (problems.size() == kMaxFaults) {
      problems.push_back({file, 0, 0, "", "expected fewer problems, got more than the " + std::to_string(kMaxFaults) + " above"});
      break;
    }
    const Position position = position_of(source, fault.offset);
    problems.push_back({file, position.line, position.column, fault.key, fault.text});
  }
  return problems;
}

void throw_faults(std::vector<Fault> faults, std::string_view source, const std::string& file) {
  throw ConfigError(problems_of(std::move(faults), source, file));
}

}  // namespace vigil::config_reader
