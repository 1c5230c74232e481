#include "vigil/exporters/prometheus_collectable.h"

#include <limits>
#include <string>
#include <utility>

#include "vigil/exporters/metric_families.h"

namespace vigil {
namespace {

prometheus::MetricType to_prometheus(MetricType type) noexcept {
  switch (type) {
    case MetricType::gauge: return prometheus::MetricType::Gauge;
    case MetricType::counter: return prometheus::MetricType::Counter;
    case MetricType::histogram: return prometheus::MetricType::Histogram;
    case MetricType::untyped: return prometheus::MetricType::Untyped;
  }
  return prometheus::MetricType::Untyped;
}

prometheus::ClientMetric with_labels(const Labels& labels) {
  prometheus::ClientMetric metric;
  metric.label.reserve(labels->labels().size());
  for (const Label& label : labels->labels()) {
    prometheus::ClientMetric::Label copy;
    copy.name = label.name;
    copy.value = label.value;
    metric.label.push_back(std::move(copy));
  }
  return metric;
}

// Where a metric of one value has it.
double& value_of(prometheus::ClientMetric& metric, MetricType type) noexcept {
  if (type == MetricType::counter) return metric.counter.value;
  return type == MetricType::untyped ? metric.untyped.value : metric.gauge.value;
}

prometheus::ClientMetric::Bucket make_bucket(double upper_bound, std::uint64_t cumulative) {
  prometheus::ClientMetric::Bucket bucket;
  bucket.upper_bound = upper_bound;
  bucket.cumulative_count = cumulative;
  return bucket;
}

prometheus::MetricFamily to_prometheus(const Family& family) {
  prometheus::MetricFamily out;
  out.name = std::string(family.name);
  out.help = family.help;
  out.type = to_prometheus(family.type);
  out.metric.reserve(family.samples.size() + family.histograms.size());
  for (const Sample& sample : family.samples) {
    prometheus::ClientMetric metric = with_labels(sample.labels);
    value_of(metric, family.type) = sample.value;
    out.metric.push_back(std::move(metric));
  }
  for (const HistogramSample& sample : family.histograms) {
    prometheus::ClientMetric metric = with_labels(sample.labels);
    metric.histogram.sample_count = sample.value.count;
    metric.histogram.sample_sum = sample.value.sum;
    for (std::size_t i = 0; i < sample.value.upper_bounds.size(); ++i) {
      metric.histogram.bucket.push_back(make_bucket(sample.value.upper_bounds[i], sample.value.cumulative[i]));
    }
    metric.histogram.bucket.push_back(make_bucket(std::numeric_limits<double>::infinity(), sample.value.count));
    out.metric.push_back(std::move(metric));
  }
  return out;
}

}  // namespace

PrometheusCollectable::PrometheusCollectable(SnapshotSource source, const PrometheusConfig& config)
    : source_(std::move(source)), plans_(config) {}

std::vector<prometheus::MetricFamily> PrometheusCollectable::Collect() const {
  std::vector<prometheus::MetricFamily> collected;
  const std::shared_ptr<const Snapshot> snapshot = source_();
  if (!snapshot) return collected;
  for (const Family& family : make_families(*snapshot, *plans_.plan_for(snapshot->schema))) {
    if (family.samples.empty() && family.histograms.empty()) continue;
    collected.push_back(to_prometheus(family));
  }
  return collected;
}

}  // namespace vigil
