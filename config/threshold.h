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
  std::int64_t for_steps = 0;           ///< steps that it holds before it fires, 0 to 1,000,000,000
  std::int64_t for_ms = 0;              ///< or milliseconds, 0 to 86,400,000
  std::int64_t keep_firing_steps = 20;  ///< steps without it after which it is over, 0 to 1,000,000,000
  Severity severity = Severity::warning;
  std::string name;                  ///< what the alert is called; by default "threshold_" and the metric without "vigil_"
  std::vector<std::string> actions;  ///< empty: those of `RulesConfig::actions`

  std::string problem;  ///< `expected …, got …` when the text is not a rule; empty else
};

/// Reads `METRIC[{label="value", …}] > NUMBER [for N steps | for T] [keep N steps] [info|warning|critical] [as NAME] [do ACTION …]`, where
/// T is a whole number of ms, s or m, up to a day, e.g. `vigil_learning_rate{group="0"} > 0.01 for 100 steps critical as rate_too_high do
/// log stop`. What comes after the number may stand in any order, each once. Whether there is such a metric is not looked at.
Threshold parse_threshold(std::string_view text);

}  // namespace vigil
