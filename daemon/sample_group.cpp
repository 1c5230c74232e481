#include "vigil/daemon/sample_group.h"

#include <utility>

#include "vigil/daemon/write_request.h"

namespace vigil {

SampleGroup::SampleGroup(std::shared_ptr<std::deque<std::string>> owner, std::shared_ptr<SampleProgress> progress, std::int64_t after_ms,
                         std::int64_t resolution_ms, std::shared_ptr<SampleLosses> losses, Sink sink)
    : owner_(std::move(owner)),
      progress_(std::move(progress)),
      after_ms_(after_ms),
      resolution_ms_(resolution_ms),
      losses_(std::move(losses)),
      sink_(std::move(sink)) {}

std::size_t SampleGroup::add_series(std::string labels, Absence absence) {
  series_.push_back({&owner_->emplace_back(std::move(labels)), absence});
  return series_.size() - 1;
}

std::int64_t SampleGroup::span_of(std::int64_t timestamp_ms) const noexcept {
  const std::int64_t span = timestamp_ms / resolution_ms_;
  return timestamp_ms < 0 && timestamp_ms % resolution_ms_ != 0 ? span - 1 : span;
}

void SampleGroup::set_bits(Series& series, std::uint64_t bits) noexcept {
  if (series.is_pending) {
    losses_->replaced.fetch_add(1, std::memory_order_relaxed);
  } else {
    series.is_pending = true;
    ++pending_;
  }
  series.bits = bits;
}

bool SampleGroup::put(std::int64_t timestamp_ms, const std::vector<Value>& values, bool is_whole) {
  if (timestamp_ms <= after_ms_) {
    for (const Value& value : values) series_[value.series].is_live = true;  // at the receiver, where end() is to end them
    return true;
  }
  if (pending_ms_ ? timestamp_ms < *pending_ms_ : timestamp_ms <= progress_->queued_ms) {
    losses_->out_of_order.fetch_add(values.size(), std::memory_order_relaxed);
    return false;
  }
  if (pending_ms_ && span_of(timestamp_ms) != span_of(*pending_ms_)) release();
  pending_ms_ = timestamp_ms;
  ++moment_;
  for (const Value& value : values) {
    Series& series = series_[value.series];
    set_bits(series, wire_bits(value.value));
    series.is_live = true;
    series.seen = moment_;
  }
  if (!is_whole) return true;
  for (Series& series : series_) {
    if (series.absence == Absence::keeps || !series.is_live || series.seen == moment_) continue;
    set_bits(series, kStaleBits);
    series.is_live = false;
  }
  return true;
}

void SampleGroup::release() {
  if (!pending_ms_) return;
  SampleBlock block;
  block.timestamp_ms = *pending_ms_;
  block.values.reserve(pending_);
  for (Series& series : series_) {
    if (!series.is_pending) continue;
    block.values.push_back({series.labels, series.bits});
    series.is_pending = false;
  }
  pending_ = 0;
  progress_->queued_ms = *pending_ms_;
  pending_ms_.reset();
  if (block.values.empty()) return;
  block.owner = owner_;
  block.progress = progress_;
  sink_(std::move(block));
}

void SampleGroup::release_before(std::int64_t now_ms) {
  if (pending_ms_ && span_of(*pending_ms_) < span_of(now_ms)) release();
}

template <class Which>
void SampleGroup::end_those(Which which) {
  release();
  if (progress_->queued_ms == SampleProgress::kNone) return;
  for (std::size_t i = 0; i < series_.size(); ++i) {
    Series& series = series_[i];
    if (!series.is_live || !which(i)) continue;
    set_bits(series, kStaleBits);
    series.is_live = false;
    pending_ms_ = progress_->queued_ms + 1;
  }
  release();
}

void SampleGroup::end() {
  end_those([](std::size_t) { return true; });
}

void SampleGroup::end_only(std::size_t series) {
  end_those([series](std::size_t i) { return i == series; });
}

}  // namespace vigil
