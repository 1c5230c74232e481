#include "vigil/exporters/alert_rules.h"

#include <algorithm>
#include <stdexcept>

#include "vigil/config/threshold.h"
#include "vigil/exporters/json_text.h"

namespace vigil {
namespace {

// The table of config/ says what may be set, that of monitor/ what is computed: they are of the same rules in the same order.
constexpr bool tables_agree() {
  if (kRules.size() != kRuleCount) return false;
  for (std::size_t i = 0; i < kRuleCount; ++i) {
    if (kRules[i].name != kRuleNames[i]) return false;
  }
  return true;
}
static_assert(tables_agree(), "config/rule_table.h and monitor/rules/rule.h differ");
static_assert(kMaxRuleParameters == std::tuple_size_v<decltype(RuleSetup::parameters)>);

std::uint32_t bits_of(const std::vector<std::string>& actions, const std::vector<std::string>& otherwise) {
  std::uint32_t bits = 0;
  for (const std::string& action : actions.empty() ? otherwise : actions) {
    const auto found = std::find(kAlertActionNames.begin(), kAlertActionNames.end(), action);
    if (found != kAlertActionNames.end()) bits |= 1U << (found - kAlertActionNames.begin());
  }
  return bits;
}

RuleSetup setup_of(std::int64_t for_steps, std::int64_t for_ms, std::int64_t keep_firing_steps) {
  RuleSetup setup;
  setup.for_steps = static_cast<std::uint64_t>(for_steps);
  setup.for_ns = for_ms * 1'000'000;
  setup.keep_firing_steps = static_cast<std::uint64_t>(keep_firing_steps);
  return setup;
}

std::string threshold_key(std::size_t i) { return "rules.threshold[" + std::to_string(i) + "]"; }

Threshold threshold_at(const RulesConfig& config, std::size_t i) {
  Threshold threshold = parse_threshold(config.threshold[i]);
  if (!threshold.problem.empty()) throw std::invalid_argument(threshold_key(i) + ": " + threshold.problem);
  return threshold;
}

// The rules and what is wrong with them.
class RuleList {
 public:
  explicit RuleList(const Config& config) {
    const RulesConfig& rules = config.rules;
    for (std::size_t i = 0; i < kRules.size(); ++i) {
      const RuleConfig& rule = rules.catalogue[i];
      const std::string key = "rules." + std::string(kRules[i].name) + ".actions";
      add({std::string(kRules[i].name), rule.enabled, rule.severity, bits_of(rule.actions, rules.actions), std::string(kRules[i].advice)},
          rule.actions.empty() ? "rules.actions" : key);
    }
    for (std::size_t i = 0; i < rules.threshold.size(); ++i) {
      const Threshold threshold = parse_threshold(rules.threshold[i]);
      if (!threshold.problem.empty()) {
        problems_.push_back({threshold_key(i), threshold.problem});
        continue;
      }
      const auto is_namesake = [&](const AlertRule& rule) { return rule.name == threshold.name; };
      if (std::any_of(rules_.begin(), rules_.end(), is_namesake)) {
        problems_.push_back(
            {threshold_key(i), "another rule is called '" + threshold.name + "'; give it a name of its own with `as NAME`"});
      }
      add({threshold.name, true, threshold.severity, bits_of(threshold.actions, rules.actions), {}},
          threshold.actions.empty() ? "rules.actions" : threshold_key(i));
    }
    const ExportersConfig& exporters = config.exporters;
    check_action(AlertAction::webhook, !exporters.webhook.url.empty(), "exporters.webhook.url", "is empty; set it");
    check_action(AlertAction::alertmanager, !exporters.alertmanager.url.empty(), "exporters.alertmanager.url", "is empty; set it");
    check_action(AlertAction::dump, exporters.report.enabled, "exporters.report.enabled", "is false; set it to true");
  }

  std::vector<AlertRule> take_rules() { return std::move(rules_); }
  std::vector<RuleProblem> take_problems() { return std::move(problems_); }

 private:
  void add(AlertRule rule, std::string actions_key) {
    rules_.push_back(std::move(rule));
    actions_keys_.push_back(std::move(actions_key));
  }

  // `missing`: what is to be done about `setting` included. One problem for all rules that have their actions from the same place.
  void check_action(AlertAction action, bool can, const std::string& setting, const std::string& missing) {
    const std::string name(kAlertActionNames[static_cast<std::size_t>(action)]);
    const std::string why = " has the action " + name + ", but " + setting + " " + missing + ", or leave the action out";
    std::vector<std::string> told;
    for (std::size_t i = 0; i < rules_.size() && !can; ++i) {
      const std::string& key = actions_keys_[i];
      if (!rules_[i].enabled || !rules_[i].has(action) || std::find(told.begin(), told.end(), key) != told.end()) continue;
      told.push_back(key);
      problems_.push_back({key, "the rule " + rules_[i].name + why, setting});
    }
  }

  std::vector<AlertRule> rules_;
  std::vector<std::string> actions_keys_;  // the setting that each has its actions from
  std::vector<RuleProblem> problems_;
};

}  // namespace

std::vector<AlertRule> alert_rules(const Config& config, std::vector<RuleProblem>& problems) {
  RuleList list(config);
  problems = list.take_problems();
  for (std::size_t i = 0; i < config.rules.threshold.size(); ++i) {
    RulesConfig one;
    one.threshold = {config.rules.threshold[i]};
    if (!parse_threshold(one.threshold.front()).problem.empty()) continue;  // told already
    try {
      make_alert_engine(Schema{}, one);  // knows the metrics
    } catch (const std::invalid_argument& error) {
      const std::string text = error.what(), key = threshold_key(0) + ": ";
      problems.push_back({threshold_key(i), text.rfind(key, 0) == 0 ? text.substr(key.size()) : text});
    }
  }
  return list.take_rules();
}

std::vector<AlertRule> alert_rules(const Config& config) {
  RuleList list(config);
  const std::vector<RuleProblem> problems = list.take_problems();
  if (!problems.empty()) throw std::invalid_argument(problems.front().key + ": " + problems.front().text);
  return list.take_rules();
}

std::vector<std::string> unused_receivers(const ExportersConfig& config, const std::vector<AlertRule>& rules) {
  std::vector<std::string> unused;
  const auto look_at = [&](AlertAction action, const std::string& url) {
    const bool is_used = std::any_of(rules.begin(), rules.end(), [&](const AlertRule& rule) { return rule.enabled && rule.has(action); });
    if (!url.empty() && !is_used) unused.emplace_back(kAlertActionNames[static_cast<std::size_t>(action)]);
  };
  look_at(AlertAction::webhook, config.webhook.url);
  look_at(AlertAction::alertmanager, config.alertmanager.url);
  return unused;
}

std::string selector_text(const std::string& metric, const std::vector<std::pair<std::string, std::string>>& labels) {
  std::string text;
  for (const auto& [label, value] : labels) text += (text.empty() ? "" : ", ") + label + "=" + to_json(value);
  return labels.empty() ? metric : metric + "{" + text + "}";
}

AlertEngineSetup engine_setup(const RulesConfig& config) {
  AlertEngineSetup setup;
  for (std::size_t i = 0; i < kRuleCount; ++i) {
    const RuleConfig& rule = config.catalogue[i];
    setup.rules[i] = setup_of(rule.for_steps, rule.for_ms, rule.keep_firing_steps);
    setup.rules[i].enabled = rule.enabled;
    setup.rules[i].parameters = rule.parameters;
  }
  for (std::size_t i = 0; i < config.threshold.size(); ++i) {
    const Threshold threshold = threshold_at(config, i);
    AlertEngineSetup::Threshold& made = setup.thresholds.emplace_back();
    made.metric = threshold.metric;
    made.labels = threshold.labels;
    const auto comparison = std::find(kComparisonNames.begin(), kComparisonNames.end(), threshold.comparison);
    made.comparison = static_cast<Comparison>(comparison - kComparisonNames.begin());
    made.limit = threshold.limit;
    made.rule = setup_of(threshold.for_steps, threshold.for_ms, threshold.keep_firing_steps);
  }
  setup.max_instances = static_cast<std::size_t>(config.max_instances);
  setup.validation_scalar = config.validation_scalar;
  return setup;
}

std::unique_ptr<AlertEngine> make_alert_engine(const Schema& schema, const RulesConfig& config) {
  return std::make_unique<AlertEngine>(schema, engine_setup(config));
}

}  // namespace vigil
