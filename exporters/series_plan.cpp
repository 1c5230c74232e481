#include "vigil/exporters/series_plan.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "vigil/monitor/metric_table.h"
#include "vigil/monitor/statistics.h"

namespace vigil {
namespace {

using LayerKey = std::pair<TensorKind, std::string>;

LayerKey layer_key(const RowSchema& row) { return {row.kind, row.layer}; }

Labels tensor_labels(const RunIdentity& identity, std::string parameter, std::string layer) {
  return make_labels(
      {{"run", identity.run}, {"rank", std::to_string(identity.rank)}, {"parameter", std::move(parameter)}, {"layer", std::move(layer)}});
}

SeriesPlan::Entry make_entry(TensorKind kind, Labels labels, std::vector<std::size_t> rows = {}) {
  SeriesPlan::Entry entry;
  entry.kind = kind;
  entry.is_folded = rows.empty();
  entry.rows = std::move(rows);
  entry.labels = std::move(labels);
  return entry;
}

// Rows by what they are worth: the order in which they are kept.
std::vector<std::size_t> by_size(const Schema& schema) {
  std::vector<std::size_t> order(schema.rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&schema](std::size_t left, std::size_t right) {
    const RowSchema &a = schema.rows[left], &b = schema.rows[right];
    return std::tie(b.element_count, a.name, a.kind, left) < std::tie(a.element_count, b.name, b.kind, right);
  });
  return order;
}

// How many of `order` can stay by themselves when the others need one entry per layer and kind. Keeping one more tensor takes
// one entry and frees at most one, so the first that does not fit ends the search.
std::size_t tensors_that_fit(const Schema& schema, const std::vector<std::size_t>& order, std::size_t entries) {
  std::map<LayerKey, std::size_t> rest;
  for (const RowSchema& row : schema.rows) ++rest[layer_key(row)];
  std::size_t kept = 0;
  for (; kept < order.size(); ++kept) {
    const auto layer = rest.find(layer_key(schema.rows[order[kept]]));
    const std::size_t layers = rest.size() - (layer->second == 1 ? 1 : 0);
    if (kept + 1 + layers > entries) break;
    if (--layer->second == 0) rest.erase(layer);
  }
  return kept;
}

}  // namespace

SeriesPlan::SeriesPlan(const Schema& schema, const PrometheusConfig& config) {
  const RunIdentity& identity = schema.identity;
  if (config.per_parameter == PerParameter::none) return;
  if (config.per_parameter == PerParameter::rank0 && identity.rank != 0) return;

  exports_tensors_ = true;
  has_precision_ = config.precision;
  const std::size_t max_series = static_cast<std::size_t>(std::max<std::int64_t>(config.max_series, 0));
  const std::size_t bound = max_series / kStatistics.size();
  const std::size_t rows = schema.rows.size();
  std::vector<bool> stays(rows, rows <= bound);
  std::size_t kept = rows;
  if (rows > bound) {
    const std::vector<std::size_t> order = by_size(schema);
    kept = tensors_that_fit(schema, order, bound);
    for (std::size_t i = 0; i < kept; ++i) stays[order[i]] = true;
  }
  dropped_series_ = (rows - kept) * kStatistics.size();

  std::vector<Entry> folded;
  std::vector<std::uint64_t> folded_elements;
  std::map<LayerKey, std::size_t> index_of;
  for (std::size_t i = 0; i < rows; ++i) {
    const RowSchema& row = schema.rows[i];
    if (stays[i]) {
      entries_.push_back(make_entry(row.kind, tensor_labels(identity, row.name, row.layer), {i}));
      continue;
    }
    const auto [position, is_new] = index_of.try_emplace(layer_key(row), folded.size());
    if (is_new) {
      folded.push_back(make_entry(row.kind, tensor_labels(identity, row.layer.empty() ? "*" : row.layer + ".*", row.layer)));
      folded_elements.push_back(0);
    }
    folded[position->second].rows.push_back(i);
    folded_elements[position->second] += row.element_count;
  }

  // Only when no tensor at all fits by itself can there be more layers than room.
  std::vector<std::size_t> largest(folded.size());
  std::iota(largest.begin(), largest.end(), std::size_t{0});
  std::stable_sort(largest.begin(), largest.end(),
                   [&folded_elements](std::size_t left, std::size_t right) { return folded_elements[left] > folded_elements[right]; });
  largest.resize(std::min(largest.size(), bound - std::min(bound, kept)));
  std::sort(largest.begin(), largest.end());
  for (const std::size_t i : largest) entries_.push_back(std::move(folded[i]));

  std::stable_sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.kind < b.kind; });
  const std::size_t room = add_tensor_metrics(schema, max_series - entries_.size() * kStatistics.size());
  const std::size_t of_layer = kActivationStatistics.size() + kActivationMetrics.size() + (has_precision_ ? kActivationOverflow.series : 0);
  activation_layers_ = std::min(schema.activations, room / of_layer);
  write_texts();
}

std::size_t SeriesPlan::add_tensor_metrics(const Schema& schema, std::size_t room) {
  constexpr std::size_t kUpdateSeries = metric_row(TensorMetric::update_ratio).series + metric_row(TensorMetric::update_norm).series;
  constexpr std::size_t kMagnitudeSeries = metric_row(TensorMetric::magnitude_bucket).series + metric_row(TensorMetric::magnitude).series;
  constexpr std::size_t kFormatSeries = metric_row(TensorMetric::format_overflow).series +
                                        metric_row(TensorMetric::format_underflow).series +
                                        metric_row(TensorMetric::format_subnormal).series;
  std::vector<Entry*> by_itself(schema.rows.size(), nullptr);
  for (Entry& entry : entries_) {
    if (!entry.is_folded) by_itself[entry.rows.front()] = &entry;
  }
  const std::vector<std::size_t> order = by_size(schema);
  // `series_of` tells how many a row would have, `give` has them for it.
  const auto add = [&](auto series_of, auto give) {
    for (const std::size_t i : order) {
      const std::size_t series = series_of(schema.rows[i]);
      if (series == 0) continue;
      if (by_itself[i] == nullptr || series > room) {
        dropped_series_ += series;
        continue;
      }
      room -= series;
      give(*by_itself[i], schema.rows[i]);
    }
  };
  const auto of = [](TensorKind kind, bool RowSchema::*wanted, std::size_t series) {
    return [=](const RowSchema& row) { return row.kind == kind && row.*wanted ? series : 0; };
  };
  add(of(TensorKind::parameter, &RowSchema::has_update, kUpdateSeries), [](Entry& entry, const RowSchema&) { entry.has_update = true; });
  add(of(TensorKind::parameter, &RowSchema::has_distance, 1), [](Entry& entry, const RowSchema&) { entry.has_distance = true; });
  add(of(TensorKind::gradient, &RowSchema::has_cosine, 1), [](Entry& entry, const RowSchema&) { entry.has_cosine = true; });
  add([](const RowSchema& row) { return std::min(row.optimizer_state.size(), RowSchema::kStateNorms); },
      [](Entry& entry, const RowSchema& row) { entry.moments = std::min(row.optimizer_state.size(), RowSchema::kStateNorms); });
  const auto with_histogram = [](std::size_t series) {
    return [=](const RowSchema& row) { return row.histogram == RowSchema::kNone ? 0 : series; };
  };
  if (has_precision_) add(with_histogram(kFormatSeries), [](Entry& entry, const RowSchema& row) { entry.precision = row.histogram; });
  add(with_histogram(kMagnitudeSeries), [](Entry& entry, const RowSchema& row) { entry.histogram = row.histogram; });
  return room;
}

void SeriesPlan::write_texts() {
  std::size_t bytes = 0;
  for (const Entry& entry : entries_) bytes += entry.labels->text().size() + 3;
  texts_.reserve(bytes);
  for (Entry& entry : entries_) {
    entry.text_begin = texts_.size();
    texts_ += '{';
    texts_ += entry.labels->text();
    texts_ += "} ";
    entry.text_bytes = texts_.size() - entry.text_begin;
  }
}

std::shared_ptr<const SeriesPlan> SeriesPlanCache::plan_for(const std::shared_ptr<const Schema>& schema) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!plan_ || schema_ != schema) {
    plan_ = std::make_shared<const SeriesPlan>(*schema, config_);
    schema_ = schema;
  }
  return plan_;
}

}  // namespace vigil
