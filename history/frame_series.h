// Figures of tensors over the frames that are kept, wherever that is.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "vigil/history/run_history.h"
#include "vigil/history/tensor_figures.h"

namespace vigil {

/// The frames of one attempt. One thread.
class FrameSource {
 public:
  virtual ~FrameSource() = default;

  struct Tensors {
    std::int64_t time_ns = 0;
    std::string_view packed;  ///< by pack_rows(); valid until the next call
  };
  /// Of steps above `after` and up to `until`, by step.
  virtual std::vector<FramePlace> places(std::uint64_t after, std::uint64_t until) = 0;
  /// @throws DamagedData when they are not there
  virtual Tensors read(const FramePlace& place) = 0;
  /// Called before each read; throws where the answer takes too long.
  virtual void check_time() {}
};

/// Numbers that a heatmap holds at most: with many tensors it has fewer columns than were asked for.
inline constexpr std::size_t kMaxHeatmapCells = 400'000;

// `start` is the attempt, the step after which, and the revision for the answer's cursor. `schema` is not null. What cannot be unpacked is
// counted.

/// @throws HistoryError not_found where there is no such tensor, invalid where it has no such figure
TensorSeriesReply read_tensor_series(FrameSource& frames, const Schema& schema, const HistoryCursor& start,
                                     const TensorSeriesRequest& request);
/// @throws HistoryError not_found where there are no tensors of the kind, invalid where none has such a figure
HeatmapReply read_heatmap(FrameSource& frames, const std::shared_ptr<const Schema>& schema, const HistoryCursor& start,
                          const HeatmapRequest& request);

}  // namespace vigil
