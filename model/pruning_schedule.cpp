#include "vigil/model/pruning_schedule.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <stdexcept>

#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

double sparsity_at(const PruningSchedule& schedule, double progress) noexcept {
  const double from = schedule.initial_sparsity, to = schedule.final_sparsity;
  switch (schedule.shape) {
    case PruningSchedule::Shape::one_shot: return to;
    case PruningSchedule::Shape::linear: return from + (to - from) * progress;
    case PruningSchedule::Shape::cubic: return to + (from - to) * (1 - progress) * (1 - progress) * (1 - progress);
    case PruningSchedule::Shape::exponential: return 1 - (1 - from) * std::pow((1 - to) / (1 - from), progress);
  }
  return to;
}

bool is_share(double value) noexcept { return !is_nan_bits(value) && value >= 0 && value <= 1; }

}  // namespace

std::optional<std::uint64_t> PruningSchedule::latest_pruning(std::uint64_t step) const noexcept {
  if (step < begin) return std::nullopt;
  if (shape == Shape::one_shot) return begin;
  if (step >= end) return end;
  return step - (step - begin) % std::max<std::uint64_t>(1, interval);
}

double PruningSchedule::target(std::uint64_t step) const noexcept {
  const auto at = latest_pruning(step);
  if (!at) return 0;
  if (*at >= end) return final_sparsity;  // exactly, and where begin is end
  return sparsity_at(*this, static_cast<double>(*at - begin) / static_cast<double>(end - begin));
}

void require_valid(const PruningSchedule& schedule) {
  if (!is_share(schedule.final_sparsity)) throw std::invalid_argument("the final sparsity of a schedule is from 0 to 1");
  if (!is_share(schedule.initial_sparsity) || schedule.initial_sparsity > schedule.final_sparsity) {
    throw std::invalid_argument("the initial sparsity of a schedule is from 0 to its final one");
  }
  if (schedule.end < schedule.begin) throw std::invalid_argument("a schedule does not end before it begins");
  if (schedule.interval == 0) throw std::invalid_argument("the interval of a schedule is at least 1 step");
  if (schedule.shape == PruningSchedule::Shape::exponential && schedule.final_sparsity == 1) {
    throw std::invalid_argument("an exponential schedule never gets to a sparsity of 1; choose another shape");
  }
}

ScheduledPruning::ScheduledPruning(PruningMasks& masks, const PruningSchedule& schedule, const PruningMethod& method)
    : masks_(masks), schedule_(schedule), method_(method) {
  require_valid(schedule);
}

ScheduledPruning::Outcome ScheduledPruning::step(std::uint64_t step) noexcept {
  const auto due = schedule_.latest_pruning(step);
  try {
    if (due && (!pruned_at_ || *pruned_at_ < *due)) {
      const std::uint64_t before = masks_.pruned_count();
      masks_.prune_to(schedule_.target(step), method_);
      pruned_at_ = due;
      return masks_.pruned_count() > before ? Outcome::pruned : Outcome::kept;
    }
    if (masks_.apply()) return Outcome::kept;
    if (message_.empty()) message_ = masks_.failure();
  } catch (const std::exception& error) {
    masks_.apply();
    try {
      if (message_.empty()) message_ = error.what();
    } catch (const std::exception&) {
      message_.clear();
    }
  }
  return Outcome::failed;
}

}  // namespace vigil
