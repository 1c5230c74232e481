// For a program that already has a prometheus-cpp Exposer: vigil as one more thing that it collects.
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <functional>
#include <memory>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/exporters/series_plan.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// The metrics of vigil's own endpoint (all but `process_*`), as prometheus-cpp has them. Give it to
/// `prometheus::Exposer::RegisterCollectable`, which keeps only a weak pointer to it.
///
/// prometheus-cpp copies every label of every series at each scrape and prints 16 digits, so this way costs about twenty times
/// as much as vigil's own endpoint.
class PrometheusCollectable : public prometheus::Collectable {
 public:
  using SnapshotSource = std::function<std::shared_ptr<const Snapshot>()>;

  /// `source` is called at each scrape, from the scraping thread; an answer of null stands for "no metrics yet". Of `config`,
  /// max_series, per_parameter and precision are used.
  explicit PrometheusCollectable(SnapshotSource source, const PrometheusConfig& config = {});

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  SnapshotSource source_;
  mutable SeriesPlanCache plans_;
};

}  // namespace vigil
