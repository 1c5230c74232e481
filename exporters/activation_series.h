// The families of what came out of a model's layers.
#pragma once

#include <cstdint>
#include <vector>

#include "vigil/exporters/metric_families.h"
#include "vigil/exporters/series_plan.h"
#include "vigil/monitor/snapshot.h"
#include "vigil/monitor/statistics.h"

namespace vigil {

/// Those of kActivationStatistics, in that order. Lives as long as the program.
const std::vector<const Statistic*>& activation_statistics();

/// Of the layers that `plan` has room for and that were measured, in the order in which they were first seen; the statistics first, then
/// kActivationMetrics, which only some layers have, then with `precision` kActivationOverflow, with a label format. Labels: run, rank,
/// layer, phase.
std::vector<Family> make_activation_families(const Snapshot& snapshot, const SeriesPlan& plan);

struct ActivationSeries {
  std::uint64_t shown = 0, dropped = 0;
};
/// How many there are, and how many there is no room for.
ActivationSeries count_activation_series(const Snapshot& snapshot, const SeriesPlan& plan) noexcept;

}  // namespace vigil
