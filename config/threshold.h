// A user's own rule, on one line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vigil/config/rule_table.h"

namespace vigil {

struct Threshold {
  std::string metric;                                       ///< e.g. "vigil_gradient_l2_norm"
  std::vector<std::pair<std::string, std::string>> labels;  ///< that a series has to have
  std::string comparison;                                   ///< one of > >= < <= == !=
  double limit = 0;
  std::int64_t for_steps = 0, for_ms = 0;
  Severity severity = Severity::warning;
  std::string name;                  ///< what the alert is called; by default "threshold_" and the metric without "vigil_"
  std::vector<std::string> actions;  ///< empty: those of `RulesConfig::actions`

  std::string problem;  ///< `expected …, got …` when the text is not a rule; empty else
};

/// Reads `METRIC[{label="value", …}] > NUMBER [for N steps | for T] [info|warning|critical] [as NAME] [do ACTION …]`, where T is a whole
/// number of ms, s or m, e.g. `vigil_learning_rate{group="0"} > 0.01 for 100 steps critical as rate_too_high do log stop`. What comes after
/// the number may stand in any order, each once. Whether there is such a metric is not looked at.
Threshold parse_threshold(std::string_view text);

}  // namespace vigil
