// Figures of tensors by name, and which frames are looked at where there are more than anybody can see.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "vigil/monitor/records.h"
#include "vigil/monitor/schema.h"

namespace vigil {

/// The figure of a row that is present; nothing where the row has none.
using RowFigure = std::function<std::optional<double>(const TensorRow& row)>;

/// `name` is a statistic of kStatistics, or "update_ratio", "distance", "cosine", "<optimizer state>_norm". Empty where `schema`, which
/// outlives it, has no such figure.
RowFigure find_figure(const RowSchema& schema, const std::string& name);

/// Where a frame is, for who keeps them.
struct FramePlace {
  std::int64_t id = 0;
  std::uint64_t step = 0;
  bool is_finite = true;
};

/// Keeps of the finite ones every n-th, so that there are at most `max_finite`, and likewise of the others. Returns how many are gone.
std::size_t thin_out(std::vector<FramePlace>& places, std::size_t max_finite, std::size_t max_others);

/// Index of a tensor's row. @throws HistoryError not_found
std::size_t row_of(const Schema& schema, TensorKind kind, const std::string& tensor);
/// Index of its magnitude histogram in a frame. @throws HistoryError not_found when it has none
std::size_t histogram_of(const RowSchema& row);
/// Indices of the rows of a kind; @throws HistoryError not_found where there are none
std::vector<std::size_t> rows_of(const Schema& schema, TensorKind kind);
/// RowSchema::element_count by row.
std::vector<std::uint64_t> elements_of(const Schema& schema);

}  // namespace vigil
