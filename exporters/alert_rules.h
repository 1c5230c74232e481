// The rules that a configuration asks for: what the engine in monitor/ is set up with, and what is known of each beyond its numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/monitor/rules/alert_engine.h"

namespace vigil {

/// A rule as its alerts are told.
struct AlertRule {
  std::string name;  ///< label `alert`
  bool enabled = true;
  Severity severity = Severity::warning;
  std::uint32_t actions = 0;  ///< bit i: kAlertActionNames[i]
  std::string advice;         ///< what to try; empty for the user's own

  bool has(AlertAction action) const noexcept { return (actions >> static_cast<unsigned>(action) & 1) != 0; }
};

/// Something for which a configuration's rules are refused.
struct RuleProblem {
  std::string key;         ///< the setting: `rules.threshold[0]`, `rules.loss_spike.actions`
  std::string text;        ///< what is wrong and what to do
  std::string other = {};  ///< another setting whose value makes it wrong; empty: none
};

/// All rules: the catalogue, then the thresholds; in the order of Alert::rule.
/// @throws std::invalid_argument that names the setting when an action has nowhere to go, or two thresholds have one name
std::vector<AlertRule> alert_rules(const Config& config);

/// The same, without what cannot be read: everything for which that and, whatever the run, make_alert_engine() throw goes to `problems`.
std::vector<AlertRule> alert_rules(const Config& config, std::vector<RuleProblem>& problems);

/// Receivers with a URL that no rule that is on tells of anything, as names of actions. For the user, who will wait in vain.
std::vector<std::string> unused_receivers(const ExportersConfig& config, const std::vector<AlertRule>& rules);

/// A metric and the labels that its series have to have, as a threshold's line names them: `vigil_loss{run="a"}`.
std::string selector_text(const std::string& metric, const std::vector<std::pair<std::string, std::string>>& labels);

/// What the engine needs to know of them. @throws std::invalid_argument when a threshold cannot be read
AlertEngineSetup engine_setup(const RulesConfig& config);

/// An engine of the configured rules over a run of this schema, which it refers to.
/// @throws std::invalid_argument likewise, or when a threshold's metric or label is unknown
std::unique_ptr<AlertEngine> make_alert_engine(const Schema& schema, const RulesConfig& config);

}  // namespace vigil
