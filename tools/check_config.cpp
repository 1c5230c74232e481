#include "vigil/tools/check_config.h"

#include <ostream>
#include <stdexcept>
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

}  // namespace

int check_config(const CheckConfigOptions& options, std::ostream& out, std::ostream& err) {
  std::vector<ConfigProblem> problems;
  try {
    const RuleReport report = report_rules(load_config(options.file));
    if (!options.quiet) out << (options.json ? tools::json_of(report, options.file) : text_of(report, options.file));
    return 0;
  } catch (const ConfigError& error) {
    problems = error.problems();
  } catch (const std::invalid_argument& error) {
    problems = {{options.file, 0, 0, "", error.what()}};
  } catch (const std::runtime_error& error) {
    problems = {{options.file, 0, 0, "", error.what()}};
  }
  for (const ConfigProblem& problem : problems) err << problem.message() << '\n';
  if (options.json && !options.quiet) out << json_of(options.file, problems);
  return 1;
}

}  // namespace vigil::tools
