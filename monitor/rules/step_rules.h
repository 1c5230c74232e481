// Rules over step records: non-finite values, losses, norms, learning rates, times.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "vigil/monitor/records.h"
#include "vigil/monitor/rules/alert_book.h"
#include "vigil/monitor/rules/robust_window.h"
#include "vigil/monitor/schema.h"

namespace vigil {

/// Eight readings of memory, as many steps apart: whether it grows all the time.
class MemoryTrend {
 public:
  static constexpr std::size_t kReadings = 8;
  static constexpr std::uint64_t kSteps = 50;
  /// Before it caches fill, and allocators grow.
  static constexpr std::uint64_t kWarmUpSteps = 100;

  /// Takes a reading when it is time. True when it did and there are enough of them.
  bool add(std::uint64_t step, double bytes) noexcept;
  bool grows_always() const noexcept;
  double first() const noexcept { return readings_.front(); }
  double last() const noexcept { return readings_.back(); }

 private:
  std::array<double, kReadings> readings_{};  // the oldest first
  std::size_t count_ = 0;
  std::uint64_t next_step_ = kWarmUpSteps;
};

/// What a run's host says at one moment.
struct HostReading {
  std::int64_t now_ns = 0;     ///< nanoseconds since the epoch
  std::int64_t steady_ns = 0;  ///< nanoseconds of a clock that nobody sets
  bool is_running = false;     ///< the run has neither finished nor failed
  bool is_evaluating = false;
  double anonymous_bytes =
      std::numeric_limits<double>::quiet_NaN();  ///< of the process that lie in memory and not in files; NaN: not known
  double disk_free_bytes = std::numeric_limits<double>::quiet_NaN();
};

/// Whether `score` is beyond the first two parameters of a rule of spikes: deviations above the median, and times the median.
inline bool is_spike(const AlertBook& book, Rule rule, const SpikeDetector::Score& score) noexcept {
  return score.is_known && score.z >= book.parameter(rule, 0) && score.ratio >= book.parameter(rule, 1);
}

/// One thread. Allocates at construction only.
class StepRules {
 public:
  /// Parameter groups that are judged, at most.
  static constexpr std::size_t kMaxGroups = 64;

  StepRules(const Schema& schema, std::string validation_scalar, AlertBook& book);

  /// `has_frame`: the tensors of this step were sampled, and the sample was given to TensorRules before; `nonfinite_row` is the first
  /// parameter or buffer in it that is not finite, or null.
  void on_step(const StepRecord& record, const double* scalars, const NameTable& scalar_names, bool has_frame,
               const RowSchema* nonfinite_row);
  void on_event(const NonfiniteEvent& event) noexcept { event_ = event; }
  /// The totals that the first record's are measured against; by default none.
  void join(const RunTotals& totals) noexcept { previous_ = totals; }
  /// Between steps.
  void on_host(const HostReading& reading) noexcept;

  /// Whether the parameters of a group learn: by the learning rates of the latest step. A rate that a schedule lets run out, below a
  /// hundredth of its highest, changes too little to tell. RowSchema::kNone: whether any group does.
  bool learns(std::int32_t group) const noexcept {
    const auto index = static_cast<std::size_t>(group);
    return group < 0 || index >= group_learns_.size() ? learns_ : group_learns_[index] != 0;
  }
  /// Of the latest step.
  std::uint64_t skipped_steps() const noexcept { return previous_.skipped_steps; }

 private:
  static constexpr std::uint64_t kWarmUpSteps = 10;
  static constexpr double kLeastShareOfRate = 0.01, kDiverged = 10;
  static constexpr std::uint64_t kLargeAtFirst = 50;

  void judge_nonfinite(const StepRecord& record, bool has_frame, const RowSchema* nonfinite_row) noexcept;
  void judge_learning_rates(const double* scalars) noexcept;
  void judge_gradient_norm(double norm) noexcept;
  void judge_loss(const StepRecord& record) noexcept;
  void judge_progress(std::uint64_t step) noexcept;
  void judge_validation(const double* scalars, std::size_t count, const NameTable& names) noexcept;
  void judge_times(const StepRecord& record) noexcept;
  void judge_memory(std::size_t subject, MemoryTrend& trend, double bytes, std::string_view whose) noexcept;

  const Schema& schema_;
  const std::string validation_scalar_;
  AlertBook& book_;

  RunTotals previous_;
  NonfiniteEvent event_;
  bool learns_ = true;
  std::vector<double> highest_rate_;
  std::vector<unsigned char> group_learns_;

  SpikeDetector loss_, gradient_norm_, step_time_;
  RobustWindow first_losses_{16};
  double first_loss_ = 0;
  std::uint64_t large_in_row_ = 0;  // gradient norms above the absolute limit
  double best_loss_ = std::numeric_limits<double>::quiet_NaN();
  std::uint64_t best_loss_step_ = 0;

  std::size_t validation_index_ = 0;
  bool validation_found_ = false;
  double validation_ = std::numeric_limits<double>::quiet_NaN(), best_validation_ = std::numeric_limits<double>::quiet_NaN();
  double overfit_in_row_ = 0, stale_in_row_ = 0;

  std::array<std::uint64_t, SpikeDetector::kWindow> data_ns_{}, total_ns_{};
  std::size_t next_time_ = 0;
  std::uint64_t data_sum_ = 0, total_sum_ = 0;
  double best_step_time_ = std::numeric_limits<double>::infinity();

  MemoryTrend process_, device_;
  std::uint64_t step_ = 0, seen_step_ = 0;  // now, and when progress was last seen
  std::int64_t progress_ns_ = 0;            // that moment, of HostReading::steady_ns; 0: there was no reading yet
};

}  // namespace vigil
