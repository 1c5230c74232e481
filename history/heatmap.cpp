#include "vigil/history/heatmap.h"

#include <algorithm>
#include <utility>

namespace vigil {

HeatmapReply begin_heatmap(std::shared_ptr<const Schema> schema, const HeatmapRequest& request) {
  HeatmapReply reply;
  reply.rows = rows_of(*schema, request.kind);
  reply.schema = std::move(schema);
  return reply;
}

std::vector<RowFigure> figures_of(const HeatmapReply& reply, const std::string& statistic) {
  std::vector<RowFigure> figures;
  for (const std::size_t row : reply.rows) figures.push_back(find_figure(reply.schema->rows[row], statistic));
  if (std::none_of(figures.begin(), figures.end(), [](const RowFigure& figure) { return static_cast<bool>(figure); }))
    no_statistic(statistic, "any tensor");
  return figures;
}

std::size_t thin_out_columns(std::vector<FramePlace>& places, const HeatmapReply& reply, std::size_t max_columns) {
  const std::size_t columns = std::clamp<std::size_t>(max_columns, RunHistory::kMinColumns, RunHistory::kMaxColumns);
  const std::size_t fitting = std::max<std::size_t>(kMaxHeatmapCells / reply.rows.size(), 2);
  const std::size_t most = std::min(columns, fitting);
  if (places.size() <= most) return 0;
  const auto others =
      static_cast<std::size_t>(std::count_if(places.begin(), places.end(), [](const FramePlace& place) { return !place.is_finite; }));
  // What one of the two kinds leaves over is the other's.
  const std::size_t of_others = std::min(others, std::max(most / 2, most - std::min(most, places.size() - others)));
  return thin_out(places, std::max<std::size_t>(most - of_others, 1), std::max<std::size_t>(of_others, 1));
}

HeatmapReply::Column column_of(const HeatmapReply& reply, const std::vector<RowFigure>& figures, std::uint64_t step, std::int64_t time_ns,
                               const std::vector<TensorRow>& frame) {
  HeatmapReply::Column column{step, time_ns, {}};
  column.values.reserve(reply.rows.size());
  for (std::size_t i = 0; i < reply.rows.size(); ++i) {
    const TensorRow& row = frame[reply.rows[i]];
    const bool is_there = row.state == TensorRow::present && figures[i];
    column.values.push_back(is_there ? figures[i](row) : std::nullopt);
  }
  return column;
}

void no_statistic(const std::string& statistic, const std::string& tensor) {
  throw HistoryError(HistoryError::Kind::invalid, "there is no statistic '" + statistic + "' of " + tensor);
}

}  // namespace vigil
