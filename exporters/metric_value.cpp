#include "vigil/exporters/metric_value.h"

#include <limits>

#include "vigil/exporters/metric_families.h"

namespace vigil {

namespace {

std::optional<double> find_served(const Snapshot& snapshot, const PrometheusConfig& config, std::string_view metric,
                                  std::string_view parameter) {
  std::optional<double> sum;
  for (const Family& family : make_families(snapshot, SeriesPlan(*snapshot.schema, config))) {
    if (family.name != metric || family.type == MetricType::untyped) continue;
    for (const Sample& sample : family.samples) {
      std::string_view of;
      for (const Label& label : sample.labels->labels()) {
        if (label.name == "parameter") of = label.value;
      }
      if (of == parameter) sum = sum.value_or(0) + sample.value;
    }
  }
  return sum;
}

}  // namespace

std::optional<double> find_value(const Snapshot& snapshot, const PrometheusConfig& config, std::string_view metric,
                                 std::string_view parameter) {
  const std::optional<double> served = find_served(snapshot, config, metric, parameter);
  if (served || parameter.empty()) return served;
  PrometheusConfig everything = config;
  everything.max_series = std::numeric_limits<std::int64_t>::max();
  everything.per_parameter = PerParameter::all;
  return find_served(snapshot, everything, metric, parameter);
}

}  // namespace vigil
