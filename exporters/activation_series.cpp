#include "vigil/exporters/activation_series.h"

#include <algorithm>
#include <string>
#include <utility>

#include "vigil/exporters/labels.h"
#include "vigil/exporters/tensor_series.h"
#include "vigil/monitor/dtype.h"
#include "vigil/monitor/metric_table.h"
#include "vigil/monitor/number_format.h"

namespace vigil {

// Never destroyed, since a scrape may come while the program's statics are.
const std::vector<const Statistic*>& activation_statistics() {
  static const auto& statistics = *[] {
    auto* made = new std::vector<const Statistic*>;
    for (const std::string_view name : kActivationStatistics) {
      made->push_back(&*std::find_if(kStatistics.begin(), kStatistics.end(), [name](const Statistic& one) { return one.name == name; }));
    }
    return made;
  }();
  return statistics;
}

namespace {

// What never changes of the families.
struct Head {
  std::string name, help;
};
Head head_of(std::string_view name, std::string_view help) {
  return {"vigil_activation_" + std::string(name), "Activation: " + std::string(help) + "."};
}
const std::vector<Head>& heads() {
  static const auto& made = *[] {
    auto* all = new std::vector<Head>;
    for (const Statistic* statistic : activation_statistics()) all->push_back(head_of(statistic->name, statistic->help));
    for (const ActivationMetricRow& metric : kActivationMetrics) all->push_back(head_of(metric.name, metric.help));
    all->push_back(head_of(kActivationOverflow.name, kActivationOverflow.help));
    return all;
  }();
  return made;
}

// Formats in which an activation may overflow, and the share that does, at most.
template <class Emit>
void for_each_overflow(const ActivationRow& row, Emit emit) {
  if (finite_count(row.moments) == 0) return;
  for (std::size_t i = 0; i < kNumberFormats.size(); ++i) {
    if (!kNumberFormats[i].is_uniform) emit(i, overflow_bound(kNumberFormats[i], row.moments));
  }
}

std::size_t layers_of(const Snapshot& snapshot) noexcept { return std::min(snapshot.activations.size(), snapshot.layers->size()); }

}  // namespace

std::vector<Family> make_activation_families(const Snapshot& snapshot, const SeriesPlan& plan) {
  std::vector<Family> families;
  const std::size_t layers = std::min(layers_of(snapshot), plan.activation_layers());
  if (layers == 0) return families;
  for (const Head& head : heads()) families.push_back({head.name, MetricType::gauge, {}, head.help, {}, {}});
  const RunIdentity& identity = snapshot.schema->identity;
  for (std::size_t i = 0; i < layers; ++i) {
    const ActivationRow& row = snapshot.activations[i];
    if (row.step == 0) continue;
    const LayerLabel& label = (*snapshot.layers)[i];
    const std::vector<Label> of_layer{
        {"run", identity.run}, {"rank", std::to_string(identity.rank)}, {"layer", label.layer}, {"phase", label.phase}};
    const Labels labels = make_labels(of_layer);
    std::size_t family = 0;
    for (const Statistic* statistic : activation_statistics()) {
      families[family++].samples.push_back({labels, statistic->value(row.moments)});
    }
    for (const ActivationMetricRow& metric : kActivationMetrics) {
      const double value = row.*metric.value;
      if (!is_nan_bits(value)) families[family].samples.push_back({labels, value});
      ++family;
    }
    if (!plan.has_precision()) continue;
    for_each_overflow(row, [&](std::size_t format, double share) {
      std::vector<Label> more = of_layer;
      more.push_back(number_format_labels()[format].label);
      families[family].samples.push_back({make_labels(std::move(more)), share});
    });
  }
  families.erase(std::remove_if(families.begin(), families.end(), [](const Family& family) { return family.samples.empty(); }),
                 families.end());
  return families;
}

ActivationSeries count_activation_series(const Snapshot& snapshot, const SeriesPlan& plan) noexcept {
  ActivationSeries series;
  if (!plan.exports_tensors()) return series;
  for (std::size_t i = 0; i < layers_of(snapshot); ++i) {
    const ActivationRow& row = snapshot.activations[i];
    if (row.step == 0) continue;
    std::uint64_t here = kActivationStatistics.size();
    for (const ActivationMetricRow& metric : kActivationMetrics) here += !is_nan_bits(row.*metric.value);
    if (plan.has_precision()) for_each_overflow(row, [&here](std::size_t, double) { ++here; });
    (i < plan.activation_layers() ? series.shown : series.dropped) += here;
  }
  return series;
}

}  // namespace vigil
