// What a replay says, line by line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

#include "vigil/exporters/alert_rules.h"
#include "vigil/monitor/rules/rule.h"
#include "vigil/monitor/schema.h"

namespace vigil::tools {

/// Whose alert it is: one rank's, or of the ranks together.
struct AlertOrigin {
  static constexpr int kAllRanks = -1;
  const RunIdentity* run = nullptr;
  int rank = 0;
};

/// How often a rule fired in all that was replayed.
struct RuleTally {
  std::uint64_t fired = 0, first_step = 0;
};

/// How much was replayed.
struct ReplayedAmount {
  std::uint64_t runs = 0, steps = 0, frames = 0;
};

/// Writes alerts as they come, and at the end what they come to; as text or as JSON, an object a line.
class AlertLines {
 public:
  AlertLines(std::ostream& out, std::vector<AlertRule> rules, bool as_json);

  /// Called in front of whatever is written.
  void set_before_lines(std::function<void()> call) { before_lines_ = std::move(call); }

  /// In front of the alerts of a run of `ranks` ranks. Nothing in JSON.
  void begin(const RunIdentity& run, std::size_t ranks, const std::string& files);
  void add(const Alert& alert, const AlertOrigin& origin);
  void finish(const ReplayedAmount& amount);

  /// Whether a rule of at least this severity has fired.
  bool has_fired(Severity least) const;

 private:
  void finish_as_text(const ReplayedAmount& amount);
  void finish_as_json(const ReplayedAmount& amount);

  std::ostream& out_;
  const std::vector<AlertRule> rules_;
  const bool as_json_;
  std::function<void()> before_lines_;
  bool names_ranks_ = false;
  std::vector<RuleTally> tallies_;  // by rule
};

}  // namespace vigil::tools
