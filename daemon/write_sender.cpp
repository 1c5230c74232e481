#include "vigil/daemon/write_sender.h"

#include <algorithm>
#include <utility>

#include "vigil/exporters/logging.h"

namespace vigil {

WriteSender::WriteSender(SampleQueue& queue, WriteSenderOptions options, Post post, std::function<Clock::time_point()> now)
    : queue_(queue), options_(options), post_(std::move(post)), now_(std::move(now)), backoff_(options.backoff) {}

std::optional<WriteSender::Clock::time_point> WriteSender::work(bool is_hasty, const std::function<bool()>& must_stop) {
  for (;;) {
    const Clock::time_point now = now_();
    if (batches_.empty() && !take(now, is_hasty)) {
      if (!waiting_since_) return std::nullopt;
      return *waiting_since_ + options_.interval;
    }
    if (retry_at_ && now < *retry_at_) return retry_at_;
    if (must_stop()) return std::nullopt;
    Batch& batch = batches_.front();
    if (batch.body.empty()) encode(batch);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++counters_.requests;
      if (std::exchange(batch.was_tried, true)) ++counters_.retried;
    }
    const PostResult result = post_(batch.body);
    if (result.may_be_tried_again()) {
      log_failure(result, batch, now_());
      retry_at_ = now_() + backoff_.next(result.retry_after);
      continue;
    }
    backoff_.reset();
    retry_at_.reset();
    if (down_since_) {
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now_() - *down_since_).count();
      down_since_.reset();
      if (std::exchange(is_down_told_, false))
        log(LogLevel::info, "remote write: the receiver answers again after " + std::to_string(seconds) + " s; " +
                                std::to_string(queue_.samples()) + " samples wait for it");
    }
    settle(batch, result);
  }
}

// Whether there is a batch now.
bool WriteSender::take(Clock::time_point now, bool is_hasty) {
  const std::size_t waiting = queue_.samples();
  if (waiting == 0) {
    waiting_since_.reset();
    return false;
  }
  if (!waiting_since_) waiting_since_ = now;
  if (!is_hasty && waiting < options_.max_samples && now < *waiting_since_ + options_.interval) return false;
  Batch& batch = batches_.emplace_back();
  {
    // Under the lock: who asks for counters finds a sample in the queue or here.
    const std::lock_guard<std::mutex> lock(mutex_);
    queue_.take(options_.max_samples, batch.blocks);
    for (const SampleBlock& block : batch.blocks) batch.samples += block.values.size();
    counters_.in_flight += batch.samples;
  }
  if (batch.samples == 0) {  // what waited has been dropped meanwhile
    batches_.pop_back();
    return false;
  }
  // What is left came with these, or after them; where these waited for the interval it waits no longer either.
  if (queue_.samples() == 0) {
    waiting_since_.reset();
  } else if (now < *waiting_since_ + options_.interval) {
    waiting_since_ = now;
  }
  return true;
}

// The samples of each series together, as the message has them, series and samples in the order in which they were queued.
void WriteSender::encode(Batch& batch) {
  series_.clear();
  std::vector<const std::string*> labels;
  for (const SampleBlock& block : batch.blocks) {
    for (const SampleBlock::Value& value : block.values) {
      const auto [known, is_new] = series_.try_emplace(value.labels, labels.size());
      if (is_new) {
        labels.push_back(value.labels);
        if (samples_.size() < labels.size()) samples_.emplace_back();
        samples_[known->second].clear();
      }
      samples_[known->second].push_back({block.timestamp_ms, value.bits});
    }
  }
  std::string request;
  for (std::size_t i = 0; i < labels.size(); ++i) append_series(request, *labels[i], samples_[i].data(), samples_[i].size());
  batch.body = compress_request(request);
}

// Takes the front batch off, or apart.
void WriteSender::settle(const Batch& batch, const PostResult& result) {
  const auto of_same_run = [&](const SampleBlock& block) { return block.owner == batch.blocks.front().owner; };
  if (result.is_refused() && !std::all_of(batch.blocks.begin(), batch.blocks.end(), of_same_run)) {
    // A receiver takes a request as a whole or not at all: one run's fault is not to be the others'.
    std::deque<Batch> parts;
    for (SampleBlock& block : batches_.front().blocks) {
      auto part = std::find_if(parts.begin(), parts.end(), [&](const Batch& one) { return one.blocks.front().owner == block.owner; });
      if (part == parts.end()) part = parts.emplace(parts.end());
      part->samples += block.values.size();
      part->blocks.push_back(std::move(block));
    }
    batches_ = std::move(parts);
    return;
  }
  if (result.is_refused()) log_failure(result, batch, now_());
  std::int64_t highest = 0;
  for (const SampleBlock& block : batch.blocks) {
    highest = std::max(highest, block.timestamp_ms);
    if (block.progress != nullptr) block.progress->finish(block.timestamp_ms);
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    counters_.in_flight -= batch.samples;
    (result.is_success() ? counters_.sent : counters_.failed) += batch.samples;
    if (result.is_success()) counters_.highest_timestamp_ms = std::max(counters_.highest_timestamp_ms, highest);
  }
  batches_.pop_front();
}

void WriteSender::log_failure(const PostResult& result, const Batch& batch, Clock::time_point now) {
  if (result.is_refused()) {
    if (refusal_gate_.open(now))
      log(LogLevel::error, "remote write: the receiver refused " + std::to_string(batch.samples) +
                               " samples, which are lost (further refusals are logged once a minute): " + result.reason());
    return;
  }
  if (!down_since_) down_since_ = now;
  if (!retry_gate_.open(now)) return;
  is_down_told_ = true;
  log(LogLevel::warning, "remote write: the receiver cannot be reached or is not ready, samples wait: " + result.reason());
}

std::size_t WriteSender::abandon() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::size_t left = counters_.in_flight + queue_.samples();
  counters_.abandoned += std::exchange(counters_.in_flight, 0);
  batches_.clear();
  queue_.abandon();
  return left;
}

bool WriteSender::is_idle() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return counters_.in_flight == 0 && queue_.samples() == 0;
}

WriteCounters WriteSender::counters() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  WriteCounters counters = counters_;
  counters.waiting = queue_.samples();
  return counters;
}

}  // namespace vigil
