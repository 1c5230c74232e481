#include "vigil/tools/check_config.h"

#include <algorithm>
#include <ostream>
#include <tuple>
#include <vector>

#include "vigil/config/config_reader.h"
#include "vigil/exporters/json_text.h"
#include "vigil/tools/rule_report.h"

namespace vigil::tools {
namespace {

std::string json_of(const std::string& file, const std::vector<ConfigProblem>& problems) {
  std::string out = "{";
  append_member(out, "file", file);
  append_member(out, "valid", false);
  out += ",\"problems\":[";
  for (const ConfigProblem& problem : problems) {
    out += &problem == problems.data() ? "{" : ",{";
    append_member(out, "line", problem.line);
    append_member(out, "column", problem.column);
    append_member(out, "key", problem.key);
    append_member(out, "text", problem.text);
    out += '}';
  }
  return out + "]}\n";
}

// All that is wrong with a file, in the order of its lines; what has no line comes last.
std::vector<ConfigProblem> problems_of(const ConfigReading& reading) {
  std::vector<ConfigProblem> problems = reading.problems;
  // What follows from a value that is wrong by itself says nothing new.
  const auto is_told = [&](const std::string& key) {
    return std::any_of(reading.problems.begin(), reading.problems.end(), [&](const ConfigProblem& problem) { return problem.key == key; });
  };
  for (const RuleProblem& problem : problems_of_rules(reading.config)) {
    if (!is_told(problem.key) && !is_told(problem.other)) problems.push_back(reading.problem_at(problem.key, problem.text));
  }
  std::stable_sort(problems.begin(), problems.end(), [](const ConfigProblem& a, const ConfigProblem& b) {
    return std::tuple(a.line == 0, a.line, a.column) < std::tuple(b.line == 0, b.line, b.column);
  });
  return problems;
}

}  // namespace

int check_config(const CheckConfigOptions& options, std::ostream& out, std::ostream& err) {
  const ConfigReading reading = read_config(options.file);
  const std::vector<ConfigProblem> problems = problems_of(reading);
  if (problems.empty()) {
    const RuleReport report = report_rules(reading.config);
    if (!options.quiet) out << (options.json ? tools::json_of(report, options.file) : text_of(report, options.file));
    return 0;
  }
  for (const ConfigProblem& problem : problems) err << problem.message() << '\n';
  if (options.json && !options.quiet) out << json_of(options.file, problems);
  return 1;
}

}  // namespace vigil::tools
