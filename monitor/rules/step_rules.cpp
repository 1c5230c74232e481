#include "vigil/monitor/rules/step_rules.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "vigil/monitor/dtype.h"
#include "vigil/monitor/rules/says.h"

namespace vigil {
namespace {

using Text = RingText<384>;

constexpr AlertSubject kRun{};

NonfiniteCounts increase(const RunTotals& now, const RunTotals& before, NonfiniteIn where) noexcept {
  const NonfiniteCounts &a = now.nonfinite_values[static_cast<std::size_t>(where)],
                        &b = before.nonfinite_values[static_cast<std::size_t>(where)];
  return {a.nan - b.nan, a.inf - b.inf};
}

}  // namespace

bool MemoryTrend::add(std::uint64_t step, double bytes) noexcept {
  if (step < next_step_ || !is_finite_bits(bytes)) return false;
  next_step_ = step + kSteps;
  std::rotate(readings_.begin(), readings_.begin() + 1, readings_.end());
  readings_.back() = bytes;
  count_ = std::min(count_ + 1, kReadings);
  return count_ == kReadings;
}

bool MemoryTrend::grows_always() const noexcept {
  return std::adjacent_find(readings_.begin(), readings_.end(), [](double a, double b) { return b <= a; }) == readings_.end();
}

StepRules::StepRules(const Schema& schema, std::string validation_scalar, AlertBook& book)
    : schema_(schema),
      validation_scalar_(std::move(validation_scalar)),
      book_(book),
      highest_rate_(std::min(schema.learning_rates, kMaxGroups)),
      group_learns_(highest_rate_.size(), 1) {}

void StepRules::judge_nonfinite(const StepRecord& record, bool has_frame, const RowSchema* nonfinite_row) noexcept {
  const auto judge = [&](Rule rule, NonfiniteIn where, const AlertSubject& subject, bool was_looked_at, std::string_view message) {
    const NonfiniteCounts more = increase(record.totals, previous_, where);
    if (more.nan + more.inf == 0 && !was_looked_at) return;  // tells nothing
    book_.judge(rule, subject, more.nan + more.inf > 0, static_cast<double>(more.nan + more.inf), 0, [&](Text& text) {
      text.append(more.nan);
      text.append(" NaN and ");
      text.append(more.inf);
      text.append(" infinite values in ");
      text.append(where == NonfiniteIn::loss ? "the loss" : where == NonfiniteIn::gradient ? "gradients" : "parameters or buffers");
      if (message.empty()) return;
      text.append("; ");
      text.append(message);
    });
  };
  // The event of a streak comes before the record of its first step.
  const bool has_event = event_.step != 0 && event_.step == record.step;
  const std::string_view message = has_event ? event_.message.view() : std::string_view();
  const std::string_view origin = origin_parameter(record, schema_);
  const std::string_view parameter = has_event ? event_.parameter.view() : origin;
  std::string_view layer = has_event ? event_.layer.view() : std::string_view();
  if (layer.empty()) layer = parameter.substr(0, parameter.find_last_of('.') == std::string_view::npos ? 0 : parameter.find_last_of('.'));
  judge(Rule::nonfinite_gradient, NonfiniteIn::gradient, {0, parameter, layer}, record.has(StepRecord::has_gradient_norm), message);
  judge(Rule::nonfinite_loss, NonfiniteIn::loss,
        {0, {}, has_event && !event_.operation.view().empty() ? event_.layer.view() : std::string_view()}, record.has(StepRecord::has_loss),
        message);
  AlertSubject tensor;
  if (nonfinite_row != nullptr) tensor = {0, nonfinite_row->name, nonfinite_row->layer};
  judge(Rule::nonfinite_parameter, NonfiniteIn::parameter, tensor, has_frame, {});
}

void StepRules::judge_learning_rates(const double* rates) noexcept {
  learns_ = false;
  bool all_zero = schema_.learning_rates > 0;
  for (std::size_t group = 0; group < schema_.learning_rates; ++group) {
    const double rate = rates[group];
    learns_ |= rate > 0;
    all_zero &= rate == 0;
  }
  for (std::size_t group = 0; group < highest_rate_.size(); ++group) {
    const double rate = rates[group];
    const std::uint64_t number = group;
    RingText<168> name;
    name.append("group ");
    name.append(number);
    const AlertSubject subject{group, {}, {}, name.view()};
    book_.judge(Rule::learning_rate_nonfinite, subject, !is_finite_bits(rate) || rate < 0, rate, 0,
                says("the learning rate of group ", number, " is ", rate));
    const double limit = book_.parameter(Rule::learning_rate_jump, 0) * highest_rate_[group];
    // A warm-up takes its largest strides at its beginning.
    const bool jumps = step_ > kWarmUpSteps && highest_rate_[group] > 0 && is_finite_bits(rate) && rate > limit;
    book_.judge(Rule::learning_rate_jump, subject, jumps, rate, limit,
                says("the learning rate of group ", number, " jumped to ", rate, "; its highest so far was ", highest_rate_[group]));
    if (is_finite_bits(rate)) highest_rate_[group] = std::max(highest_rate_[group], rate);
    group_learns_[group] = rate > kLeastShareOfRate * highest_rate_[group];
  }
  book_.judge(Rule::learning_rate_zero, kRun, all_zero, 0, 0, says("every learning rate is 0"));
}

void StepRules::judge_gradient_norm(double norm) noexcept {
  if (!is_finite_bits(norm)) return;  // NaN is nonfinite_gradient's
  constexpr double kHarmless = 10;    // small norms swing widely and do no harm
  constexpr double kOutOfNoise = 4;   // deviations: norms of batches of one swing by nature
  const double level = gradient_norm_.values().median();
  const std::uint64_t steps = gradient_norm_.values().size();
  const auto score = gradient_norm_.score_and_add(norm);
  const double max_norm = book_.upper(Rule::exploding_gradient, 0, book_.parameter(Rule::exploding_gradient, 0));
  const double relative = std::max(kHarmless, book_.parameter(Rule::exploding_gradient, 1) * level);
  // Norms that are large at first fall within some steps where the loss is one of large numbers.
  large_in_row_ = norm > max_norm ? large_in_row_ + 1 : 0;
  const bool is_large = large_in_row_ > kLargeAtFirst, explodes = norm > relative && score.is_known && score.z >= kOutOfNoise;
  const double limit = is_large ? max_norm : relative;
  book_.judge(Rule::exploding_gradient, kRun, is_large || explodes, norm, limit,
              says("the gradient norm is ", norm, ", above ", limit, "; its median over ", steps, " steps is ", level));
  book_.judge(Rule::gradient_spike, kRun, is_spike(book_, Rule::gradient_spike, score), norm, score.median,
              says("the gradient norm spiked to ", norm, ": ", score.z, " deviations above its median ", score.median));
}

void StepRules::judge_loss(const StepRecord& record) noexcept {
  const double loss = record.loss;
  if (!record.has(StepRecord::has_loss) || !is_finite_bits(loss)) return;
  const auto score = loss_.score_and_add(loss);
  book_.judge(Rule::loss_spike, kRun, is_spike(book_, Rule::loss_spike, score), loss, score.median,
              says("the loss spiked to ", loss, ": ", score.z, " deviations above its median ", score.median));
  if (first_losses_.size() == 0) first_loss_ = loss;
  if (!first_losses_.is_full()) first_losses_.add(loss);
  judge_progress(record.step);
}

void StepRules::judge_progress(std::uint64_t step) noexcept {
  RobustWindow& window = loss_.values();
  const double recent = window.median(), first = first_losses_.median();
  const bool diverged = first_losses_.is_full() && first_loss_ > 0 && recent > kDiverged * first_loss_;
  // A run that is continued begins where it was, so its first level says nothing.
  const bool is_due =
      window.is_full() && !schema_.is_continued && static_cast<double>(step) >= book_.parameter(Rule::loss_not_decreasing, 0);
  const double limit = diverged ? kDiverged * first_loss_ : first - book_.parameter(Rule::loss_not_decreasing, 1) * std::fabs(first);
  book_.judge(Rule::loss_not_decreasing, kRun, diverged || (is_due && recent > limit), recent, limit, [&](Text& text) {
    if (diverged) {
      says("the loss is ", recent, " (median of the latest ", std::uint64_t{window.size()}, " steps); in the first step it was ",
           first_loss_)(text);
    } else {
      says("the loss is ", recent, " (median of 128 steps); it began at ", first)(text);
    }
  });
  if (diverged || !window.is_full()) return;
  if (step % SpikeDetector::kWindow != 0) return;
  const bool better = !(recent > best_loss_ - book_.parameter(Rule::loss_plateau, 1) * std::fabs(best_loss_));  // also the first
  if (better) {
    best_loss_ = recent;
    best_loss_step_ = step;
  }
  const double stale = static_cast<double>(step - best_loss_step_), patience = book_.parameter(Rule::loss_plateau, 0);
  book_.judge(Rule::loss_plateau, kRun, stale >= patience, stale, patience,
              says("the loss has not fallen for ", stale, " steps: it is ", recent, ", its best ", best_loss_, " (medians of 128 steps)"));
}

// A validation shows as a value of its scalar that differs from the one before.
void StepRules::judge_validation(const double* scalars, std::size_t count, const NameTable& names) noexcept {
  for (std::size_t i = 0; !validation_found_ && i < count; ++i) {
    validation_found_ = names.at(i) == validation_scalar_;
    validation_index_ = i;
  }
  if (!validation_found_ || validation_index_ >= count) return;
  const double now = scalars[validation_index_], before = std::exchange(validation_, now);
  if (!is_finite_bits(now) || now == before) return;
  const double training = loss_.values().median();
  const double best = best_validation_;
  const bool is_first = !is_finite_bits(best);
  const double magnitude = std::fabs(best);
  const bool rises = !is_first && now > best + book_.parameter(Rule::overfit, 0) * magnitude;
  const bool has_gap = now > training + book_.parameter(Rule::overfit, 1) * std::fabs(training);
  overfit_in_row_ = rises && has_gap ? overfit_in_row_ + 1 : 0;
  book_.judge(Rule::overfit, kRun, overfit_in_row_ >= book_.parameter(Rule::overfit, 2), now, best,
              says("the validation loss is ", now, ", its best was ", best, ", and the training loss is ", training));
  const bool gains = is_first || now < best - book_.parameter(Rule::overtraining, 0) * magnitude;
  stale_in_row_ = gains ? 0 : stale_in_row_ + 1;
  book_.judge(Rule::overtraining, kRun, stale_in_row_ >= book_.parameter(Rule::overtraining, 1), stale_in_row_,
              book_.parameter(Rule::overtraining, 1), says(stale_in_row_, " validations without a better loss than ", best));
  best_validation_ = is_first ? now : std::min(best, now);
}

void StepRules::judge_times(const StepRecord& record) noexcept {
  if (!record.has(StepRecord::has_total_time)) return;
  const double seconds = 1e-9 * static_cast<double>(record.total_ns);
  const auto score = step_time_.score_and_add(seconds);
  const bool is_outlier = is_spike(book_, Rule::step_time_outlier, score) && seconds >= book_.parameter(Rule::step_time_outlier, 2);
  book_.judge(Rule::step_time_outlier, kRun, is_outlier, seconds, score.median,
              says("a step took ", seconds, " s; the median is ", score.median, " s"));

  const std::size_t slot = next_time_++ % total_ns_.size();
  const std::uint64_t data = record.has(StepRecord::has_data_time) ? record.data_ns : 0;
  data_sum_ += data - std::exchange(data_ns_[slot], data);
  total_sum_ += record.total_ns - std::exchange(total_ns_[slot], record.total_ns);
  if (!step_time_.values().is_full()) return;
  const double median = step_time_.values().median();
  best_step_time_ = std::min(best_step_time_, median);
  const double limit = book_.upper(Rule::throughput_drop, 0, book_.parameter(Rule::throughput_drop, 0)) * best_step_time_;
  book_.judge(Rule::throughput_drop, kRun, median > limit, median, limit,
              says("a step takes ", median, " s (median of 128); it has taken ", best_step_time_, " s in this run"));
  std::size_t slow = 0;
  for (std::size_t i = 0; i < total_ns_.size(); ++i) slow += data_ns_[i] > total_ns_[i] / 2;
  const double share = total_sum_ == 0 ? 0 : static_cast<double>(data_sum_) / static_cast<double>(total_sum_);
  const double most = book_.upper(Rule::input_starvation, 0, book_.parameter(Rule::input_starvation, 0));
  // One step in which a busy host ran others proves nothing of the loader.
  book_.judge(Rule::input_starvation, kRun, share > most && 10 * slow >= total_ns_.size(), share, most,
              says(100 * share, " % of the time of the latest 128 steps was spent on loading data"));
}

void StepRules::judge_memory(std::size_t subject, MemoryTrend& trend, double bytes, std::string_view whose) noexcept {
  if (!trend.add(step_, bytes)) return;
  const double growth = trend.last() - trend.first();
  const double limit = std::max(book_.parameter(Rule::memory_growth, 1), book_.parameter(Rule::memory_growth, 0) * trend.first());
  book_.judge(
      Rule::memory_growth, {subject, {}, {}, whose}, trend.grows_always() && growth > limit, growth, limit,
      says("memory of the ", whose, " grew at each of 8 readings, from ", trend.first() / 1048576, " to ", trend.last() / 1048576, " MiB"));
}

void StepRules::on_step(const StepRecord& record, const double* scalars, const NameTable& scalar_names, bool has_frame,
                        const RowSchema* nonfinite_row) {
  step_ = record.step;
  book_.set_moment(record.step, record.wall_time_ns);
  const std::size_t user_scalars = std::min<std::size_t>(record.user_scalars, scalar_names.size());
  judge_validation(scalars + schema_.learning_rates, user_scalars, scalar_names);
  if (record.has(StepRecord::again)) return;  // the rest of it was judged
  judge_nonfinite(record, has_frame, nonfinite_row);
  judge_learning_rates(scalars);
  if (record.has(StepRecord::has_gradient_norm)) judge_gradient_norm(record.gradient_norm);
  judge_loss(record);
  judge_times(record);
  // It is read when a sample is taken.
  if (record.has(StepRecord::has_device_memory) && record.totals.samples != previous_.samples)
    judge_memory(1, device_, static_cast<double>(record.device_allocated), "device");
  previous_ = record.totals;
}

void StepRules::on_host(const HostReading& reading) noexcept {
  book_.set_moment(step_, reading.now_ns);
  // An evaluation may take as long as it likes. The clock of the records would see a stall wherever somebody sets it.
  if (reading.is_evaluating || step_ != seen_step_ || progress_ns_ == 0) progress_ns_ = reading.steady_ns;
  seen_step_ = step_;
  const double usual = step_time_.values().median();
  const double idle = 1e-9 * static_cast<double>(reading.steady_ns - progress_ns_);
  // Before the usual step is known lie data that are read, compiled kernels, and other ranks.
  const double least = (step_time_.values().size() == 0 ? 4 : 1) * book_.parameter(Rule::stalled, 1);
  const double limit = std::max(least, book_.parameter(Rule::stalled, 0) * usual);
  book_.judge(Rule::stalled, kRun, reading.is_running && idle > limit, idle, limit,
              says("no step has ended for ", idle, " s since step ", step_, "; the usual step takes ", usual, " s"));
  judge_memory(0, process_, reading.anonymous_bytes, "process");
  const double free = reading.disk_free_bytes;
  if (!is_finite_bits(free)) return;
  // A disk that fires is quiet again only when it has clearly more room.
  const double room = book_.is_firing(static_cast<std::size_t>(Rule::disk_full), 0) ? 1.2 : 1.0;
  const double least_free = room * book_.parameter(Rule::disk_full, 0);
  book_.judge(Rule::disk_full, kRun, free < least_free, free, least_free,
              says("only ", free / 1048576, " MiB are free where the checkpoints lie"));
}

}  // namespace vigil
