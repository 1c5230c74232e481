// A user's own rules: a metric of the contract against a number, judged on every record that has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "vigil/monitor/rules/alert_book.h"
#include "vigil/monitor/rules/figures.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

enum class Comparison : std::uint8_t { above, at_least, below, at_most, equal, unequal };
inline constexpr std::array<std::string_view, 6> kComparisonNames{">", ">=", "<", "<=", "==", "!="};

/// NaN is unequal to everything, and neither above nor below.
bool holds(Comparison comparison, double value, double limit) noexcept;

struct ThresholdSetup {
  std::string metric;                                       ///< e.g. "vigil_gradient_l2_norm"
  std::vector<std::pair<std::string, std::string>> labels;  ///< that a series has to have
  Comparison comparison = Comparison::above;
  double limit = 0;
};

/// One thread. Allocates at construction only.
class ThresholdRules {
 public:
  /// @throws std::invalid_argument that says what is wrong with a metric or label
  ThresholdRules(const Schema& schema, const std::vector<ThresholdSetup>& setups);

  /// Of each threshold.
  std::vector<std::size_t> subjects() const;

  void on_step(AlertBook& book, const StepRecord& record, const double* scalars, const NameTable& scalar_names) noexcept;
  void on_frame(AlertBook& book, const Frame& frame) noexcept;

  /// Of which no series has been seen, each told once: by the first sample where there is no such tensor, and by the kSteps-th step
  /// otherwise. Indices of thresholds. @throws std::bad_alloc
  std::vector<std::size_t> take_unmatched();
  /// Steps in which a series is expected to show.
  static constexpr std::uint64_t kSteps = 1000;

 private:
  struct Threshold {
    ThresholdSetup setup;
    Figure figure;
    std::vector<std::size_t> rows;     // of a frame that it is of
    std::vector<std::size_t> moments;  // by rows: RowSchema::optimizer_state, for vigil_optimizer_moment_norm
    std::size_t subjects = 1;
    bool has_matched = false, is_told = false;
  };
  void judge(AlertBook& book, std::size_t index, const AlertSubject& subject, double value) noexcept;
  void judge_rows(AlertBook& book, std::size_t index, const Frame& frame) noexcept;

  const Schema& schema_;
  std::vector<Threshold> thresholds_;
  std::uint64_t steps_ = 0, frames_ = 0;
  StepTimes step_times_;
};

}  // namespace vigil
