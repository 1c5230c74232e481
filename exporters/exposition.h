// The exposition of a snapshot, written straight from its rows.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
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

/// One run of several that are exposed together.
struct ExposedRun {
  std::shared_ptr<const Snapshot> snapshot;  ///< not null; no two have the same run and rank
  std::shared_ptr<const SeriesPlan> plan;    ///< of its schema
  /// The run has ended: what it counted, when it ended and how are still told, but not what was measured at some moment, which would look
  /// as if it still were. Dashboards see the end of its gauges at once.
  bool is_tombstone = false;
};

/// What the exposition tells of one run beside its tensors and activations, or of a tombstone.
std::vector<Family> make_run_families(const ExposedRun& run);

/// The same of several runs, each family once with the series of all of them, but without vigil_build_info; `more` comes first and has none
/// of their families.
std::string render_joint_exposition(const std::vector<ExposedRun>& runs, TextFormat format, const std::vector<Family>& more);
std::string render_joint_gzip_exposition(const std::vector<ExposedRun>& runs, TextFormat format, const std::vector<Family>& more);

}  // namespace vigil
