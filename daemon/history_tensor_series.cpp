// HistoryReader: figures of tensors over the frames that are kept.
#include <algorithm>

#include "vigil/daemon/history_connection.h"
#include "vigil/history/frame_series.h"

namespace vigil {
namespace {

// Within HistoryConnection::answer().
class StoredFrames final : public FrameSource {
 public:
  StoredFrames(HistoryConnection& connection, const ReadRing& ring)
      : connection_(connection), ring_(ring), read_(connection.database(), "SELECT time_ns, tensors FROM frames WHERE id = ?") {}

  // The index alone tells which there are.
  std::vector<FramePlace> places(std::uint64_t after, std::uint64_t until) override {
    std::vector<FramePlace> places;
    Statement list(connection_.database(),
                   "SELECT id, step, nonfinite FROM frames WHERE ring = ? AND step > ? AND step <= ? ORDER BY step");
    for (Query query(list, ring_.row, std::min(after, kMaxStep), std::min(until, kMaxStep)); query.next();)
      places.push_back({query.integer(0), query.word(1), query.integer(2) == 0});
    return places;
  }
  Tensors read(const FramePlace& place) override {
    query_.emplace(read_, place.id);
    if (!query_->next()) throw DamagedData("a frame is in the index only");
    return {query_->integer(0), query_->blob(1)};
  }
  void check_time() override {
    query_.reset();
    connection_.check_time();
  }

 private:
  HistoryConnection& connection_;
  const ReadRing ring_;
  Statement read_;
  std::optional<Query> query_;  // holds what read() gave
};

}  // namespace

TensorSeriesReply HistoryReader::tensor_series(const TensorSeriesRequest& request) {
  return connection_->answer([&] {
    std::uint64_t after = 0;
    const ReadRing ring = connection_->ring(request.run, request.since, after);
    StoredFrames frames(*connection_, ring);
    return read_tensor_series(frames, *connection_->schema(ring.row), {ring.attempt, after, ring.revision}, request);
  });
}

HeatmapReply HistoryReader::heatmap(const HeatmapRequest& request) {
  return connection_->answer([&] {
    std::uint64_t after = 0;
    const ReadRing ring = connection_->ring(request.run, request.since, after);
    StoredFrames frames(*connection_, ring);
    return read_heatmap(frames, connection_->schema(ring.row), {ring.attempt, after, ring.revision}, request);
  });
}

}  // namespace vigil
