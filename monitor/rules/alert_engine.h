// All rules over one run: records in, alerts out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vigil/monitor/rules/alert_book.h"
#include "vigil/monitor/rules/step_rules.h"
#include "vigil/monitor/rules/tensor_rules.h"
#include "vigil/monitor/rules/threshold_rules.h"

namespace vigil {

struct AlertEngineSetup {
  std::array<RuleSetup, kRuleCount> rules{};
  struct Threshold : ThresholdSetup {
    RuleSetup rule;
  };
  std::vector<Threshold> thresholds;
  std::size_t max_instances = 16;                     ///< of one rule that fire at the same time
  std::string validation_scalar = "validation/loss";  ///< user scalar that overfit and overtraining look at
};

/// Evaluates the catalogue and the user's thresholds on every record of a run. One thread; not the training thread. Allocates at
/// construction only.
class AlertEngine {
 public:
  /// `schema` outlives the engine. @throws std::invalid_argument that names the threshold whose metric or label is unknown
  AlertEngine(const Schema& schema, const AlertEngineSetup& setup);
  AlertEngine(const AlertEngine&) = delete;
  AlertEngine& operator=(const AlertEngine&) = delete;

  /// Called for each alert that begins to fire and each that is over, from within the calls below.
  void set_on_alert(AlertBook::OnAlert on_alert) { book_.set_on_alert(std::move(on_alert)); }

  /// For a reader that comes to a run later than it began: what was counted by then, at its first record, is not news.
  void join(const RunTotals& totals) noexcept { steps_.join(totals); }

  /// In the order in which the training published them, as RunFollower::poll tells them.
  void on_frame(const Frame& frame) noexcept;
  void on_event(const NonfiniteEvent& event) noexcept { steps_.on_event(event); }
  void on_step(const StepRecord& record, const double* scalars, const NameTable& scalar_names) noexcept;
  /// Every now and then: what does not wait for a step.
  void on_host(const HostReading& reading) noexcept { steps_.on_host(reading); }

  const AlertBook& book() const noexcept { return book_; }
  /// Thresholds of which no series has been seen, each once (ThresholdRules::take_unmatched).
  std::vector<std::size_t> take_unmatched_thresholds() { return thresholds_.take_unmatched(); }

 private:
  ThresholdRules thresholds_;
  AlertBook book_;
  StepRules steps_;
  TensorRules tensors_;
};

}  // namespace vigil
