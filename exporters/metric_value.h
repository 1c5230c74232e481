// One figure of a snapshot by the name that Prometheus would know it by.
#pragma once

#include <optional>
#include <string_view>

#include "vigil/monitor/snapshot.h"

namespace vigil {

/// The value of gauge or counter `metric` for `parameter` (empty: series without that label), summed over its other labels; empty when
/// there is no such series, or `metric` is a histogram. Neither max_series nor the rank keeps a series out. Renders all families: for
/// programs and tests, not for loops. `snapshot.schema` is not null. Any thread.
std::optional<double> find_value(const Snapshot& snapshot, std::string_view metric, std::string_view parameter = {});

}  // namespace vigil
