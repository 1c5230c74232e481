#include "vigil/config/config.h"

namespace vigil {

std::array<RuleConfig, kRules.size()> default_rules() {
  std::array<RuleConfig, kRules.size()> rules;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    rules[i].severity = kRules[i].severity;
    rules[i].for_steps = kRules[i].for_steps;
    rules[i].for_ms = kRules[i].for_ms;
    rules[i].keep_firing_steps = kRules[i].keep_firing_steps;
    for (std::size_t j = 0; j < kMaxRuleParameters; ++j) rules[i].parameters[j] = kRules[i].parameters[j].value;
  }
  return rules;
}

}  // namespace vigil
