#include "vigil/daemon/sample_queue.h"

#include <cstddef>
#include <utility>

namespace vigil {

void SampleQueue::drop_front() {
  const SampleBlock& block = blocks_.front();
  dropped_ += block.values.size();
  samples_ -= block.values.size();
  bytes_ -= block.bytes();
  block.progress->finish(block.timestamp_ms);
  blocks_.pop_front();
}

SampleQueue::Pushed SampleQueue::push(SampleBlock block) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::uint64_t before = dropped_;
  samples_ += block.values.size();
  bytes_ += block.bytes();
  blocks_.push_back(std::move(block));
  while (bytes_ > max_bytes_) drop_front();
  return {samples_, dropped_ - before};
}

void SampleQueue::take(std::size_t max_samples, std::vector<SampleBlock>& batch) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::size_t room = max_samples;
  while (!blocks_.empty() && blocks_.front().values.size() <= room) {
    SampleBlock& block = blocks_.front();
    room -= block.values.size();
    samples_ -= block.values.size();
    bytes_ -= block.bytes();
    batch.push_back(std::move(block));
    blocks_.pop_front();
  }
  if (blocks_.empty() || blocks_.front().values.size() <= max_samples) return;  // it fits into the next batch
  SampleBlock& large = blocks_.front();
  bytes_ -= large.bytes();
  samples_ -= room;
  const auto begin = large.values.begin(), end = begin + static_cast<std::ptrdiff_t>(room);
  SampleBlock part;
  part.timestamp_ms = large.timestamp_ms;
  part.values.assign(begin, end);
  part.owner = large.owner;
  large.values.erase(begin, end);
  bytes_ += large.bytes();
  if (room > 0) batch.push_back(std::move(part));
}

void SampleQueue::abandon() {
  const std::lock_guard<std::mutex> lock(mutex_);
  dropped_ += samples_;
  samples_ = bytes_ = 0;
  blocks_.clear();
}

std::size_t SampleQueue::samples() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return samples_;
}

std::size_t SampleQueue::bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return bytes_;
}

std::uint64_t SampleQueue::dropped() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return dropped_;
}

}  // namespace vigil
