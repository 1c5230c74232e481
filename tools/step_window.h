// The latest steps of a run, each with its last word.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "vigil/monitor/ring_format.h"
#include "vigil/monitor/snapshot.h"

namespace vigil::tools {

struct StepLine {
  StepRecord record;
  std::vector<double> scalars;  ///< learning rates, then user scalars: scalar_capacity() of the schema
};

/// Keeps the last `limit` steps, at least one. What is logged after a step (StepRecord::again) takes the place of its scalars as long as it
/// is here. One thread.
class StepWindow {
 public:
  using OnLeave = std::function<void(const StepLine& line)>;

  /// `on_leave` is called for a step that makes room; it may be empty. `capacity` is scalar_capacity().
  StepWindow(std::size_t limit, std::size_t capacity, OnLeave on_leave = {})
      : limit_(limit == 0 ? 1 : limit), capacity_(capacity), on_leave_(std::move(on_leave)) {}

  void add(const StepRecord& record, const double* scalars) {
    if (record.has(StepRecord::again)) {
      if (lines_.empty() || lines_.back().record.step != record.step) return;
      lines_.back().record.user_scalars = record.user_scalars;
      lines_.back().scalars.assign(scalars, scalars + capacity_);
      return;
    }
    if (lines_.size() == limit_) leave();
    lines_.push_back({record, std::vector<double>(scalars, scalars + capacity_)});
  }
  /// All of them leave.
  void flush() {
    while (!lines_.empty()) leave();
  }
  const std::deque<StepLine>& lines() const noexcept { return lines_; }

 private:
  void leave() {
    if (on_leave_) on_leave_(lines_.front());
    lines_.pop_front();
  }

  const std::size_t limit_, capacity_;
  const OnLeave on_leave_;
  std::deque<StepLine> lines_;
};

}  // namespace vigil::tools
