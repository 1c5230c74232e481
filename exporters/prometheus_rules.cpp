#include "vigil/exporters/prometheus_rules.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "vigil/config/settings.h"
#include "vigil/exporters/alert_text.h"
#include "vigil/exporters/prometheus_rule_table.h"
#include "vigil/monitor/rules/robust_window.h"

namespace vigil {
namespace {

using config_reader::number_text;
using Values = std::map<std::string, std::string, std::less<>>;

constexpr bool has_the_order_of_the_catalogue() {
  for (std::size_t i = 0; i < kRules.size(); ++i) {
    if (kPrometheusRules[i].rule != kRules[i].name) return false;
  }
  return true;
}
static_assert(has_the_order_of_the_catalogue());

// A string of PromQL. Control characters would end the block of YAML that it stands in.
std::string quoted(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    if (const auto byte = static_cast<unsigned char>(c); byte < 0x20 || byte == 0x7f) {
      out += std::string("\\x") + kDigits[byte >> 4] + kDigits[byte & 15];
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::size_t index_of(std::string_view rule) {
  const auto* const row = std::find_if(kRules.begin(), kRules.end(), [rule](const RuleRow& one) { return one.name == rule; });
  if (row == kRules.end()) throw std::logic_error("no such rule: " + std::string(rule));
  return static_cast<std::size_t>(row - kRules.begin());
}

// What stands for the names between percent signs. `rule` may be empty.
Values values_of(const RulesConfig& rules, std::string_view rule, std::string_view series) {
  Values values{{"on", "on (job, instance, run, rank)"},
                // vigil itself looks at the largest parameter of a layer; sizes are no metric, but a bias never is the largest.
                {"weights", R"(parameter!~".*bias[^.]*")"},
                {"age", "rank:vigil_start_time_seconds:age"},
                {"scalar", quoted(rules.validation_scalar)},
                {"series", std::string(series)},
                {"rule", std::string(rule)},
                {"least_values", std::to_string(SpikeDetector::kLeast)},
                {"least_deviation", number_text(SpikeDetector::kLeastDeviation)}};
  if (rule.empty()) return values;
  const std::size_t index = index_of(rule);
  for (std::size_t i = 0; i < kMaxRuleParameters; ++i) {
    if (const std::string_view name = kRules[index].parameters[i].name; !name.empty())
      values.emplace(name, number_text(rules.catalogue[index].parameters[i]));
  }
  return values;
}

std::string filled(std::string_view text, const Values& values) {
  std::string out;
  for (;;) {
    const std::size_t begin = text.find('%');
    out += text.substr(0, begin);
    if (begin == std::string_view::npos) return out;
    text.remove_prefix(begin + 1);
    const std::size_t end = text.find('%');
    const auto value = values.find(text.substr(0, end));
    if (end == std::string_view::npos || value == values.end())
      throw std::logic_error("prometheus_rule_table.h: nothing is known of %" + std::string(text.substr(0, end)) + "%");
    out += value->first == "series" ? filled(value->second, values) : value->second;
    text.remove_prefix(end + 1);
  }
}

bool names(std::string_view expression, std::string_view series) {
  const auto is_part = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == ':'; };
  for (std::size_t at = expression.find(series); at != std::string_view::npos; at = expression.find(series, at + 1)) {
    const std::size_t end = at + series.size();
    if ((at == 0 || !is_part(expression[at - 1])) && (end == expression.size() || !is_part(expression[end]))) return true;
  }
  return false;
}

void append_comment(std::string& out, std::string_view indent, std::string_view text) {
  constexpr std::size_t kWidth = 120;
  std::istringstream words{std::string(text)};
  std::string line;
  for (std::string word; words >> word;) {
    if (!line.empty() && indent.size() + 2 + line.size() + 1 + word.size() > kWidth) {
      out.append(indent).append("# ").append(line).append("\n");
      line.clear();
    }
    line += line.empty() ? word : " " + word;
  }
  if (!line.empty()) out.append(indent).append("# ").append(line).append("\n");
}

void append_expression(std::string& out, std::string_view expression) {
  if (expression.find('\n') == std::string_view::npos && expression.find(": ") == std::string_view::npos &&
      expression.find('#') == std::string_view::npos && expression.front() != '"') {
    out.append("        expr: ").append(expression).append("\n");
    return;
  }
  out += "        expr: |\n";
  std::istringstream lines{std::string(expression)};
  for (std::string line; std::getline(lines, line);) out.append("          ").append(line).append("\n");
}

std::string subject_text(PrometheusSubject subject) {
  return subject == PrometheusSubject::run ? "Run {{ $labels.run }}: " : "Run {{ $labels.run }}, rank {{ $labels.rank }}: ";
}

// Where to look first, as a path in Grafana (deploy/grafana).
std::string dashboard_text(const PrometheusRuleRow& row) {
  const bool is_of_ranks = row.rule.find("rank") != std::string_view::npos;
  const bool is_of_tensors = row.subject == PrometheusSubject::parameter || row.subject == PrometheusSubject::layer;
  const std::string dashboard = is_of_ranks ? "ranks" : is_of_tensors ? "layers" : "run";
  const std::string rank = row.subject == PrometheusSubject::run ? "" : "&var-rank={{ urlquery $labels.rank }}";
  return "/d/vigil-" + dashboard + "?var-run={{ urlquery $labels.run }}" + rank;
}

std::string for_text(const PrometheusRuleRow& row, const RuleConfig& config) {
  const std::int64_t ms = std::max(row.for_seconds * 1000, config.for_ms);
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + "s" : std::to_string(ms) + "ms";
}

std::string expression_of(const PrometheusRuleRow& row, const Values& values) {
  constexpr std::string_view kEngine = R"(max without (alert, severity) (max_over_time(vigil_alert_active{alert="%rule%"}[1m])))";
  return filled(row.coverage == PrometheusCoverage::engine ? kEngine : row.expression, values);
}

void append_alert_rule(std::string& out, const PrometheusRuleRow& row, const RuleConfig& config, const Values& values) {
  const RuleRow& rule = kRules[index_of(row.rule)];
  out += "\n";
  append_comment(out, "      ", std::string(rule.name) + ": fires when " + std::string(rule.fires) + ".");
  if (row.coverage == PrometheusCoverage::engine)
    append_comment(out, "      ", "Told by vigil's own rule, so rules.enabled has to be true.");
  append_comment(out, "      ", row.note);
  out += "      - alert: " + alertmanager_name(row.rule) + "\n";
  append_expression(out, expression_of(row, values));
  out += "        for: " + for_text(row, config) + "\n        labels:\n          severity: ";
  out.append(kSeverityNames[static_cast<std::size_t>(config.severity)])
      .append("\n        annotations:\n          summary: >-\n            ");
  out.append(row.summary).append("\n          description: >-\n            ");
  out += subject_text(row.subject) + filled(row.seen, values) + ".\n          advice: >-\n            ";
  out.append(rule.advice).append("\n          runbook_url: docs/runbooks/" + alertmanager_name(row.rule) + ".md\n");
  out += "          dashboard_url: " + dashboard_text(row) + "\n";
}

constexpr std::string_view kHeader =
    R"(# Generated from config/rule_table.h and exporters/prometheus_rule_table.h by the test PrometheusRules; do not edit.
#   VIGIL_REFRESH=1 ctest --test-dir build/release -R PrometheusRules
# The catalogue of vigil's rules (docs/alerts.md) for those who alert from Prometheus; tests: tests/rules/catalogue_*_test.yml.
#
# Common to all of them:
# - An alert is called as vigil's own one; what it says is measured at scrapes, so steps between two of them are not seen.
# - Prometheus counts no steps: `for` and windows are times.
# - Gauges are read through *_over_time, so that one failed scrape neither resolves an alert nor resets its `for`.
# - vigil judges the largest parameter of a layer; here it is every one but biases, as sizes are no metric.
# - Levels belong to one attempt of a run: what it is compared with is forgotten when vigil_start_time_seconds changes. Some
#   recorded series are made from their own values of before, within a minute: Prometheus that is off for longer begins anew.
)";

}  // namespace

std::string prometheus_rules_yaml(const RulesConfig& rules) {
  std::string alerts, elsewhere;
  for (std::size_t i = 0; i < kPrometheusRules.size(); ++i) {
    const PrometheusRuleRow& row = kPrometheusRules[i];
    const std::string name(row.rule);
    if (row.coverage == PrometheusCoverage::other_alert) {
      const char* const numbers = kRules[i].parameters[0].name.empty() ? "" : " Its numbers stand there. ";
      append_comment(elsewhere, "",
                     "- " + name + " is " + std::string(row.expression) + " of alerts.yml." + numbers + std::string(row.note));
    } else if (!rules.catalogue[i].enabled) {
      append_comment(elsewhere, "", "- " + name + " is off.");
    } else {
      append_alert_rule(alerts, row, rules.catalogue[i], values_of(rules, row.rule, row.series));
    }
  }
  // What the alerts name, and what these records name in turn, of before or of themselves.
  std::array<std::string, kPrometheusRecords.size()> records;
  std::string named = alerts;
  for (bool has_more = true; has_more;) {
    has_more = false;
    for (std::size_t i = 0; i < records.size(); ++i) {
      const PrometheusRecordRow& row = kPrometheusRecords[i];
      if (!records[i].empty() || !names(named, row.name)) continue;
      records[i] = "\n      - record: " + std::string(row.name) + "\n";
      append_expression(records[i], filled(row.expression, values_of(rules, row.rule, row.series)));
      named += records[i];
      has_more = true;
    }
  }
  std::string out(kHeader);
  if (!elsewhere.empty()) out += "#\n# Not here:\n" + elsewhere;
  out += "\ngroups:";
  if (alerts.empty()) return out + " []\n";
  out += "\n  - name: vigil-catalogue\n    interval: 15s\n    rules:";
  for (const std::string& record : records) out += record;
  return out + alerts;
}

}  // namespace vigil
