#include "vigil/monitor/rules/rank_rules.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "vigil/monitor/dtype.h"
#include "vigil/monitor/rules/says.h"

namespace vigil {
namespace {

std::vector<std::size_t> subjects_of(std::size_t ranks) {
  std::vector<std::size_t> subjects(kRuleCount);
  subjects[static_cast<std::size_t>(Rule::rank_divergence)] = 1;
  subjects[static_cast<std::size_t>(Rule::straggler_rank)] = ranks;
  return subjects;
}

double seconds(std::uint64_t nanoseconds) noexcept { return 1e-9 * static_cast<double>(nanoseconds); }

std::uint64_t number_of(int rank) noexcept { return static_cast<std::uint64_t>(std::max(rank, 0)); }

}  // namespace

RankRules::RankRules(std::vector<int> ranks, const std::array<RuleSetup, kRuleCount>& rules)
    : ranks_(std::move(ranks)),
      book_({rules.begin(), rules.end()}, subjects_of(ranks_.size()), std::max<std::size_t>(ranks_.size(), 1)),
      told_(kSteps * ranks_.size()),
      latest_(ranks_.size()),
      samples_(ranks_.size()),
      medians_(std::max<std::size_t>(ranks_.size(), 1)),
      totals_(std::max<std::size_t>(ranks_.size(), 1)) {
  for (std::size_t i = 0; i < ranks_.size(); ++i) {
    outside_.emplace_back(kWindow);
    total_.emplace_back(kWindow);
  }
}

void RankRules::on_step(std::size_t index, const StepRecord& record) noexcept {
  if (record.has(StepRecord::again) || record.step <= latest_[index]) return;
  if (record.step >= next_ + kSteps) judge_until(record.step - kSteps);
  Told& told = slot(index, record.step);
  told = {};
  told.step = record.step;
  told.time_ns = record.wall_time_ns;
  // A record keeps the norm of the latest sample; a rank may have sampled one step more than the others, as at a loss that is not finite.
  told.has_norm =
      record.has(StepRecord::has_parameter_norm) && record.totals.samples != samples_[index] && (latest_[index] != 0 || record.step == 1);
  samples_[index] = record.totals.samples;
  told.parameter_norm = record.parameter_norm;
  // What a rank does before it meets the others: in the backward pass (or right after it) the faster ones wait for the slowest.
  told.has_times = record.has(StepRecord::has_total_time);
  told.total_seconds = seconds(record.total_ns);
  told.outside_seconds = seconds(record.total_ns - std::min(record.total_ns, record.forward_backward_ns));
  latest_[index] = record.step;
  largest_ = std::max(largest_, record.step);
  judge_whole_steps();
}

void RankRules::on_end(std::size_t index) noexcept {
  latest_[index] = kEnded;
  judge_whole_steps();
}

void RankRules::judge_whole_steps() noexcept {
  if (latest_.empty()) return;
  judge_until(std::min(*std::min_element(latest_.begin(), latest_.end()), largest_));
}

// Up to and with `step`.
void RankRules::judge_until(std::uint64_t step) noexcept {
  if (step < next_) return;
  // Nothing is kept that lies further back, however far a file's steps lie apart.
  const std::uint64_t first = std::max(next_, largest_ >= kSteps ? largest_ - kSteps + 1 : std::uint64_t{1});
  for (std::uint64_t i = first; i <= std::min(step, largest_); ++i) judge(i);
  next_ = step + 1;
}

void RankRules::judge(std::uint64_t step) noexcept {
  std::int64_t time_ns = std::numeric_limits<std::int64_t>::min();
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    const Told& told = slot(rank, step);
    if (told.step == step) time_ns = std::max(time_ns, told.time_ns);
  }
  if (time_ns == std::numeric_limits<std::int64_t>::min()) return;  // nobody had this step
  book_.set_moment(step, time_ns);
  judge_norms(step);
  judge_times(step);
}

void RankRules::judge_norms(std::uint64_t step) noexcept {
  std::size_t smallest = 0, largest = 0, count = 0, nonfinite = 0;
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    const Told& told = slot(rank, step);
    if (told.step != step || !told.has_norm) continue;
    if (!is_finite_bits(told.parameter_norm)) {
      ++nonfinite;  // nonfinite_parameter's
      continue;
    }
    if (count == 0 || told.parameter_norm < slot(smallest, step).parameter_norm) smallest = rank;
    if (count == 0 || told.parameter_norm > slot(largest, step).parameter_norm) largest = rank;
    ++count;
  }
  if (count < 2 || nonfinite > 0) return;
  const double low = slot(smallest, step).parameter_norm, high = slot(largest, step).parameter_norm;
  const double magnitude = std::max(std::fabs(low), std::fabs(high));
  const double difference = magnitude > 0 ? (high - low) / magnitude : 0, limit = book_.parameter(Rule::rank_divergence, 0);
  book_.judge(Rule::rank_divergence, {}, difference > limit, difference, limit,
              says("the norm of all parameters is ", low, " on rank ", number_of(ranks_[smallest]), " and ", high, " on rank ",
                   number_of(ranks_[largest]), " at step ", step, ": they differ by ", 100 * difference, " %"));
}

void RankRules::judge_times(std::uint64_t step) noexcept {
  if (!book_.is_enabled(Rule::straggler_rank)) return;
  medians_.clear();
  totals_.clear();
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    const Told& told = slot(rank, step);
    if (told.step != step || !told.has_times) continue;
    outside_[rank].add(told.outside_seconds);
    total_[rank].add(told.total_seconds);
  }
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    if (slot(rank, step).step != step || !outside_[rank].is_full()) continue;
    medians_.add(outside_[rank].median());
    totals_.add(total_[rank].median());
  }
  if (medians_.size() < 2) return;
  const double usual = medians_.median(), step_seconds = totals_.median();
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    if (slot(rank, step).step != step || !outside_[rank].is_full()) continue;
    const double own = outside_[rank].median(), ratio = own > 0 ? usual / own : 1, limit = book_.parameter(Rule::straggler_rank, 0);
    const bool is_behind = ratio < limit && own - usual > kLeastShare * step_seconds;
    RingText<168> name;
    name.append("rank ");
    name.append(number_of(ranks_[rank]));
    book_.judge(Rule::straggler_rank, {rank, {}, {}, name.view()}, is_behind, ratio, limit,
                says("rank ", number_of(ranks_[rank]), " spends ", own,
                     " s of a step outside of forward and backward (median of 128); the ", "median rank spends ", usual, " s"));
  }
}

}  // namespace vigil
