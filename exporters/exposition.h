// The exposition of a snapshot, written straight from its rows.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/exporters/metric_families.h"
#include "vigil/exporters/series_plan.h"
#include "vigil/exporters/text_format.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// Both return, byte for byte, what render_text makes of make_families(snapshot, plan) with `more` behind them, but per-tensor series go
/// from the snapshot's rows into the text without a family, a label or an allocation of their own: about 60 ns each. `snapshot.schema` is
/// not null; `plan` is the plan of that schema. Any thread.
///
/// Allocates what it returns, with little room to spare, and 48 bytes for each tensor.
std::string render_exposition(const Snapshot& snapshot, const SeriesPlan& plan, TextFormat format, const std::vector<Family>& more = {});

/// The same text gzip'd (RFC 1952), a tenth to a fifth of its size. It is compressed piece by piece while it is written, so the whole text
/// is never in memory; takes twice what it returns.
/// @throws std::bad_alloc
std::string render_gzip_exposition(const Snapshot& snapshot, const SeriesPlan& plan, TextFormat format,
                                   const std::vector<Family>& more = {});

}  // namespace vigil
