// One figure of a snapshot by the name that Prometheus would know it by.
#pragma once

#include <optional>
#include <string_view>

#include "vigil/config/config.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// The value of gauge or counter `metric` for `parameter` (empty: series without that label), summed over its other labels, as an
/// endpoint with the settings `config` serves it; empty when there is no such series, or `metric` is a histogram or untyped (a sum over
/// bounds or quantiles means nothing). A parameter whose series max_series or the rank keeps out is found all the same. Renders all
/// families: for programs and tests, not for loops. `snapshot.schema` is not null. Any thread.
std::optional<double> find_value(const Snapshot& snapshot, const PrometheusConfig& config, std::string_view metric,
                                 std::string_view parameter = {});

}  // namespace vigil
