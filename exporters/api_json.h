// Answers of the API as JSON. Numbers that are not finite are the strings "NaN", "Infinity" and "-Infinity"; times are seconds since the
// epoch.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vigil/exporters/exposition.h"
#include "vigil/exporters/metric_families.h"
#include "vigil/history/run_history.h"

namespace vigil {

/// `history` are the runs that were kept, the newest first; those that are there `now` and not among them come first. `problem`: why the
/// history could not be read; empty: it could.
std::string runs_json(const std::vector<HistoryRun>& history, const std::vector<ExposedRun>& now, const std::string& problem = {});
std::string series_names_json(const std::vector<SeriesName>& names);
std::string series_json(const SeriesReply& reply);
std::string tensors_json(const HistoryFrame& frame);
std::string tensor_series_json(const TensorSeriesReply& reply);
std::string heatmap_json(const HeatmapReply& reply, TensorKind kind, std::string_view statistic);
std::string distribution_json(const HistoryDistribution& distribution);
std::string events_json(const EventsReply& reply);
std::string metrics_json(const std::vector<Family>& families);
std::string error_json(std::string_view sentence);

}  // namespace vigil
