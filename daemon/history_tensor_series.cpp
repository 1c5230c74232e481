// HistoryReader: figures of tensors over the frames that are kept.
#include <algorithm>
#include <utility>

#include "vigil/daemon/history_connection.h"
#include "vigil/history/frame_columns.h"
#include "vigil/history/heatmap.h"
#include "vigil/history/tensor_figures.h"

namespace vigil {
namespace {

// Frames of a range: the index alone tells which there are.
std::vector<FramePlace> places_of(HistoryConnection& connection, const ReadRing& ring, std::uint64_t after, std::uint64_t until) {
  std::vector<FramePlace> places;
  Statement list(connection.database(), "SELECT id, step, nonfinite FROM frames WHERE ring = ? AND step > ? AND step <= ? ORDER BY step");
  for (Query query(list, ring.row, std::min(after, kMaxStep), std::min(until, kMaxStep)); query.next();)
    places.push_back({query.integer(0), query.word(1), query.integer(2) == 0});
  return places;
}

}  // namespace

TensorSeriesReply HistoryReader::tensor_series(const TensorSeriesRequest& request) {
  return connection_->answer([&] {
    std::uint64_t after = 0;
    const ReadRing ring = connection_->ring(request.run, request.since, after);
    const auto schema = connection_->schema(ring.row);
    const std::size_t index = row_of(*schema, request.kind, request.tensor);
    const RowFigure figure = find_figure(schema->rows[index], request.statistic);
    if (!figure) no_statistic(request.statistic, schema->rows[index].name);
    const std::vector<std::uint64_t> elements = elements_of(*schema);
    TensorSeriesReply reply;
    reply.attempt = ring.attempt;
    reply.next = {ring.attempt, after, ring.revision};

    std::vector<FramePlace> places = places_of(*connection_, ring, after, request.until);
    if (places.empty()) return reply;
    reply.next.step = places.back().step;
    const std::uint64_t first_step = places.front().step, range = places.back().step - first_step + 1;
    reply.passed_over = thin_out(places, kMaxFrames, kMaxFrames);
    const std::size_t max_points = std::clamp<std::size_t>(request.max_points, 1, kMaxPoints);
    const std::uint64_t width = bucket_width(range, places.size(), max_points);
    reply.is_downsampled = width > 0;
    Downsampler sampler(first_step, width);
    Statement read(connection_->database(), "SELECT time_ns, tensors FROM frames WHERE id = ?");
    for (const FramePlace& place : places) {
      connection_->check_time();
      Query query(read, place.id);
      if (!query.next()) throw DamagedData("a frame is in the index only");
      try {
        const TensorRow row = read_row(query.blob(1), elements, index);
        if (row.state != TensorRow::present) continue;
        if (const auto value = figure(row)) sampler.add({place.step, query.integer(0), *value});
      } catch (const DamagedData&) {
        ++reply.unreadable_frames;
      }
    }
    reply.points = sampler.finish();
    return reply;
  });
}

HeatmapReply HistoryReader::heatmap(const HeatmapRequest& request) {
  return connection_->answer([&] {
    std::uint64_t after = 0;
    const ReadRing ring = connection_->ring(request.run, request.since, after);
    HeatmapReply reply = begin_heatmap(connection_->schema(ring.row), request);
    const std::vector<RowFigure> figures = figures_of(reply, request.statistic);
    const std::vector<std::uint64_t> elements = elements_of(*reply.schema);
    reply.attempt = ring.attempt;
    reply.next = {ring.attempt, after, ring.revision};
    std::vector<FramePlace> places = places_of(*connection_, ring, after, request.until);
    if (places.empty()) return reply;
    reply.next.step = places.back().step;
    reply.passed_over = thin_out_columns(places, reply, request.max_columns);
    Statement read(connection_->database(), "SELECT time_ns, tensors FROM frames WHERE id = ?");
    for (const FramePlace& place : places) {
      connection_->check_time();
      Query query(read, place.id);
      if (!query.next()) throw DamagedData("a frame is in the index only");
      try {
        reply.columns.push_back(column_of(reply, figures, place.step, query.integer(0), read_rows(query.blob(1), elements)));
      } catch (const DamagedData&) {
        ++reply.unreadable_frames;
      }
    }
    return reply;
  });
}

}  // namespace vigil
