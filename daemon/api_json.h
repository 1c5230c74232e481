// Answers of the API as JSON. Numbers that are not finite are the strings "NaN", "Infinity" and "-Infinity"; times are seconds since the
// epoch.
#pragma once

#include <string>
#include <vector>

#include "vigil/daemon/history_reader.h"
#include "vigil/daemon/host_view.h"

namespace vigil {

/// `history` are the runs that are stored, the newest first; those of `view` that are not among them come first. `problem`: why the
/// history could not be read; empty: it could.
std::string runs_json(const std::vector<HistoryRun>& history, const HostView& view, const std::string& problem = {});
std::string series_names_json(const std::vector<SeriesName>& names);
std::string series_json(const SeriesReply& reply);
std::string tensors_json(const HistoryFrame& frame);
std::string tensor_series_json(const TensorSeriesReply& reply);
std::string distribution_json(const HistoryDistribution& distribution);
std::string events_json(const EventsReply& reply);
std::string error_json(std::string_view sentence);

}  // namespace vigil
