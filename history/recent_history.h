// What a trainer keeps of its own run, in memory that has a bound: the history that its page is drawn from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vigil/history/downsampling.h"
#include "vigil/history/run_history.h"
#include "vigil/history/series_builder.h"
#include "vigil/history/step_columns.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// The one attempt of one rank of a run, as attempt 1. Steps are packed in blocks; where these outgrow their half of the memory the oldest
/// are kept as summaries (extremes and non-finite values stay), and these are joined, two at a time, when they become many: the whole of a
/// run stays in sight. Of frames, which have the other half, every second one of the older goes then, finite ones and others by themselves.
///
/// One thread adds, any number asks; the lock between them is held for copying pointers and the latest steps, not while an answer is put
/// together.
class RecentHistory final : public RunHistory {
 public:
  /// Of phases and checkpoints, and as many of all other kinds; and the bytes of their texts, of each of the two.
  static constexpr std::size_t kMaxKeptEvents = 1000, kMaxEventBytes = std::size_t{1} << 20;
  static constexpr std::size_t kMinBytes = std::size_t{1} << 20;

  /// `schema` is not null. `max_bytes`, at least kMinBytes, bounds what packed steps and frames take: up to 512 steps that are not packed
  /// yet (half a kilobyte each, or so), the latest two frames and events are beside it.
  RecentHistory(std::shared_ptr<const Schema> schema, std::size_t max_bytes);

  /// `scalars` are all of the record's doubles; `names` those of its user scalars. A step that is not later than the latest is passed over,
  /// but where it is that one again (StepRecord::again), for its user scalars.
  void add_step(const StepRecord& record, const double* scalars, const NameTable& names);
  void add_frame(const Frame& frame);
  /// `json` is an object. Where there are too many the oldest goes, and is counted.
  void add_event(std::string_view kind, std::uint64_t step, std::int64_t time_ns, std::string json);
  /// `ended_ns` 0: it goes on. A change is an event of the kind "state" with this `json`.
  void set_state(std::string_view state, std::string_view reason, std::int64_t ended_ns, std::string json);

  std::size_t bytes() const;

  std::vector<HistoryRun> runs(std::size_t max_attempts = kMaxRuns) override;
  std::vector<SeriesName> series_names(const RunSelector& run) override;
  SeriesReply series(const SeriesRequest& request) override;
  HistoryFrame frame(const RunSelector& run, std::optional<std::uint64_t> step = {}) override;
  HistoryDistribution distribution(const RunSelector& run, TensorKind kind, const std::string& tensor,
                                   std::optional<std::uint64_t> step = {}) override;
  TensorSeriesReply tensor_series(const TensorSeriesRequest& request) override;
  HeatmapReply heatmap(const HeatmapRequest& request) override;
  EventsReply events(const EventsRequest& request) override;

 private:
  struct KeptEvents {
    std::deque<HistoryEvent> events;  // by id
    std::size_t bytes = 0;
  };
  struct KeptFrame {
    FrameHeader header;
    bool is_finite = true;
    std::string tensors, histograms, activations;
    std::size_t bytes() const noexcept { return sizeof(KeptFrame) + tensors.size() + histograms.size() + activations.size(); }
  };
  class Frames;

  void bound_steps();
  void bound_frames();
  void join_summaries();
  std::size_t step_bytes() const noexcept;
  void check(const RunSelector& run) const;
  HistoryCursor start_of(const RunSelector& run, const std::optional<HistoryCursor>& since) const;
  std::pair<HistoryCursor, Frames> frames_after(const RunSelector& run, const std::optional<HistoryCursor>& since) const;
  std::shared_ptr<const KeptFrame> find_frame(std::optional<std::uint64_t> step) const;
  void push_event(std::string_view kind, std::uint64_t step, std::int64_t time_ns, std::string json);

  const std::shared_ptr<const Schema> schema_;
  const std::vector<std::uint64_t> elements_;
  std::vector<std::uint64_t> infinite_;
  const std::size_t max_bytes_;

  mutable std::mutex mutex_;  // of all that follows
  HistoryAttempt attempt_;
  std::uint64_t revision_ = 0;
  std::vector<std::string> scalar_names_;
  // What pointers lead to never changes: who asks holds it.
  std::vector<std::shared_ptr<const SummarizedSteps>> summaries_;  // the oldest steps
  std::deque<std::shared_ptr<const StepBlock>> blocks_;            // then these
  StepRows rows_;                                                  // and these, among them the latest
  std::size_t block_bytes_ = 0, summary_bytes_ = 0, frame_bytes_ = 0;
  std::vector<std::shared_ptr<const KeptFrame>> frames_;  // by step
  std::vector<LayerLabel> layers_;
  KeptEvents marks_, others_;  // phases and checkpoints; all else
  std::int64_t last_event_ = 0;
  std::uint64_t events_lost_ = 0;
};

}  // namespace vigil
