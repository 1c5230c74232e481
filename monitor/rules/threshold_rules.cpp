#include "vigil/monitor/rules/threshold_rules.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "vigil/monitor/dtype.h"
#include "vigil/monitor/rules/says.h"
#include "vigil/monitor/update_ratio.h"

namespace vigil {
namespace {

std::string label_of(const ThresholdSetup& setup, std::string_view name) {
  for (const auto& [label, value] : setup.labels) {
    if (label == name) return value;
  }
  return {};
}

bool matches(const ThresholdSetup& setup, std::string_view label, std::string_view value) noexcept {
  return std::all_of(setup.labels.begin(), setup.labels.end(),
                     [&](const auto& wanted) { return wanted.first != label || wanted.second == value; });
}

// What labels a figure's series have.
std::vector<std::string_view> labels_of(const Figure& figure) {
  switch (figure.kind) {
    case Figure::Kind::step:
      return figure.step->label.empty() ? std::vector<std::string_view>{} : std::vector<std::string_view>{figure.step->label};
    case Figure::Kind::learning_rate: return {"group"};
    case Figure::Kind::user_scalar: return {"name"};
    case Figure::Kind::flops_utilization:
    case Figure::Kind::update_ratio: return {};
    case Figure::Kind::statistic:
    case Figure::Kind::tensor_metric: return {"parameter", "layer"};
    case Figure::Kind::optimizer_moment: return {"parameter", "layer", "moment"};
    case Figure::Kind::activation_statistic:
    case Figure::Kind::activation_metric: return {"layer", "phase"};
  }
  return {};
}

void check_labels(const ThresholdSetup& setup, const Figure& figure) {
  const std::vector<std::string_view> known = labels_of(figure);
  for (const auto& [label, value] : setup.labels) {
    if (std::find(known.begin(), known.end(), label) != known.end()) continue;
    std::string text = "expected ";
    for (const std::string_view name : known) text += (name == known.front() ? "" : " or ") + std::string(name);
    throw std::invalid_argument((known.empty() ? "expected no label" : text) + " of " + setup.metric + ", got '" + label + "'");
  }
  if (figure.kind == Figure::Kind::user_scalar && label_of(setup, "name").empty()) {
    throw std::invalid_argument("expected the name of the scalar, as in vigil_user_scalar{name=\"validation/loss\"}");
  }
}

// `label="value"`.
RingText<168> series_subject(std::string_view label, std::string_view value) noexcept {
  RingText<168> text;
  text.append(label);
  text.append("=\"");
  text.append(value);
  text.append("\"");
  return text;
}

// Whether a NaN of this metric is the record's own.
bool has_figure(const StepRecord& record, Metric metric) noexcept {
  switch (metric) {
    case Metric::loss: return record.has(StepRecord::has_loss);
    case Metric::gradient_norm: return record.has(StepRecord::has_gradient_norm);
    case Metric::parameter_norm: return record.has(StepRecord::has_parameter_norm);
    default: return false;
  }
}

}  // namespace

bool holds(Comparison comparison, double value, double limit) noexcept {
  switch (comparison) {
    case Comparison::above: return value > limit;
    case Comparison::at_least: return value >= limit;
    case Comparison::below: return value < limit;
    case Comparison::at_most: return value <= limit;
    case Comparison::equal: return value == limit;
    case Comparison::unequal: return !(value == limit);
  }
  return false;
}

ThresholdRules::ThresholdRules(const Schema& schema, const std::vector<ThresholdSetup>& setups) : schema_(schema) {
  for (const ThresholdSetup& setup : setups) {
    const auto figure = find_figure(setup.metric);
    if (!figure) {
      throw std::invalid_argument("expected a metric of a step, a tensor or an activation (docs/metrics.md), got '" + setup.metric +
                                  "', which no record holds; there are " + known_figures());
    }
    check_labels(setup, *figure);
    Threshold threshold{setup, *figure, {}, {}, 1};
    if (figure->kind == Figure::Kind::statistic || figure->kind == Figure::Kind::tensor_metric) {
      for (std::size_t i = 0; i < schema.rows.size(); ++i) {
        const RowSchema& row = schema.rows[i];
        if (row.kind == figure->tensor && matches(setup, "parameter", row.name) && matches(setup, "layer", row.layer))
          threshold.rows.push_back(i);
      }
      threshold.subjects = threshold.rows.size();
    } else if (figure->kind == Figure::Kind::optimizer_moment) {
      for (std::size_t i = 0; i < schema.rows.size(); ++i) {
        const RowSchema& row = schema.rows[i];
        for (std::size_t moment = 0; moment < row.optimizer_state.size(); ++moment) {
          if (!matches(setup, "parameter", row.name) || !matches(setup, "layer", row.layer) ||
              !matches(setup, "moment", row.optimizer_state[moment]))
            continue;
          threshold.rows.push_back(i);
          threshold.moments.push_back(moment);
        }
      }
      threshold.subjects = threshold.rows.size();
    } else if (figure->kind == Figure::Kind::activation_statistic || figure->kind == Figure::Kind::activation_metric) {
      threshold.subjects = schema.activations;
    } else if (figure->kind == Figure::Kind::learning_rate) {
      threshold.subjects = schema.learning_rates;
    } else if (figure->kind == Figure::Kind::step) {
      threshold.subjects = figure->step->series;
    }
    thresholds_.push_back(std::move(threshold));
  }
}

std::vector<std::size_t> ThresholdRules::subjects() const {
  std::vector<std::size_t> counts;
  for (const Threshold& threshold : thresholds_) counts.push_back(threshold.subjects);
  return counts;
}

void ThresholdRules::judge(AlertBook& book, std::size_t index, const AlertSubject& subject, double value) noexcept {
  thresholds_[index].has_matched = true;
  const ThresholdSetup& setup = thresholds_[index].setup;
  book.judge(kRuleCount + index, subject, holds(setup.comparison, value, setup.limit), value, setup.limit,
             says(std::string_view(setup.metric), " is ", value, ", the rule is ",
                  kComparisonNames[static_cast<std::size_t>(setup.comparison)], " ", setup.limit));
}

void ThresholdRules::on_step(AlertBook& book, const StepRecord& record, const double* scalars, const NameTable& scalar_names) noexcept {
  const bool again = record.has(StepRecord::again);  // only the user's scalars are new in it
  steps_ += again ? 0 : 1;
  if (!again && record.has(StepRecord::has_total_time)) step_times_.add(record.total_ns);
  for (std::size_t i = 0; i < thresholds_.size(); ++i) {
    const Threshold& threshold = thresholds_[i];
    const ThresholdSetup& setup = threshold.setup;
    if (threshold.figure.kind == Figure::Kind::step && !again) {
      const StepFigure& figure = *threshold.figure.step;
      for (std::size_t series = 0; series < figure.series; ++series) {
        if (figure.series_name != nullptr && !matches(setup, figure.label, figure.series_name(series))) continue;
        const double value = figure.value(record, series);
        // NaN may be what the rule asks for (vigil_loss != vigil_loss is not to be had, but `!= 0` is), or that there is no such figure.
        if (!is_nan_bits(value) || has_figure(record, figure.metric)) {
          const RingText<168> subject =
              figure.series_name == nullptr ? RingText<168>() : series_subject(figure.label, figure.series_name(series));
          judge(book, i, {series, {}, {}, subject.view()}, value);
        }
      }
    } else if (threshold.figure.kind == Figure::Kind::learning_rate && !again) {
      for (std::size_t group = 0; group < threshold.subjects; ++group) {
        const bool named = group < schema_.groups.size();
        char digits[20];
        const std::size_t size = named ? 0 : static_cast<std::size_t>(std::snprintf(digits, sizeof digits, "%zu", group));
        const std::string_view name = named ? std::string_view(schema_.groups[group]) : std::string_view(digits, size);
        if (matches(setup, "group", name)) judge(book, i, {group, {}, {}, series_subject("group", name).view()}, scalars[group]);
      }
    } else if (threshold.figure.kind == Figure::Kind::flops_utilization && !again) {
      const double value = flops_utilization(record.multiply_accumulates, step_times_.mean_seconds(), schema_.peak_flops);
      if (!is_nan_bits(value)) judge(book, i, {}, value);
    } else if (threshold.figure.kind == Figure::Kind::user_scalar) {
      const std::size_t count = std::min<std::size_t>(record.user_scalars, scalar_names.size());
      for (std::size_t scalar = 0; scalar < count; ++scalar) {
        if (!matches(setup, "name", scalar_names.at(scalar))) continue;
        judge(book, i, {0, {}, {}, series_subject("name", scalar_names.at(scalar)).view()}, scalars[schema_.learning_rates + scalar]);
      }
    }
  }
}

std::vector<std::size_t> ThresholdRules::take_unmatched() {
  std::vector<std::size_t> unmatched;
  for (std::size_t i = 0; i < thresholds_.size(); ++i) {
    Threshold& threshold = thresholds_[i];
    const Figure::Kind kind = threshold.figure.kind;
    const bool is_of_tensors =
        kind == Figure::Kind::statistic || kind == Figure::Kind::tensor_metric || kind == Figure::Kind::optimizer_moment;
    const bool is_due = is_of_tensors && threshold.rows.empty() ? frames_ > 0 : steps_ >= kSteps;
    if (threshold.has_matched || threshold.is_told || !is_due) continue;
    threshold.is_told = true;
    unmatched.push_back(i);
  }
  return unmatched;
}

void ThresholdRules::judge_rows(AlertBook& book, std::size_t i, const Frame& frame) noexcept {
  const Threshold& threshold = thresholds_[i];
  const Figure& figure = threshold.figure;
  for (std::size_t subject = 0; subject < threshold.rows.size(); ++subject) {
    const std::size_t index = threshold.rows[subject];
    const RowSchema& schema = schema_.rows[index];
    const TensorRow& row = frame.rows[index];
    if (row.state != TensorRow::present) continue;
    if (figure.kind == Figure::Kind::optimizer_moment) {
      const std::size_t moment = threshold.moments[subject];
      const RingText<168> name = series_subject(metric_row(TensorMetric::optimizer_moment).label, schema.optimizer_state[moment]);
      if (row.has_state(moment)) judge(book, i, {subject, schema.name, schema.layer, name.view()}, row.state_norms[moment]);
      continue;
    }
    const double value = figure.kind == Figure::Kind::statistic ? figure.statistic->value(row.moments) : value_of(figure.metric, row);
    if (figure.kind == Figure::Kind::tensor_metric && is_nan_bits(value)) continue;  // not measured
    judge(book, i, {subject, schema.name, schema.layer}, value);
  }
}

void ThresholdRules::on_frame(AlertBook& book, const Frame& frame) noexcept {
  ++frames_;
  for (std::size_t i = 0; i < thresholds_.size(); ++i) {
    const Threshold& threshold = thresholds_[i];
    const Figure& figure = threshold.figure;
    judge_rows(book, i, frame);
    if (figure.kind == Figure::Kind::update_ratio) {
      if (const auto ratio = update_ratio(schema_.rows, frame.rows)) judge(book, i, {}, *ratio);
    }
    if (figure.kind != Figure::Kind::activation_statistic && figure.kind != Figure::Kind::activation_metric) continue;
    for (std::size_t subject = 0; subject < frame.activations.size() && subject < frame.layers.size(); ++subject) {
      const ActivationRow& row = frame.activations[subject];
      const LayerLabel& label = frame.layers[subject];
      if (row.step == 0 || row.step != frame.header.step || !matches(threshold.setup, "layer", label.layer) ||
          !matches(threshold.setup, "phase", label.phase))
        continue;
      const double value =
          figure.kind == Figure::Kind::activation_metric ? row.*figure.activation->value : figure.statistic->value(row.moments);
      if (figure.kind == Figure::Kind::activation_metric && is_nan_bits(value)) continue;
      judge(book, i, {subject, {}, label.layer, phase_subject(label.phase)}, value);
    }
  }
}

}  // namespace vigil
