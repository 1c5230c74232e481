// docs/metrics.md is generated from the tables. `VIGIL_REFRESH=1 ctest -R MetricsDocument` writes it anew.
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "tree/source_tree.h"
#include "vigil/daemon/daemon_metrics.h"
#include "vigil/monitor/metric_table.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/snapshot.h"
#include "vigil/monitor/statistics.h"

namespace vigil {
namespace {

std::string labels_text(std::string_view extra, std::string text = "`run`, `rank`") {
  std::istringstream names{std::string(extra)};
  for (std::string name; std::getline(names, name, ',');) text += (text.empty() ? "`" : ", `") + name + "`";
  return text;
}

std::string type_name(MetricType type) {
  switch (type) {
    case MetricType::gauge: return "gauge";
    case MetricType::counter: return "counter";
    case MetricType::histogram: return "histogram";
    case MetricType::untyped: return "untyped";
  }
  return "?";
}

// A bar ends a cell of a Markdown table, in code too.
std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) escaped += c == '|' ? std::string("\\|") : std::string(1, c);
  return escaped;
}

TensorKind kind_of(std::string_view name) {
  return name == "parameter" ? TensorKind::parameter : name == "gradient" ? TensorKind::gradient : TensorKind::buffer;
}

std::string make_document() {
  std::ostringstream out;
  out << "# Metrics\n\n"
         "Generated from `monitor/metric_table.h` and `monitor/statistics.h` by the test `MetricsDocument`; do not edit.\n\n"
         "Units are those of Prometheus: seconds, bytes, ratios from 0 to 1. Every series of a run carries `run` and `rank`. NaN is data: "
         "a\n"
         "gauge may be NaN, and comparisons with NaN are false, so alert on the counters of non-finite values and steps, which exist with "
         "the value 0\n"
         "from the first scrape on.\n\n"
         "## Of the run\n\n| metric | type | labels | what |\n|---|---|---|---|\n";
  for (const MetricRow& metric : kMetrics) {
    out << "| `" << metric.name << "` | " << type_name(metric.type) << " | " << labels_text(metric.labels) << " | " << metric.help
        << " |\n";
  }
  out << "\n## Of each tensor\n\n"
         "At every sample, for each parameter, its gradient and each floating-point buffer. `parameter` is the full path, `layer` its "
         "module.\n"
         "Tensors that `exporters.prometheus.max_series` keeps out are folded into one series a layer, whose `parameter` is `<layer>.*`.\n"
         "x are the elements, n the finite ones, N all of them; sums, min and max are over the finite ones. NaN stands for \"no finite "
         "element\".\n\n"
         "| metric | type | what | formula |\n|---|---|---|---|\n";
  for (const std::string_view kind : kTensorKindNames) {
    for (const Statistic& statistic : kStatistics) {
      out << "| `vigil_" << kind << "_" << statistic.name << "` | gauge | " << kind << ": " << statistic.help << " | `"
          << cell(statistic.formula) << "` |\n";
    }
  }
  out << "\nOnly of tensors that `sampling.update_ratio`, `distance`, `gradient_cosine`, `optimizer_state` or `histogram` matches, and "
         "only as far "
         "as `max_series` has room beside the "
         "series above:\n"
         "in the order of these settings, the largest tensors first. Shares by `format` are of tensors with a histogram, before its "
         "buckets, "
         "where\n`exporters.prometheus.precision` (vigild: `--metrics.precision`) asks for them "
         "([models/precision.md](models/precision.md)). The untyped ones are gauges: they describe the latest sample "
         "and "
         "do not\n"
         "add up, so use them without `rate`.\n\n"
         "| metric | type | more labels | series | what | formula |\n|---|---|---|---|---|---|\n";
  for (const std::string_view kind : kTensorKindNames) {
    for (const TensorMetricRow& metric : kTensorMetrics) {
      if (!is_of(metric, kind_of(kind))) continue;
      out << "| `vigil_" << (metric.has_whole_name ? "" : std::string(kind) + "_") << metric.name << "` | " << type_name(metric.type)
          << " | " << (metric.label.empty() ? "" : "`" + std::string(metric.label) + "`") << " | " << metric.series << " | " << kind << ": "
          << metric.help << " | `" << cell(metric.formula) << "` |\n";
    }
  }
  out << "\n`le` of magnitudes: 0, the powers of two from 2^" << MagnitudeHistogram::kLowestExponent << " to 2^"
      << MagnitudeHistogram::kLowestExponent + static_cast<int>(MagnitudeHistogram::kBuckets) << ", +Inf. `quantile`:";
  for (const double q : kMagnitudeQuantiles) out << " " << q;
  out << ".\n";
  out << "\n## Of each layer's output\n\n"
         "On observed steps (`sampling.activations_every_steps`), by `layer` and `phase`: of the output of each module that owns "
         "parameters, "
         "and of each operator without\nparameters that follows one (`conv1/relu`). As far as `max_series` has room after all of the "
         "above, in "
         "the order in which layers are first seen.\n\n"
         "| metric | type | what | formula |\n|---|---|---|---|\n";
  for (const std::string_view name : kActivationStatistics) {
    for (const Statistic& statistic : kStatistics) {
      if (statistic.name == name)
        out << "| `vigil_activation_" << name << "` | gauge | " << statistic.help << " | `" << cell(statistic.formula) << "` |\n";
    }
  }
  for (const ActivationMetricRow& metric : kActivationMetrics) {
    out << "| `vigil_activation_" << metric.name << "` | gauge | " << metric.help << " | `" << cell(metric.formula) << "` |\n";
  }
  out << "| `vigil_activation_" << kActivationOverflow.name << "` | gauge | " << kActivationOverflow.help << " | `"
      << cell(kActivationOverflow.formula) << "` |\n\nThe last one is by `" << kActivationOverflow.label
      << "` as well, where `exporters.prometheus.precision` asks for it.\n";
  out << "\n## Buckets of `vigil_step_duration_seconds`\n\n`le` in seconds:";
  for (const double bound : kDurationBounds) out << " " << bound;
  out << ", +Inf. Phases:";
  for (const std::string_view phase : kPhaseNames) out << " `" << phase << "`";
  out << ".\n\n## Of a run that is over, at a Pushgateway\n\n"
         "What vigild puts there ([push.md](push.md)), in the group `job=\"<run>\"`, of rank 0.\n\n"
         "| metric | type | labels | what |\n|---|---|---|---|\n";
  for (const MetricRow& metric : kResultMetrics) {
    out << "| `" << metric.name << "` | " << type_name(metric.type) << " | " << labels_text(metric.labels, "`run`") << " | " << metric.help
        << " |\n";
  }
  out << "\n## Of vigild itself\n\n"
         "In its /metrics, without `run` and `rank`; those of what is off are absent ([vigild.md](vigild.md)).\n\n"
         "| metric | type | labels | what |\n|---|---|---|---|\n";
  for (const MetricRow& metric : kDaemonMetrics) {
    out << "| `" << metric.name << "` | " << type_name(metric.type) << " | " << labels_text(metric.labels, "") << " | " << metric.help
        << " |\n";
  }
  out << "\n## Of the process\n\n"
         "The usual `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_virtual_memory_bytes`,\n"
         "`process_start_time_seconds`, `process_open_fds` and `process_max_fds`, without `run` and `rank`.\n";
  return out.str();
}

TEST(MetricsDocument, IsGeneratedFromTheTables) {
  const auto path = source_path("docs/metrics.md");
  const std::string document = make_document();
  if (std::getenv("VIGIL_REFRESH") != nullptr) std::ofstream(path) << document;
  EXPECT_EQ(read_text(path), document) << "docs/metrics.md is out of date; VIGIL_REFRESH=1 ctest -R MetricsDocument";
}

}  // namespace
}  // namespace vigil
