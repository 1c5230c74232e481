#include "vigil/monitor/rules/tensor_rules.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "vigil/monitor/dtype.h"
#include "vigil/monitor/rules/says.h"
#include "vigil/monitor/rules/step_rules.h"

namespace vigil {
namespace {

bool is_nonfinite(const Moments& moments) noexcept { return moments.nan_count + moments.inf_count > 0; }

// What is infinite in a buffer from the start, such as a mask, is meant.
bool is_broken(const RowSchema& row, const Moments& moments) noexcept { return moments.nan_count > 0 || moments.inf_count > row.infinite; }

// At least two dimensions of more than one element each: "[64, 1, 1]" is the scale of a layer.
bool is_matrix(const RowSchema& row) {
  std::size_t dimensions = 0;
  for (std::size_t at = row.shape.find_first_of("0123456789"); at != std::string::npos; at = row.shape.find_first_of("0123456789", at)) {
    const std::size_t end = row.shape.find_first_not_of("0123456789", at);
    dimensions += row.shape.substr(at, end - at) != "1";
    at = end;
  }
  return dimensions >= 2;
}

double share_of_zeros(const Moments& moments) noexcept {
  return moments.count == 0 ? 0 : static_cast<double>(moments.zero_count) / static_cast<double>(moments.count);
}

// Of the elements that are finite and not 0: of an embedding most rows have no gradient in a step. NaN without one.
double mean_magnitude(const Moments& moments) noexcept {
  const std::uint64_t count = finite_count(moments) - moments.zero_count;
  return count == 0 ? TensorRow::kNotMeasured : moments.l1 / static_cast<double>(count);
}

double largest_magnitude(const Moments& moments) noexcept { return std::max(std::fabs(moments.min), std::fabs(moments.max)); }

// Not one element has changed in a way that its moments show: sums over thousands of elements agree to the last bit.
bool is_same(const Moments& a, const Moments& b) noexcept {
  return a.sum_squares == b.sum_squares && a.l1 == b.l1 && a.mean == b.mean && a.m2 == b.m2 && a.min == b.min && a.max == b.max;
}

double largest_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::float16: return 65504;
    case DType::bfloat16: return 3.3895313892515355e38;
    case DType::float32:
    case DType::float64: break;
  }
  return std::numeric_limits<double>::infinity();
}

std::string_view name_of(DType dtype) noexcept { return kDTypeNames[static_cast<std::size_t>(dtype)]; }

}  // namespace

TensorRules::TensorRules(const Schema& schema, AlertBook& book)
    : schema_(schema),
      book_(book),
      is_continued_(schema.is_continued),
      dead_in_row_(schema.activations),
      saturated_in_row_(schema.activations) {
  std::map<std::string_view, std::size_t> gradients, main;  // rows by name; and by layer the largest parameter
  for (std::size_t i = 0; i < schema.rows.size(); ++i) {
    if (schema.rows[i].kind == TensorKind::gradient) gradients.emplace(schema.rows[i].name, i);
  }
  for (std::size_t i = 0; i < schema.rows.size(); ++i) {
    const RowSchema& row = schema.rows[i];
    if (row.kind != TensorKind::parameter) continue;
    const auto [largest, is_new] = main.emplace(row.layer, i);
    if (!is_new && row.element_count > schema.rows[largest->second].element_count) largest->second = i;
  }
  for (std::size_t i = 0; i < schema.rows.size(); ++i) {
    const RowSchema& row = schema.rows[i];
    if (row.kind != TensorKind::parameter) continue;
    Parameter parameter;
    parameter.row = i;
    if (const auto gradient = gradients.find(row.name); gradient != gradients.end()) parameter.gradient_row = gradient->second;
    parameter.is_main = main.at(row.layer) == i;
    parameter.is_matrix = is_matrix(row);
    if (parameter.is_matrix) layers_with_matrix_.push_back(row.layer);
    parameters_.push_back(parameter);
  }
  std::sort(layers_with_matrix_.begin(), layers_with_matrix_.end());
  std::int32_t parts = 1;
  for (const RowSchema& row : schema.rows) parts = std::max(parts, row.part + 1);
  has_gradient_.resize(static_cast<std::size_t>(parts));
}

// A parameter and its gradient have one name.
AlertSubject TensorRules::subject_of(std::size_t row) const noexcept {
  const RowSchema& schema = schema_.rows[row];
  return {row, schema.name, schema.layer, schema.kind == TensorKind::gradient ? std::string_view("gradient") : std::string_view()};
}

void TensorRules::judge_format(std::size_t row, const Moments& moments) noexcept {
  const RowSchema& schema = schema_.rows[row];
  const double largest = largest_of(schema.dtype);
  if (!is_finite_bits(largest)) return;
  const double seen = largest_magnitude(moments), limit = book_.parameter(Rule::number_format_overflow, 0) * largest;
  book_.judge(Rule::number_format_overflow, subject_of(row), seen > limit, seen, limit,
              says("an element of ", schema.kind == TensorKind::gradient ? std::string_view("the gradient of ") : std::string_view(),
                   std::string_view(schema.name), " is ", seen, "; ", name_of(schema.dtype), " ends at ", largest));
}

void TensorRules::judge_update(const Parameter& parameter, const TensorRow& row, bool learns) noexcept {
  if (is_nan_bits(row.update_norm) || (parameter.began_near_zero && frame_step_ < kStepsFromZero)) return;
  const double norm = l2_norm(row.moments);
  if (!(norm > 0)) return;
  const AlertSubject subject = subject_of(parameter.row);
  const double ratio = row.update_norm / norm,
               most = book_.upper(Rule::update_ratio, subject.index, book_.parameter(Rule::update_ratio, 0));
  const bool is_small = learns && ratio > 0 && ratio < book_.parameter(Rule::update_ratio, 1);
  book_.judge(Rule::update_ratio, subject, ratio > most || is_small, ratio, is_small ? book_.parameter(Rule::update_ratio, 1) : most,
              says("one step changes ", subject.parameter, " by ", ratio, " of its norm"));
}

void TensorRules::judge_initialisation(const Parameter& parameter, const Frame& frame) noexcept {
  const Moments& moments = frame.rows[parameter.row].moments;
  const bool is_zero = moments.min == 0 && moments.max == 0;
  bool is_poor = parameter.is_matrix && moments.min == moments.max && samples_ == (is_zero ? kSamplesOfZero : 1);
  if (is_poor && is_zero && parameter.gradient_row != kNone) {
    // A matrix that begins at zero on purpose (the last of a residual branch, a low-rank adapter) has a gradient; at the latest when
    // another zero behind it has moved.
    const TensorRow& gradient = frame.rows[parameter.gradient_row];
    is_poor = gradient.state == TensorRow::present && share_of_zeros(gradient.moments) >= 1;
  }
  const AlertSubject subject = subject_of(parameter.row);
  book_.judge(Rule::poor_initialisation, subject, is_poor && !is_continued_, moments.min, 0,
              says("every element of ", subject.parameter, " begins as ", moments.min, ": its units stay alike"));
}

void TensorRules::judge_parameter(Parameter& parameter, const Frame& frame, bool learns, bool skipped) noexcept {
  const TensorRow& row = frame.rows[parameter.row];
  if (row.state != TensorRow::present || !parameter.is_main || row.moments.count == 0 || is_nonfinite(row.moments)) return;
  const Moments& moments = row.moments;
  const AlertSubject subject = subject_of(parameter.row);
  const double norm = l2_norm(moments), zeros = share_of_zeros(moments), deviation = standard_deviation(moments);

  const double most_zeros = book_.parameter(Rule::zero_tensor, 0);
  book_.judge(Rule::zero_tensor, subject, zeros >= most_zeros, zeros, most_zeros,
              says(100 * zeros, " % of ", subject.parameter, " is zero"));

  const double variance = deviation * deviation,
               most = book_.upper(Rule::tensor_variance, subject.index, book_.parameter(Rule::tensor_variance, 0)),
               least = book_.parameter(Rule::tensor_variance, 1);
  book_.judge(Rule::tensor_variance, subject, variance > most || variance < least, variance, variance < least ? least : most,
              says("the variance of ", subject.parameter, " is ", variance));

  if (samples_ == 1) parameter.began_near_zero = norm < kNearZero * std::sqrt(static_cast<double>(moments.count));
  if (parameter.first_norm == 0) parameter.first_norm = norm;
  if (parameter.first_norm > 0 && norm > 0 && !parameter.began_near_zero) {
    const double grown = norm / parameter.first_norm, drift = std::max(grown, 1 / grown),
                 limit = book_.upper(Rule::norm_drift, subject.index, book_.parameter(Rule::norm_drift, 0));
    book_.judge(Rule::norm_drift, subject, drift > limit, drift, limit,
                says("the norm of ", subject.parameter, " is ", norm, "; in the first sample it was ", parameter.first_norm));
  }

  const bool has_gradient = parameter.gradient_row != kNone && frame.rows[parameter.gradient_row].state == TensorRow::present &&
                            share_of_zeros(frame.rows[parameter.gradient_row].moments) < 1;
  const bool is_kept = samples_ > 1 && is_same(moments, parameter.previous);
  // Skipped steps and a learning rate of 0 change nothing, and are told by others.
  parameter.same_in_row = is_kept && has_gradient && learns && !skipped ? parameter.same_in_row + 1 : 0;
  parameter.previous = moments;
  const double samples = static_cast<double>(parameter.same_in_row + 1), limit = book_.parameter(Rule::unchanged_tensor, 0);
  book_.judge(Rule::unchanged_tensor, subject, samples >= limit, samples, limit,
              says(subject.parameter, " is the same in ", samples, " samples, though it has a gradient"));

  judge_update(parameter, row, learns);
}

void TensorRules::judge_gradient(Parameter& parameter, const Frame& frame) noexcept {
  if (parameter.gradient_row == kNone) return;
  const TensorRow& row = frame.rows[parameter.gradient_row];
  const AlertSubject subject = subject_of(parameter.row);
  // A model that had no turn in this step has none at all.
  if (has_gradient_[static_cast<std::size_t>(schema_.rows[parameter.row].part)] != 0) {
    parameter.absent_in_row = row.state == TensorRow::absent ? parameter.absent_in_row + 1 : 0;
    const double absent = static_cast<double>(parameter.absent_in_row), limit = book_.parameter(Rule::frozen_parameter, 0);
    book_.judge(Rule::frozen_parameter, subject, absent >= limit, absent, limit,
                says(subject.parameter, " has had no gradient in ", absent, " samples, though it is to be trained"));
  }
  if (row.state != TensorRow::present || !parameter.is_main) return;
  const std::uint64_t finite = finite_count(row.moments);
  if (finite == 0) return;
  const double zeros = share_of_zeros(row.moments), most_zeros = book_.parameter(Rule::zero_gradient, 0);
  book_.judge(Rule::zero_gradient, subject, zeros >= most_zeros, zeros, most_zeros,
              says(100 * zeros, " % of the gradient of ", subject.parameter, " is zero"));
  const double mean = mean_magnitude(row.moments), least = book_.parameter(Rule::vanishing_gradient, 0);
  // Gradients of all layers shrink together when a run has learned what it will: that is no fault.
  const bool is_behind = mean < book_.parameter(Rule::vanishing_gradient, 1) * largest_gradient_;
  book_.judge(
      Rule::vanishing_gradient, subject, mean < least && is_behind, mean, least,
      says("the mean magnitude of the gradient of ", subject.parameter, " is ", mean, "; the largest of a layer is ", largest_gradient_));
}

void TensorRules::judge_activations(const Frame& frame) noexcept {
  double smallest = std::numeric_limits<double>::infinity(), largest = 0;
  std::string_view smallest_layer, largest_layer;
  bool is_new = false, any_bad = false;
  for (std::size_t i = 0; i < frame.activations.size() && i < frame.layers.size(); ++i) {
    const ActivationRow& row = frame.activations[i];
    if (row.step != frame.header.step || row.step == 0) continue;
    is_new = true;
    const std::string_view layer = frame.layers[i].layer;
    const AlertSubject subject{i, {}, layer, phase_subject(frame.layers[i].phase)};
    const bool owns_parameters = layer.find('/') == std::string_view::npos;  // no operator that follows a module's own
    const auto count = [&](std::vector<std::uint64_t>& in_row, Rule rule, double share, std::string_view what) {
      if (is_nan_bits(share)) return;
      const double limit = book_.upper(rule, i, book_.parameter(rule, 0));
      in_row[i] = share > limit ? in_row[i] + 1 : 0;
      book_.judge(rule, subject, static_cast<double>(in_row[i]) >= book_.parameter(rule, 1), share, limit, says(100 * share, what, layer));
    };
    count(dead_in_row_, Rule::dead_units, row.dead_ratio, " % of the units are 0 for all of the batch in ");
    count(saturated_in_row_, Rule::saturated_activation, row.saturated_ratio, " % of the inputs are saturated in ");
    // Masks of -Inf in front of a softmax are not faults.
    const std::uint64_t bad = row.moments.nan_count + (owns_parameters ? row.moments.inf_count : 0);
    const bool is_first_bad = bad > 0 && !any_bad;  // those behind it follow from it
    any_bad |= bad > 0;
    book_.judge(Rule::nonfinite_activation, subject, is_first_bad, static_cast<double>(bad), 0,
                says("the output of ", layer, " holds ", row.moments.nan_count, " NaN and ", row.moments.inf_count, " infinite values"));
    const double deviation = standard_deviation(row.moments);
    if (outputs_judged_ || !owns_parameters || is_nonfinite(row.moments) || row.moments.count < 2 || !(deviation > 0)) continue;
    if (!std::binary_search(layers_with_matrix_.begin(), layers_with_matrix_.end(), layer)) continue;
    if (deviation < smallest) std::tie(smallest, smallest_layer) = std::pair(deviation, layer);
    if (deviation > largest) std::tie(largest, largest_layer) = std::pair(deviation, layer);
  }
  const bool is_first = is_new && !outputs_judged_;
  outputs_judged_ |= is_new;
  const double ratio = largest > 0 ? largest / smallest : 1, limit = book_.parameter(Rule::poor_initialisation, 0);
  book_.judge(Rule::poor_initialisation, {schema_.rows.size(), {}, smallest_layer},
              is_first && frame.header.step == 1 && !is_continued_ && ratio > limit, ratio, limit,
              says("the standard deviation of the output is ", smallest, " in ", smallest_layer, " and ", largest, " in ", largest_layer));
}

void TensorRules::on_frame(const Frame& frame, const StepRules& steps) noexcept {
  frame_step_ = frame.header.step;
  book_.set_moment(frame.header.step, frame.header.wall_time_ns);
  ++samples_;
  const bool skipped = std::exchange(skipped_steps_, steps.skipped_steps()) != steps.skipped_steps();
  nonfinite_row_ = nullptr;
  std::fill(has_gradient_.begin(), has_gradient_.end(), static_cast<unsigned char>(0));
  double squares = 0;
  bool has_update = false;
  for (std::size_t i = 0; i < schema_.rows.size(); ++i) {
    const TensorRow& row = frame.rows[i];
    if (row.state != TensorRow::present) continue;
    const RowSchema& schema = schema_.rows[i];
    if (schema.kind == TensorKind::gradient) {
      has_gradient_[static_cast<std::size_t>(schema.part)] = 1;
    } else if (nonfinite_row_ == nullptr && is_broken(schema, row.moments)) {
      nonfinite_row_ = &schema;
    }
    if (schema.kind != TensorKind::buffer) judge_format(i, row.moments);
    if (schema.has_update && !is_nan_bits(row.update_norm)) {
      squares += row.update_norm * row.update_norm;
      has_update = true;
    }
  }
  largest_gradient_ = 0;
  for (const Parameter& parameter : parameters_) {
    if (!parameter.is_main || parameter.gradient_row == kNone || frame.rows[parameter.gradient_row].state != TensorRow::present) continue;
    const double mean = mean_magnitude(frame.rows[parameter.gradient_row].moments);
    if (mean > largest_gradient_) largest_gradient_ = mean;
  }
  for (Parameter& parameter : parameters_) {
    if (book_.is_enabled(Rule::poor_initialisation) && frame.rows[parameter.row].state == TensorRow::present)
      judge_initialisation(parameter, frame);
    judge_parameter(parameter, frame, steps.learns(schema_.rows[parameter.row].learning_rate), skipped);
    judge_gradient(parameter, frame);
  }
  if (has_update) {
    const double norm = std::sqrt(squares);
    const auto score = update_.score_and_add(norm);
    book_.judge(Rule::update_spike, {}, is_spike(book_, Rule::update_spike, score), norm, score.median,
                says("the norm of all updates spiked to ", norm, ": ", score.z, " deviations above its median ", score.median));
  }
  const bool any_gradient = std::any_of(has_gradient_.begin(), has_gradient_.end(), [](unsigned char has) { return has != 0; });
  const bool any_wanted = std::any_of(parameters_.begin(), parameters_.end(), [&](const Parameter& parameter) {
    return parameter.gradient_row != kNone && frame.rows[parameter.gradient_row].state == TensorRow::absent;
  });
  without_in_row_ = any_wanted && !any_gradient ? without_in_row_ + 1 : 0;
  const double without = static_cast<double>(without_in_row_), most = book_.parameter(Rule::frozen_parameter, 0);
  book_.judge(Rule::frozen_parameter, {schema_.rows.size(), {}, {}}, without >= most, without, most,
              says("no parameter has had a gradient in ", without, " samples"));
  judge_activations(frame);
}

}  // namespace vigil
