#include "vigil/history/tensor_figures.h"

#include <algorithm>
#include <array>

#include "vigil/history/run_history.h"
#include "vigil/monitor/dtype.h"
#include "vigil/monitor/statistics.h"
#include "vigil/monitor/update_ratio.h"

namespace vigil {
namespace {

constexpr std::string_view kNormSuffix = "_norm";

}  // namespace

RowFigure find_figure(const RowSchema& schema, const std::string& name) {
  for (const Statistic& statistic : kStatistics) {
    if (statistic.name == name) return [value = statistic.value](const TensorRow& row) { return std::optional(value(row.moments)); };
  }
  if (name == "update_ratio") return [&schema](const TensorRow& row) { return update_ratio(schema, row); };
  if (name == "distance") return [](const TensorRow& row) { return norm_of_change(row, row.distance); };
  if (name == "cosine") return [](const TensorRow& row) { return is_nan_bits(row.cosine) ? std::nullopt : std::optional(row.cosine); };
  for (std::size_t i = 0; i < std::min(schema.optimizer_state.size(), RowSchema::kStateNorms); ++i) {
    if (name != schema.optimizer_state[i] + std::string(kNormSuffix)) continue;
    return [i](const TensorRow& row) { return row.has_state(i) ? std::optional(row.state_norms[i]) : std::nullopt; };
  }
  return {};
}

std::size_t thin_out(std::vector<FramePlace>& places, std::size_t max_finite, std::size_t max_others) {
  std::array<std::size_t, 2> counts{}, seen{};
  for (const FramePlace& place : places) ++counts[place.is_finite];
  const auto is_left_out = [&](const FramePlace& place) {
    const std::size_t most = place.is_finite ? max_finite : max_others;
    const std::size_t stride = (counts[place.is_finite] + most - 1) / most;
    return seen[place.is_finite]++ % stride != 0;
  };
  const std::size_t before = places.size();
  places.erase(std::remove_if(places.begin(), places.end(), is_left_out), places.end());
  return before - places.size();
}

std::size_t row_of(const Schema& schema, TensorKind kind, const std::string& tensor) {
  for (std::size_t i = 0; i < schema.rows.size(); ++i) {
    if (schema.rows[i].kind == kind && schema.rows[i].name == tensor) return i;
  }
  throw HistoryError(HistoryError::Kind::not_found,
                     "the run has no " + std::string(kTensorKindNames[static_cast<std::size_t>(kind)]) + " '" + tensor + "' in its frames");
}

std::size_t histogram_of(const RowSchema& row) {
  if (row.histogram == RowSchema::kNone)
    throw HistoryError(HistoryError::Kind::not_found, "no magnitudes are counted of " + row.name + "; let sampling.histogram match it");
  return static_cast<std::size_t>(row.histogram);
}

std::vector<std::size_t> rows_of(const Schema& schema, TensorKind kind) {
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < schema.rows.size(); ++i) {
    if (schema.rows[i].kind == kind) rows.push_back(i);
  }
  if (rows.empty())
    throw HistoryError(HistoryError::Kind::not_found,
                       "the run has no " + std::string(kTensorKindNames[static_cast<std::size_t>(kind)]) + " in its frames");
  return rows;
}

std::vector<std::uint64_t> elements_of(const Schema& schema) {
  std::vector<std::uint64_t> elements;
  for (const RowSchema& row : schema.rows) elements.push_back(row.element_count);
  return elements;
}

}  // namespace vigil
