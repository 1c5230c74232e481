// One figure of all tensors over time, for whoever keeps frames.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "vigil/history/run_history.h"
#include "vigil/history/tensor_figures.h"

namespace vigil {

/// Numbers that a heatmap holds at most: with many tensors it has fewer columns than were asked for.
inline constexpr std::size_t kMaxHeatmapCells = 400'000;

/// @throws HistoryError not_found when no tensor of the kind is in the frames
HeatmapReply begin_heatmap(std::shared_ptr<const Schema> schema, const HeatmapRequest& request);
/// As many as rows; those that a tensor does not have are empty. @throws HistoryError invalid when none has it
std::vector<RowFigure> figures_of(const HeatmapReply& reply, const std::string& statistic);
/// Leaves as many frames as the reply may have columns. Returns how many are gone.
std::size_t thin_out_columns(std::vector<FramePlace>& places, const HeatmapReply& reply, std::size_t max_columns);
/// `frame` are all rows of a frame.
HeatmapReply::Column column_of(const HeatmapReply& reply, const std::vector<RowFigure>& figures, std::uint64_t step, std::int64_t time_ns,
                               const std::vector<TensorRow>& frame);

/// @throws HistoryError invalid: there is no such figure of `tensor`
[[noreturn]] void no_statistic(const std::string& statistic, const std::string& tensor);

}  // namespace vigil
