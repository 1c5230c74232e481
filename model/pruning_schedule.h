// Pruning little by little while a model trains, so that it can adapt.
//
//   vigil::PruningSchedule schedule;                          // cubic
//   schedule.final_sparsity = 0.9;
//   schedule.begin = 500, schedule.end = 2500, schedule.interval = 100;
//   vigil::ScheduledPruning pruning(masks, schedule);
//   ...
//   optimizer.step();
//   pruning.step(step);                                       // in place of masks.apply()
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vigil/model/pruning.h"

namespace vigil {

/// Which sparsity a model is to have at which step.
///
/// It is raised at `begin`, every `interval` steps, and at `end`; in between it stays. With the progress p = (t - begin) / (end - begin)
/// from 0 to 1, the initial sparsity s_i and the final one s_f:
///  - one_shot: s_f from `begin` on;
///  - linear: s_i + (s_f - s_i) p;
///  - cubic: s_f + (s_i - s_f) (1 - p)³ (Zhu and Gupta 2017, "To prune, or not to prune", equation 1): most of it while there is most to
///    choose from;
///  - exponential: 1 - (1 - s_i) ((1 - s_f) / (1 - s_i))^p: each time the same share of what is left.
struct PruningSchedule {
  enum class Shape : std::uint8_t { one_shot, linear, cubic, exponential };
  Shape shape = Shape::cubic;
  double initial_sparsity = 0;  ///< 0 to final_sparsity
  double final_sparsity = 0.8;  ///< 0 to 1; below 1 for an exponential one
  std::uint64_t begin = 0;      ///< the first step at which it prunes
  std::uint64_t end = 0;        ///< the last one, not before `begin`
  std::uint64_t interval = 1;   ///< steps from one pruning to the next, from 1 on

  /// The latest step up to `step` at which it prunes; none before `begin`.
  std::optional<std::uint64_t> latest_pruning(std::uint64_t step) const noexcept;
  /// Sparsity to have after `step`, 0 to 1; 0 before `begin`.
  double target(std::uint64_t step) const noexcept;
};

/// @throws std::invalid_argument that says which setting is out of its range
void require_valid(const PruningSchedule& schedule);

/// Follows a schedule. Not for several threads at once.
class ScheduledPruning {
 public:
  enum class Outcome : std::uint8_t {
    kept,    ///< the masks were applied
    pruned,  ///< more was pruned
    failed,  ///< not as it should be: message() says why; what was pruned before is at zero
  };

  /// `masks` outlives this. @throws std::invalid_argument as require_valid() does
  ScheduledPruning(PruningMasks& masks, const PruningSchedule& schedule, const PruningMethod& method = {});

  /// After the optimizer's step `step`. Prunes when it is time, which takes memory for a copy of the masks and a few passes over the
  /// weights, and else only applies them. Steps may be left out: the next one catches up. When weights are NaN or Inf, nothing more is
  /// pruned, and the next step tries again.
  Outcome step(std::uint64_t step) noexcept;

  /// Of the first failure; else empty.
  const std::string& message() const noexcept { return message_; }

 private:
  PruningMasks& masks_;
  const PruningSchedule schedule_;
  const PruningMethod method_;
  std::optional<std::uint64_t> pruned_at_;
  std::string message_;
};

}  // namespace vigil
