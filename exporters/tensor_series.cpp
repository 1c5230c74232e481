#include "vigil/exporters/tensor_series.h"

#include <algorithm>
#include <utility>

#include "vigil/exporters/text_writer.h"
#include "vigil/monitor/update_ratio.h"

namespace vigil {
namespace {

SeriesLabel make_series_label(std::string_view name, std::string value) {
  SeriesLabel made;
  value = valid_utf8(value);
  made.text = "," + std::string(name) + "=\"";
  append_escaped_label_value(made.text, value);
  made.text += "\"} ";
  made.label = {std::string(name), std::move(value)};
  return made;
}

std::string bound_text(double bound) {
  std::string text;
  append_bound(text, bound, TextFormat::prometheus);
  return text;
}

}  // namespace

SeenTensors::SeenTensors(const Snapshot& snapshot, const SeriesPlan& plan) {
  if (!snapshot.has_frame) return;
  const std::vector<TensorRow>& rows = snapshot.rows;
  const auto is_seen = [&rows](std::size_t row) { return row < rows.size() && rows[row].state == TensorRow::present; };
  seen_.reserve(plan.entries().size());
  for (const SeriesPlan::Entry& entry : plan.entries()) {
    SeenTensor seen;
    seen.entry = &entry;
    if (!entry.is_folded && is_seen(entry.rows.front())) {
      const TensorRow& row = rows[entry.rows.front()];
      seen.moments_of_tensor = &row.moments;
      const RowSchema& schema = snapshot.schema->rows[entry.rows.front()];
      if (entry.has_update) {
        seen.update_ratio = update_ratio(schema, row);
        seen.update_norm = norm_of_change(row, row.update_norm);
      }
      if (entry.has_distance) seen.distance = norm_of_change(row, row.distance);
      if (entry.has_cosine && !is_nan_bits(row.cosine)) seen.cosine = row.cosine;
      for (std::size_t i = 0; i < entry.moments; ++i) {
        if (row.has_state(i)) seen.moments[i] = {moment_label(schema.optimizer_state[i]), row.state_norms[i]};
      }
      // Without a finite element there is nothing that a format could keep or lose.
      const auto precision = static_cast<std::size_t>(entry.precision);  // kNone is beyond every list
      if (precision < snapshot.histograms.size() && finite_count(row.moments) > 0)
        seen.losses = &losses_.emplace_back(
            losses_in(snapshot.histograms[precision], row.moments, kDTypeNames[static_cast<std::size_t>(schema.dtype)]));
      const auto histogram = static_cast<std::size_t>(entry.histogram);
      if (histogram < snapshot.histograms.size()) seen.histogram = &snapshot.histograms[histogram];
    } else if (entry.is_folded) {
      for (const std::size_t row : entry.rows) {
        if (!is_seen(row)) continue;
        if (seen.moments_of_tensor == nullptr) {
          seen.moments_of_tensor = &folded_.emplace_back(rows[row].moments);
        } else {
          merge(folded_.back(), rows[row].moments);
        }
      }
    }
    if (seen.moments_of_tensor == nullptr) continue;
    series_ += kStatistics.size();
    for (std::size_t metric = 0; metric < kTensorMetrics.size(); ++metric) series_ += series_of(static_cast<TensorMetric>(metric), seen);
    seen_.push_back(seen);
    ++begin_[static_cast<std::size_t>(entry.kind) + 1];
  }
  // Counts by kind become where each kind begins; the plan is sorted by kind.
  for (std::size_t kind = 1; kind < begin_.size(); ++kind) begin_[kind] += begin_[kind - 1];
}

const SeriesLabel* SeenTensors::moment_label(const std::string& moment) {
  const auto [known, is_new] = moment_labels_.try_emplace(moment);
  if (is_new) known->second = make_series_label(metric_row(TensorMetric::optimizer_moment).label, moment);
  return &known->second;
}

std::size_t series_of(TensorMetric metric, const SeenTensor& tensor) noexcept {
  const auto one = [](const std::optional<double>& value) { return value ? std::size_t{1} : 0; };
  switch (metric) {
    case TensorMetric::update_ratio: return one(tensor.update_ratio);
    case TensorMetric::update_norm: return one(tensor.update_norm);
    case TensorMetric::distance: return one(tensor.distance);
    case TensorMetric::cosine: return one(tensor.cosine);
    case TensorMetric::optimizer_moment:
      return static_cast<std::size_t>(
          std::count_if(tensor.moments.begin(), tensor.moments.end(), [](const auto& moment) { return moment.has_value(); }));
    case TensorMetric::format_overflow:
    case TensorMetric::format_underflow:
    case TensorMetric::format_subnormal: {
      std::size_t series = 0;
      for (std::size_t i = 0; i < kNumberFormats.size() && tensor.losses != nullptr; ++i)
        series += one(share_of(metric, kNumberFormats[i], (*tensor.losses)[i]));
      return series;
    }
    case TensorMetric::magnitude_bucket:
    case TensorMetric::magnitude: return tensor.histogram == nullptr ? 0 : metric_row(metric).series;
    case TensorMetric::count: break;
  }
  return 0;
}

// In what follows: never destroyed, since a scrape may come while the program's statics are.

const std::vector<TensorFamily>& tensor_families() {
  static const auto& families = *[] {
    auto* made = new std::vector<TensorFamily>;
    for (std::size_t kind = 0; kind < kTensorKindNames.size(); ++kind) {
      std::string title(kTensorKindNames[kind]);
      title[0] = static_cast<char>(title[0] - 'a' + 'A');
      const auto add = [&](std::string_view name, std::string_view help, MetricType type) -> TensorFamily& {
        TensorFamily& family = made->emplace_back();
        family.name = "vigil_" + std::string(kTensorKindNames[kind]) + "_" + std::string(name);
        family.help = title + ": " + std::string(help) + ".";
        family.type = type;
        family.kind = static_cast<TensorKind>(kind);
        return family;
      };
      for (const Statistic& statistic : kStatistics) add(statistic.name, statistic.help, MetricType::gauge).statistic = &statistic;
      for (std::size_t i = 0; i < kTensorMetrics.size(); ++i) {
        const TensorMetricRow& row = kTensorMetrics[i];
        if (!is_of(row, static_cast<TensorKind>(kind))) continue;
        TensorFamily& family = add(row.name, row.help, row.type);
        family.metric = static_cast<TensorMetric>(i);
        if (row.has_whole_name) family.name = "vigil_" + std::string(row.name);
      }
    }
    return made;
  }();
  return families;
}

const std::vector<SeriesLabel>& magnitude_bound_labels() {
  static const auto& labels = *[] {
    auto* made = new std::vector<SeriesLabel>;
    const std::string_view name = metric_row(TensorMetric::magnitude_bucket).label;
    made->push_back(make_series_label(name, bound_text(0)));
    for (std::size_t i = 0; i <= MagnitudeHistogram::kBuckets; ++i)
      made->push_back(make_series_label(name, bound_text(magnitude_bound(i))));
    made->push_back(make_series_label(name, "+Inf"));
    return made;
  }();
  return labels;
}

const std::vector<SeriesLabel>& magnitude_quantile_labels() {
  static const auto& labels = *[] {
    auto* made = new std::vector<SeriesLabel>;
    const std::string_view name = metric_row(TensorMetric::magnitude).label;
    for (const double q : kMagnitudeQuantiles) made->push_back(make_series_label(name, bound_text(q)));
    return made;
  }();
  return labels;
}

const std::vector<SeriesLabel>& number_format_labels() {
  static const auto& labels = *[] {
    auto* made = new std::vector<SeriesLabel>;
    const std::string_view name = metric_row(TensorMetric::format_overflow).label;
    for (const NumberFormat& format : kNumberFormats) made->push_back(make_series_label(name, std::string(format.name)));
    return made;
  }();
  return labels;
}

}  // namespace vigil
