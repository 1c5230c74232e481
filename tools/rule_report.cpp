#include "vigil/tools/rule_report.h"

#include <algorithm>
#include <stdexcept>
#include <string_view>

#include "vigil/config/settings.h"
#include "vigil/config/threshold.h"
#include "vigil/exporters/alert_exporters.h"
#include "vigil/exporters/json_text.h"
#include "vigil/terminal/text_cells.h"

namespace vigil::tools {
namespace {

using config_reader::number_text;

constexpr std::size_t kColumns = 140;
constexpr std::string_view kIndent = "    ";

std::string joined(const std::vector<std::string>& words, std::string_view separator) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? std::string() : std::string(separator)) + word;
  return text;
}

std::string duration_text(std::int64_t ms) {
  if (ms % 60'000 == 0) return std::to_string(ms / 60'000) + " min";
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

std::string for_text(const ReportedRule& rule) {
  if (rule.for_steps == 0 && rule.for_ms == 0) return "at once";
  if (rule.for_ms == 0) return counted(rule.for_steps, "step");
  return (rule.for_steps > 0 ? counted(rule.for_steps, "step") + ", " : "") + duration_text(rule.for_ms);
}

// `text` in lines of kColumns, broken at spaces, the first behind `begin` and the others behind kIndent.
void append_wrapped(std::string& out, std::string_view text, std::string_view begin = kIndent) {
  std::string line(begin);
  bool is_empty = true;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!is_empty && line.size() + 1 + word.size() > kColumns) {
      out += line + '\n';
      line = kIndent;
      is_empty = true;
    }
    if (!is_empty) line += ' ';
    line += word;
    is_empty = false;
  }
  out += line + '\n';
}

std::vector<std::string> actions_of(const AlertRule& rule) {
  std::vector<std::string> actions;
  for (std::size_t i = 0; i < kAlertActionNames.size(); ++i) {
    if (rule.has(static_cast<AlertAction>(i))) actions.emplace_back(kAlertActionNames[i]);
  }
  return actions;
}

ReportedRule report_of(std::size_t index, const RuleConfig& config) {
  const RuleRow& row = kRules[index];
  const RuleConfig usual = default_rules()[index];
  ReportedRule rule;
  rule.fires = row.fires;
  rule.for_steps = config.for_steps;
  rule.for_ms = config.for_ms;
  rule.keep_firing_steps = config.keep_firing_steps;
  rule.severity_differs = config.severity != usual.severity;
  rule.for_differs = config.for_steps != usual.for_steps || config.for_ms != usual.for_ms;
  rule.keep_firing_differs = config.keep_firing_steps != usual.keep_firing_steps;
  for (std::size_t i = 0; i < row.parameters.size(); ++i) {
    const RuleParameter& parameter = row.parameters[i];
    if (!parameter.name.empty())
      rule.parameters.push_back({std::string(parameter.name), std::string(parameter.what), config.parameters[i], parameter.value});
  }
  return rule;
}

ReportedRule report_of(const Threshold& threshold) {
  ReportedRule rule;
  rule.is_own = true;
  rule.for_steps = threshold.for_steps;
  rule.for_ms = threshold.for_ms;
  rule.keep_firing_steps = threshold.keep_firing_steps;
  rule.fires = selector_text(threshold.metric, threshold.labels) + " is " + threshold.comparison + ' ' + number_text(threshold.limit);
  return rule;
}

std::string star(bool differs) { return differs ? " *" : ""; }

void append_rule(std::string& out, const ReportedRule& rule, std::size_t name_width) {
  out += padded(rule.name, name_width) + "  " + padded(rule.severity + star(rule.severity_differs), 10) + "  " +
         padded(for_text(rule) + star(rule.for_differs), 18) + "  " +
         padded(counted(rule.keep_firing_steps, "step") + star(rule.keep_firing_differs), 14) + "  " +
         (rule.actions.empty() ? "none" : joined(rule.actions, ", ")) + star(rule.actions_differ) + '\n';
  append_wrapped(out, "fires when " + rule.fires);
  for (const ReportedParameter& parameter : rule.parameters) {
    const bool differs = parameter.value != parameter.default_value;
    append_wrapped(out, parameter.name + " = " + number_text(parameter.value) +
                            (differs ? " * (default " + number_text(parameter.default_value) + ")" : "") + ": " + parameter.what);
  }
}

void append_rule_json(std::string& out, const ReportedRule& rule) {
  out += '{';
  append_member(out, "name", rule.name);
  append_member(out, "own", rule.is_own);
  append_member(out, "enabled", rule.enabled);
  append_member(out, "severity", rule.severity);
  append_member(out, "fires_when", rule.fires);
  append_member(out, "for_steps", rule.for_steps);
  append_member(out, "for_ms", rule.for_ms);
  append_member(out, "keep_firing_steps", rule.keep_firing_steps);
  append_member(out, "actions", rule.actions);
  std::vector<std::string> differs;
  if (rule.severity_differs) differs.emplace_back("severity");
  if (rule.for_differs) differs.emplace_back("for");
  if (rule.keep_firing_differs) differs.emplace_back("keep_firing_steps");
  if (rule.actions_differ) differs.emplace_back("actions");
  out += ",\"parameters\":{";
  for (const ReportedParameter& parameter : rule.parameters) {
    append_member(out, parameter.name, parameter.value);
    if (parameter.value != parameter.default_value) differs.push_back(parameter.name);
  }
  out += '}';
  append_member(out, "differs", differs);
  out += '}';
}

}  // namespace

std::vector<RuleProblem> problems_of_rules(const Config& config) {
  std::vector<RuleProblem> problems;
  const std::vector<AlertRule> known = alert_rules(config, problems);
  const auto is_sent = [](const AlertRule& rule) { return rule.enabled && rule.has(AlertAction::webhook); };
  if (!config.rules.enabled || std::none_of(known.begin(), known.end(), is_sent)) return problems;
  try {
    static_cast<void>(read_signing_key(config.exporters.webhook.secret_file));
  } catch (const std::runtime_error& error) {
    problems.push_back({"exporters.webhook.secret_file", error.what()});
  }
  return problems;
}

RuleReport report_rules(const Config& config) {
  const std::vector<AlertRule> known = alert_rules(config);
  const std::vector<std::string> usual_actions = RulesConfig{}.actions;
  RuleReport report;
  report.enabled = config.rules.enabled;
  for (std::size_t i = 0; i < known.size(); ++i) {
    const bool is_own = i >= kRules.size();
    ReportedRule rule =
        is_own ? report_of(parse_threshold(config.rules.threshold[i - kRules.size()])) : report_of(i, config.rules.catalogue[i]);
    rule.name = known[i].name;
    rule.enabled = known[i].enabled;
    rule.severity = kSeverityNames[static_cast<std::size_t>(known[i].severity)];
    rule.actions = actions_of(known[i]);
    rule.actions_differ =
        !is_own && !std::is_permutation(rule.actions.begin(), rule.actions.end(), usual_actions.begin(), usual_actions.end());
    report.rules.push_back(std::move(rule));
  }
  const std::vector<std::string> unused = unused_receivers(config.exporters, known);
  const auto use_of = [&](const std::string& action) {
    return std::find(unused.begin(), unused.end(), action) == unused.end() ? "" : "; no rule uses it: add " + action + " to rules.actions";
  };
  const WebhookConfig& webhook = config.exporters.webhook;
  const AlertmanagerConfig& alertmanager = config.exporters.alertmanager;
  report.deliveries.push_back({"webhook", webhook.url,
                               std::string(webhook.secret_file.empty() ? "not signed" : "signed with " + webhook.secret_file) +
                                   ", timeout " + duration_text(webhook.timeout_ms) + use_of("webhook")});
  report.deliveries.push_back({"alertmanager", alertmanager.url,
                               "sent again every " + duration_text(alertmanager.resend_ms) + ", timeout " +
                                   duration_text(alertmanager.timeout_ms) + use_of("alertmanager")});
  return report;
}

std::string text_of(const RuleReport& report, const std::string& file) {
  std::vector<std::string> off;
  std::size_t name_width = 0, on = 0, own = 0;
  for (const ReportedRule& rule : report.rules) {
    if (!rule.enabled) off.push_back(rule.name);
    if (!rule.enabled) continue;
    name_width = std::max(name_width, rule.name.size());
    ++(rule.is_own ? own : on);
  }
  std::string out = file + " is valid: " + std::to_string(on) + " of " + std::to_string(kRules.size()) +
                    " rules of the catalogue are on, and " + std::to_string(own) + " of your own. * differs from the default.\n";
  if (!report.enabled) out += "rules.enabled is false: none of them is evaluated.\n";
  out += '\n' + padded("RULE", name_width) + "  " + padded("SEVERITY", 10) + "  " + padded("HOLDS FOR", 18) + "  " +
         padded("KEEPS FIRING", 14) + "  ACTIONS\n";
  for (const ReportedRule& rule : report.rules) {
    if (rule.enabled) append_rule(out, rule, name_width);
  }
  out += '\n';
  append_wrapped(out, off.empty() ? "none" : joined(off, ", "), "Off: ");
  for (const ReportedDelivery& delivery : report.deliveries)
    out += padded(delivery.name + ':', 14) + (delivery.url.empty() ? "none" : delivery.url + " (" + delivery.details + ")") + '\n';
  return out;
}

std::string json_of(const RuleReport& report, const std::string& file) {
  std::string out = "{";
  append_member(out, "file", file);
  append_member(out, "valid", true);
  append_member(out, "enabled", report.enabled);
  out += ",\"rules\":[";
  for (const ReportedRule& rule : report.rules) {
    if (&rule != report.rules.data()) out += ',';
    append_rule_json(out, rule);
  }
  out += "],\"deliveries\":{";
  for (const ReportedDelivery& delivery : report.deliveries) append_member(out, delivery.name, delivery.url);
  return out + "}}\n";
}

}  // namespace vigil::tools
