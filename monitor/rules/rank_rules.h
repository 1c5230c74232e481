// Rules over the ranks of one run: whether they still train the same model, and which of them the others wait for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "vigil/monitor/records.h"
#include "vigil/monitor/rules/alert_book.h"
#include "vigil/monitor/rules/robust_window.h"

namespace vigil {

/// Takes the step records of several ranks and judges each step once every rank has told it. A rank may be ahead of another by kSteps; a
/// step that lies further back is judged by the ranks that have told it by then. Parameter norms are compared at steps that were sampled
/// (RunTotals::samples has grown). One thread. Allocates at construction only.
class RankRules {
 public:
  /// Steps that are kept.
  static constexpr std::size_t kSteps = 256;
  /// Steps that a rank's median is over.
  static constexpr std::size_t kWindow = 128;
  /// Share of the median rank's step that a straggler takes longer: below it nobody waits.
  static constexpr double kLeastShare = 0.05;

  /// `ranks`: numbers of the ranks, all different; what is said names them. Of `rules` those of ranks are looked at.
  /// @throws std::bad_alloc
  RankRules(std::vector<int> ranks, const std::array<RuleSetup, kRuleCount>& rules);
  RankRules(const RankRules&) = delete;
  RankRules& operator=(const RankRules&) = delete;

  /// Called for each alert that begins to fire and each that is over, from within the calls below.
  void set_on_alert(AlertBook::OnAlert on_alert) { book_.set_on_alert(std::move(on_alert)); }

  /// A record of the rank `ranks[index]`, in the order of its steps; a step that is not after the one before is left out.
  void on_step(std::size_t index, const StepRecord& record) noexcept;
  /// The rank tells nothing more: the others are judged without it.
  void on_end(std::size_t index) noexcept;

  const AlertBook& book() const noexcept { return book_; }

 private:
  // What one rank told of one step.
  struct Told {
    std::uint64_t step = 0;  // 0: nothing
    std::int64_t time_ns = 0;
    double parameter_norm = 0, outside_seconds = 0, total_seconds = 0;
    bool has_norm = false, has_times = false;
  };
  Told& slot(std::size_t rank, std::uint64_t step) noexcept { return told_[rank * kSteps + step % kSteps]; }
  void judge_until(std::uint64_t step) noexcept;
  void judge_whole_steps() noexcept;
  void judge(std::uint64_t step) noexcept;
  void judge_norms(std::uint64_t step) noexcept;
  void judge_times(std::uint64_t step) noexcept;

  const std::vector<int> ranks_;
  AlertBook book_;
  std::vector<Told> told_;             // kSteps of each rank
  std::vector<std::uint64_t> latest_;  // step of each rank; kEnded once it has ended
  static constexpr std::uint64_t kEnded = ~std::uint64_t{0};
  std::vector<std::uint64_t> samples_;  // RunTotals::samples of each rank's latest record
  std::uint64_t next_ = 1;              // step to be judged
  std::uint64_t largest_ = 0;           // step that any rank has told
  std::vector<RobustWindow> outside_, total_;
  RobustWindow medians_, totals_;  // over the ranks
};

}  // namespace vigil
