// What a configuration makes of the rules: for people and for programs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/exporters/alert_rules.h"

namespace vigil::tools {

struct ReportedParameter {
  std::string name, what;
  double value = 0, default_value = 0;
};

/// A rule as it is configured.
struct ReportedRule {
  std::string name, severity, fires;
  bool enabled = true;
  bool is_own = false;  ///< a line of rules.threshold
  std::int64_t for_steps = 0, for_ms = 0, keep_firing_steps = 0;
  std::vector<std::string> actions;
  std::vector<ReportedParameter> parameters;
  // What differs from the defaults.
  bool severity_differs = false, for_differs = false, keep_firing_differs = false, actions_differ = false;
};

/// A way on which alerts leave the program.
struct ReportedDelivery {
  std::string name, url;  ///< empty url: not set
  std::string details;
};

struct RuleReport {
  bool enabled = true;
  std::vector<ReportedRule> rules;  ///< the catalogue, then the thresholds
  std::vector<ReportedDelivery> deliveries;
};

/// Everything for which a training refuses the rules: an action leads nowhere, two rules have one name, a threshold's metric or label is
/// unknown, the webhook's key cannot be read.
std::vector<RuleProblem> problems_of_rules(const Config& config);

/// Of rules without such problems. @throws std::invalid_argument for one of the first two
RuleReport report_rules(const Config& config);

/// Lines of at most 140 columns (but for words that are longer). What differs from the defaults has a `*` behind it.
std::string text_of(const RuleReport& report, const std::string& file);
/// One JSON object.
std::string json_of(const RuleReport& report, const std::string& file);

}  // namespace vigil::tools
