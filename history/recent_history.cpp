#include "vigil/history/recent_history.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "vigil/history/frame_columns.h"
#include "vigil/history/frame_series.h"
#include "vigil/history/tensor_figures.h"

namespace vigil {
namespace {

constexpr std::int64_t kAttempt = 1;
// Of the memory of steps, what their summaries may take before they are joined.
constexpr std::size_t kSummaryShare = 3;

std::size_t bytes_of(const StepBlock& block) noexcept {
  return sizeof block + block.axis.size() + block.summary.size() + block.data.size();
}

}  // namespace

// The frames that there were at one moment.
class RecentHistory::Frames final : public FrameSource {
 public:
  explicit Frames(std::vector<std::shared_ptr<const KeptFrame>> frames) : frames_(std::move(frames)) {}

  std::vector<FramePlace> places(std::uint64_t after, std::uint64_t until) override {
    std::vector<FramePlace> places;
    for (std::size_t i = 0; i < frames_.size(); ++i) {
      const std::uint64_t step = frames_[i]->header.step;
      if (step > after && step <= until) places.push_back({static_cast<std::int64_t>(i), step, frames_[i]->is_finite});
    }
    return places;
  }
  Tensors read(const FramePlace& place) override {
    const KeptFrame& frame = *frames_[static_cast<std::size_t>(place.id)];
    return {frame.header.wall_time_ns, frame.tensors};
  }

 private:
  const std::vector<std::shared_ptr<const KeptFrame>> frames_;
};

RecentHistory::RecentHistory(std::shared_ptr<const Schema> schema, std::size_t max_bytes)
    : schema_(std::move(schema)),
      elements_(elements_of(*schema_)),
      max_bytes_(std::max(max_bytes, kMinBytes)),
      rows_(std::min(schema_->learning_rates, kMaxLearningRates)) {
  for (const RowSchema& row : schema_->rows) infinite_.push_back(row.infinite);
  attempt_.identity = schema_->identity;
  attempt_.attempt = kAttempt;
}

void RecentHistory::add_step(const StepRecord& record, const double* scalars, const NameTable& names) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::size_t known = std::min<std::size_t>(names.size(), ScalarNames::kCapacity);
  const double* const users = scalars + schema_->learning_rates;
  const bool is_again = record.has(StepRecord::again) && record.step == attempt_.last_step && rows_.size() > 0;
  if (!is_again && record.step <= attempt_.last_step) return;
  while (scalar_names_.size() < std::min<std::size_t>(record.user_scalars, known))
    scalar_names_.emplace_back(names.at(scalar_names_.size()));
  if (is_again) {
    ++revision_;
    return rows_.set_scalars(record, scalars, users, known);
  }
  rows_.add(record, scalars, users, known);
  if (attempt_.steps++ == 0) {
    attempt_.first_step = record.step;
    attempt_.first_time_ns = record.wall_time_ns;
  }
  attempt_.last_step = record.step;
  attempt_.last_time_ns = record.wall_time_ns;
  // The scalars of the latest step may still change.
  if (rows_.size() <= kBlockSteps) return;
  blocks_.push_back(std::make_shared<const StepBlock>(make_block(rows_, kBlockSteps)));
  rows_.remove_front(kBlockSteps);
  block_bytes_ += bytes_of(*blocks_.back());
  bound_steps();
}

void RecentHistory::bound_steps() {
  while (step_bytes() > max_bytes_ / 2 && !blocks_.empty()) {
    block_bytes_ -= bytes_of(*blocks_.front());
    summaries_.push_back(std::make_shared<const SummarizedSteps>(summarize(*blocks_.front())));
    summary_bytes_ += summaries_.back()->bytes();
    blocks_.pop_front();
    if (summary_bytes_ > max_bytes_ / 2 / kSummaryShare) join_summaries();
  }
}

void RecentHistory::join_summaries() {
  std::vector<std::shared_ptr<const SummarizedSteps>> joined;
  summary_bytes_ = 0;
  for (std::size_t i = 0; i < summaries_.size(); i += 2) {
    SummarizedSteps both = *summaries_[i];
    if (i + 1 < summaries_.size()) both.add(*summaries_[i + 1]);
    summary_bytes_ += both.bytes();
    joined.push_back(std::make_shared<const SummarizedSteps>(std::move(both)));
  }
  summaries_.swap(joined);
}

std::size_t RecentHistory::step_bytes() const noexcept { return block_bytes_ + summary_bytes_; }

void RecentHistory::add_frame(const Frame& frame) {
  if (frame.rows.size() != elements_.size() || frame.histograms.size() != schema_->histograms) return;
  auto kept = std::make_shared<KeptFrame>();
  kept->header = frame.header;
  kept->header.activations = std::min(frame.activations.size(), frame.layers.size());
  kept->is_finite = is_finite(frame, infinite_);
  kept->tensors = pack_rows(frame.rows, elements_);
  kept->histograms = pack_histograms(frame.histograms);
  kept->activations =
      pack_activations({frame.activations.begin(), frame.activations.begin() + static_cast<std::ptrdiff_t>(kept->header.activations)});
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!frames_.empty() && kept->header.step <= frames_.back()->header.step) return;
  for (std::size_t i = layers_.size(); i < kept->header.activations; ++i) layers_.push_back(frame.layers[i]);
  frame_bytes_ += kept->bytes();
  frames_.push_back(std::move(kept));
  bound_frames();
}

void RecentHistory::bound_frames() {
  const std::size_t most = max_bytes_ - max_bytes_ / 2;
  while (frame_bytes_ > most && frames_.size() > 2) {
    // Of the kind that takes more every second one goes, but for the latest of all; where that is none, the oldest.
    std::size_t finite = 0;
    for (const auto& frame : frames_) finite += frame->is_finite ? frame->bytes() : 0;
    const bool is_of_finite = finite >= frame_bytes_ - finite;
    std::size_t seen = 0;
    const auto goes = [&](const std::shared_ptr<const KeptFrame>& frame) {
      return frame->is_finite == is_of_finite && seen++ % 2 == 1 && frame != frames_.back();
    };
    std::vector<std::shared_ptr<const KeptFrame>> left;
    for (const auto& frame : frames_) {
      if (!goes(frame)) left.push_back(frame);
    }
    if (left.size() == frames_.size()) left.erase(left.begin());
    frames_.swap(left);
    frame_bytes_ = 0;
    for (const auto& frame : frames_) frame_bytes_ += frame->bytes();
  }
}

void RecentHistory::push_event(std::string_view kind, std::uint64_t step, std::int64_t time_ns, std::string json) {
  // Apart, so that many phases push no alert out of sight.
  KeptEvents& kept = kind == "phase" || kind == "checkpoint" ? marks_ : others_;
  kept.bytes += json.size();
  kept.events.push_back(
      {++last_event_, schema_->identity.run, schema_->identity.rank, kAttempt, std::string(kind), step, time_ns, std::move(json)});
  while (kept.events.size() > kMaxKeptEvents || kept.bytes > kMaxEventBytes) {
    kept.bytes -= kept.events.front().json.size();
    kept.events.pop_front();
    ++events_lost_;
  }
}

void RecentHistory::add_event(std::string_view kind, std::uint64_t step, std::int64_t time_ns, std::string json) {
  const std::lock_guard<std::mutex> lock(mutex_);
  push_event(kind, step, time_ns, std::move(json));
}

void RecentHistory::set_state(std::string_view state, std::string_view reason, std::int64_t ended_ns, std::string json) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool is_other = attempt_.state != state || attempt_.reason != reason;
  attempt_.state = state;
  attempt_.reason = reason;
  attempt_.ended_ns = ended_ns;
  const std::int64_t now_ns = attempt_.last_time_ns != 0 ? attempt_.last_time_ns : schema_->identity.start_time_ns;
  // It has begun before its first step, also where that has been read already.
  if (is_other) push_event("state", ended_ns != 0 ? attempt_.last_step : 0, ended_ns != 0 ? ended_ns : now_ns, std::move(json));
}

std::size_t RecentHistory::bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return step_bytes() + frame_bytes_;
}

void RecentHistory::check(const RunSelector& run) const {
  const RunIdentity& identity = schema_->identity;
  if (run.run != identity.run || run.rank != identity.rank)
    throw HistoryError(HistoryError::Kind::not_found, "this is run '" + identity.run + "' of rank " + std::to_string(identity.rank) +
                                                          "; there is no run '" + run.run + "' of rank " + std::to_string(run.rank));
  if (run.attempt && *run.attempt != kAttempt)
    throw HistoryError(HistoryError::Kind::not_found, "a trainer knows its own attempt only, which is 1 here");
}

HistoryCursor RecentHistory::start_of(const RunSelector& run, const std::optional<HistoryCursor>& since) const {
  check(run);
  return {kAttempt, since && (since->attempt == 0 || since->attempt == kAttempt) ? since->step : 0, revision_};
}

std::vector<HistoryRun> RecentHistory::runs(std::size_t) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {{schema_->identity.run, schema_->identity.rank, {attempt_}}};
}

std::vector<SeriesName> RecentHistory::series_names(const RunSelector& run) {
  const std::lock_guard<std::mutex> lock(mutex_);
  check(run);
  return vigil::series_names(*schema_, scalar_names_);
}

SeriesReply RecentHistory::series(const SeriesRequest& request) {
  SeriesReply reply;
  SeriesBuilder::Range range;
  std::vector<SeriesSource> sources;
  std::vector<std::shared_ptr<const SummarizedSteps>> summaries;
  std::vector<std::shared_ptr<const StepBlock>> blocks;
  StepRows rows;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const HistoryCursor start = start_of(request.run, request.since);
    sources = begin_series(request.names, *schema_, scalar_names_, reply.series);
    range.until = std::min(request.until, attempt_.last_step);
    range.from = start.step + 1;
    const bool is_revised =
        request.since && start.step > 0 && request.since->revision != HistoryCursor::kAnyRevision && request.since->revision != revision_;
    range.scalars_from = is_revised ? start.step : range.from;
    reply.attempt = kAttempt;
    reply.next = {kAttempt, std::max(start.step, range.until), revision_};
    if (range.scalars_from > range.until) return reply;
    const auto is_in = [&range](const auto& steps) { return steps->last_step >= range.scalars_from && steps->first_step <= range.until; };
    std::copy_if(summaries_.begin(), summaries_.end(), std::back_inserter(summaries), is_in);
    std::copy_if(blocks_.begin(), blocks_.end(), std::back_inserter(blocks), is_in);
    rows = rows_;
  }
  std::uint64_t steps = rows.size();
  for (const auto& summary : summaries) steps += summary->steps;
  for (const auto& block : blocks) steps += block->steps;
  const std::size_t max_points = std::clamp<std::size_t>(request.max_points, 1, kMaxPoints);
  SeriesBuilder builder(range, bucket_width(range.until - range.scalars_from + 1, steps, max_points), std::move(sources));
  reply.is_downsampled = builder.width() > 0 || !summaries.empty();
  for (const auto& summary : summaries) builder.add(*summary);
  for (const auto& block : blocks) {
    if (builder.takes_summary(block->first_step, block->last_step)) {
      builder.add(block->axis, block->summary, block->steps, {block->first_nonfinite, block->last_nonfinite, block->nonfinite});
    } else {
      builder.add({block->steps, block->axis, block->data});
    }
  }
  if (rows.size() > 0) {
    const std::string packed = rows.pack();
    builder.add({rows.size(), packed, packed});
  }
  builder.finish(reply.series, reply.nonfinite);
  return reply;
}

std::shared_ptr<const RecentHistory::KeptFrame> RecentHistory::find_frame(std::optional<std::uint64_t> step) const {
  const auto later = step ? std::upper_bound(frames_.begin(), frames_.end(), *step,
                                             [](std::uint64_t asked, const auto& frame) { return asked < frame->header.step; })
                          : frames_.end();
  if (later == frames_.begin())
    throw HistoryError(HistoryError::Kind::not_found,
                       "no frame has been sampled" + (step ? " up to step " + std::to_string(*step) : std::string(" yet")));
  return *std::prev(later);
}

HistoryFrame RecentHistory::frame(const RunSelector& run, std::optional<std::uint64_t> step) {
  HistoryFrame frame;
  std::shared_ptr<const KeptFrame> kept;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    check(run);
    kept = find_frame(step);
    frame.layers.assign(layers_.begin(), layers_.begin() + static_cast<std::ptrdiff_t>(kept->header.activations));
  }
  frame.attempt = kAttempt;
  frame.header = kept->header;
  frame.is_finite = kept->is_finite;
  frame.schema = schema_;
  frame.rows = read_rows(kept->tensors, elements_);
  frame.histograms = read_histograms(kept->histograms, schema_->histograms);
  frame.activations = read_activations(kept->activations, kept->header.activations);
  return frame;
}

HistoryDistribution RecentHistory::distribution(const RunSelector& run, TensorKind kind, const std::string& tensor,
                                                std::optional<std::uint64_t> step) {
  check(run);
  const std::size_t index = row_of(*schema_, kind, tensor);
  const std::size_t histogram = histogram_of(schema_->rows[index]);
  std::shared_ptr<const KeptFrame> kept;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    kept = find_frame(step);
  }
  return {kAttempt, kept->header.step, kept->header.wall_time_ns, read_histogram(kept->histograms, histogram),
          read_row(kept->tensors, elements_, index).moments};
}

TensorSeriesReply RecentHistory::tensor_series(const TensorSeriesRequest& request) {
  auto [start, frames] = frames_after(request.run, request.since);
  return read_tensor_series(frames, *schema_, start, request);
}

HeatmapReply RecentHistory::heatmap(const HeatmapRequest& request) {
  auto [start, frames] = frames_after(request.run, request.since);
  return read_heatmap(frames, schema_, start, request);
}

std::pair<HistoryCursor, RecentHistory::Frames> RecentHistory::frames_after(const RunSelector& run,
                                                                            const std::optional<HistoryCursor>& since) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {start_of(run, since), Frames(frames_)};
}

EventsReply RecentHistory::events(const EventsRequest& request) {
  if (request.run) check(*request.run);
  const std::size_t most = std::min(request.max_events, kMaxEvents);
  EventsReply reply;
  reply.next = request.since.value_or(0);
  const auto is_asked = [&request](const HistoryEvent& event) {
    const bool is_of_kind =
        request.kinds.empty() || std::find(request.kinds.begin(), request.kinds.end(), event.kind) != request.kinds.end();
    return is_of_kind && event.id > request.since.value_or(0);
  };
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const KeptEvents* kept : {&marks_, &others_})
      std::copy_if(kept->events.begin(), kept->events.end(), std::back_inserter(reply.events), is_asked);
    reply.lost = events_lost_;
  }
  std::sort(reply.events.begin(), reply.events.end(), [](const HistoryEvent& a, const HistoryEvent& b) { return a.id < b.id; });
  // With a place to go on from the next ones, else the latest.
  if (reply.events.size() > most && request.since) reply.events.resize(most);
  if (reply.events.size() > most) reply.events.erase(reply.events.begin(), reply.events.end() - static_cast<std::ptrdiff_t>(most));
  if (!reply.events.empty()) reply.next = reply.events.back().id;
  return reply;
}

}  // namespace vigil
