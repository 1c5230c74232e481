#include "vigil/history/frame_series.h"

#include <algorithm>
#include <string>
#include <utility>

#include "vigil/history/column_codec.h"
#include "vigil/history/frame_columns.h"

namespace vigil {
namespace {

[[noreturn]] void no_statistic(const std::string& statistic, const std::string& tensor) {
  throw HistoryError(HistoryError::Kind::invalid, "there is no statistic '" + statistic + "' of " + tensor);
}

// Leaves as many frames as a heatmap of `tensors` may have columns. Returns how many are gone.
std::size_t thin_out_columns(std::vector<FramePlace>& places, std::size_t tensors, std::size_t max_columns) {
  const std::size_t columns = std::clamp<std::size_t>(max_columns, RunHistory::kMinColumns, RunHistory::kMaxColumns);
  const std::size_t most = std::min(columns, std::max<std::size_t>(kMaxHeatmapCells / tensors, 2));
  if (places.size() <= most) return 0;
  const auto others =
      static_cast<std::size_t>(std::count_if(places.begin(), places.end(), [](const FramePlace& place) { return !place.is_finite; }));
  const std::size_t finite = places.size() - others;
  // What one of the two kinds leaves over is the other's.
  const std::size_t of_others = std::min(others, std::max(most / 2, most - std::min(most, finite)));
  return thin_out(places, std::max<std::size_t>(most - of_others, 1), std::max<std::size_t>(of_others, 1));
}

}  // namespace

TensorSeriesReply read_tensor_series(FrameSource& frames, const Schema& schema, const HistoryCursor& start,
                                     const TensorSeriesRequest& request) {
  const std::size_t index = row_of(schema, request.kind, request.tensor);
  const RowFigure figure = find_figure(schema.rows[index], request.statistic);
  if (!figure) no_statistic(request.statistic, schema.rows[index].name);
  TensorSeriesReply reply;
  reply.attempt = start.attempt;
  reply.next = start;
  std::vector<FramePlace> places = frames.places(start.step, request.until);
  if (places.empty()) return reply;
  reply.next.step = places.back().step;
  const std::uint64_t first_step = places.front().step, range = places.back().step - first_step + 1;
  reply.passed_over = thin_out(places, RunHistory::kMaxFrames, RunHistory::kMaxFrames);
  const std::size_t max_points = std::clamp<std::size_t>(request.max_points, 1, RunHistory::kMaxPoints);
  const std::uint64_t width = bucket_width(range, places.size(), max_points);
  reply.is_downsampled = width > 0;
  Downsampler sampler(first_step, width);
  const std::vector<std::uint64_t> elements = elements_of(schema);
  for (const FramePlace& place : places) {
    frames.check_time();
    const FrameSource::Tensors tensors = frames.read(place);
    try {
      const TensorRow row = read_row(tensors.packed, elements, index);
      if (row.state != TensorRow::present) continue;
      if (const auto value = figure(row)) sampler.add({place.step, tensors.time_ns, *value});
    } catch (const DamagedData&) {
      ++reply.unreadable_frames;
    }
  }
  reply.points = sampler.finish();
  return reply;
}

HeatmapReply read_heatmap(FrameSource& frames, const std::shared_ptr<const Schema>& schema, const HistoryCursor& start,
                          const HeatmapRequest& request) {
  HeatmapReply reply;
  reply.attempt = start.attempt;
  reply.next = start;
  reply.schema = schema;
  reply.rows = rows_of(*schema, request.kind);
  std::vector<RowFigure> figures;
  for (const std::size_t row : reply.rows) figures.push_back(find_figure(schema->rows[row], request.statistic));
  if (std::none_of(figures.begin(), figures.end(), [](const RowFigure& figure) { return static_cast<bool>(figure); }))
    no_statistic(request.statistic, "any tensor");

  std::vector<FramePlace> places = frames.places(start.step, request.until);
  if (places.empty()) return reply;
  reply.next.step = places.back().step;
  reply.passed_over = thin_out_columns(places, reply.rows.size(), request.max_columns);
  const std::vector<std::uint64_t> elements = elements_of(*schema);
  for (const FramePlace& place : places) {
    frames.check_time();
    const FrameSource::Tensors tensors = frames.read(place);
    try {
      const std::vector<TensorRow> rows = read_rows(tensors.packed, elements);
      HeatmapReply::Column column{place.step, tensors.time_ns, {}};
      for (std::size_t i = 0; i < reply.rows.size(); ++i) {
        const TensorRow& row = rows[reply.rows[i]];
        column.values.push_back(row.state == TensorRow::present && figures[i] ? figures[i](row) : std::nullopt);
      }
      reply.columns.push_back(std::move(column));
    } catch (const DamagedData&) {
      ++reply.unreadable_frames;
    }
  }
  return reply;
}

}  // namespace vigil
