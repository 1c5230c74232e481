// HistoryReader: one figure of one tensor over the frames that are kept.
#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "vigil/daemon/frame_columns.h"
#include "vigil/daemon/history_connection.h"
#include "vigil/monitor/dtype.h"
#include "vigil/monitor/statistics.h"
#include "vigil/monitor/update_ratio.h"

namespace vigil {
namespace {

constexpr std::string_view kNormSuffix = "_norm";

// The figure of a row; nothing where the row has none.
using RowFigure = std::function<std::optional<double>(const TensorRow& row)>;

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
  throw HistoryError(HistoryError::Kind::invalid, "there is no statistic '" + name + "' of " + schema.name);
}

// Where a frame is.
struct Place {
  std::int64_t id;
  std::uint64_t step;
  bool is_finite;
};

// Keeps every n-th of the finite ones, so that there are at most kMaxFrames, and likewise of the others. Returns how many are gone.
std::size_t thin_out(std::vector<Place>& places) {
  std::array<std::size_t, 2> counts{}, seen{};
  for (const Place& place : places) ++counts[place.is_finite];
  const auto is_left_out = [&](const Place& place) {
    const std::size_t stride = (counts[place.is_finite] + HistoryReader::kMaxFrames - 1) / HistoryReader::kMaxFrames;
    return seen[place.is_finite]++ % stride != 0;
  };
  std::vector<Place> kept;
  for (const Place& place : places) {
    if (!is_left_out(place)) kept.push_back(place);
  }
  places.swap(kept);
  return kept.size() - places.size();
}

}  // namespace

TensorSeriesReply HistoryReader::tensor_series(const TensorSeriesRequest& request) {
  return connection_->answer([&] {
    std::uint64_t after = 0;
    const ReadRing ring = connection_->ring(request.run, request.since, after);
    const auto schema = connection_->schema(ring.row);
    const std::size_t index = row_of(*schema, request.kind, request.tensor);
    const RowFigure figure = find_figure(schema->rows[index], request.statistic);
    const std::vector<std::uint64_t> elements = elements_of(*schema);
    TensorSeriesReply reply;
    reply.attempt = ring.attempt;
    reply.next = {ring.attempt, after, ring.revision};

    // The index alone tells which frames there are.
    std::vector<Place> places;
    Statement list(connection_->database(),
                   "SELECT id, step, nonfinite FROM frames WHERE ring = ? AND step > ? AND step <= ? ORDER BY step");
    for (Query query(list, ring.row, std::min(after, kMaxStep), std::min(request.until, kMaxStep)); query.next();)
      places.push_back({query.integer(0), query.word(1), query.integer(2) == 0});
    if (places.empty()) return reply;
    reply.next.step = places.back().step;
    const std::uint64_t first_step = places.front().step, range = places.back().step - first_step + 1;
    reply.passed_over = thin_out(places);
    const std::size_t max_points = std::clamp<std::size_t>(request.max_points, 1, kMaxPoints);
    const std::uint64_t width = bucket_width(range, places.size(), max_points);
    reply.is_downsampled = width > 0;
    Downsampler sampler(first_step, width);
    Statement read(connection_->database(), "SELECT time_ns, tensors FROM frames WHERE id = ?");
    for (const Place& place : places) {
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

}  // namespace vigil
