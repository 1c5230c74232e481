// Work on the tensors of a model, several at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

namespace vigil {

/// Calls `work(i)` for each i of `order`, in that order, on `threads` threads (0: as many as the machine runs at once) of which the caller
/// is one; with fewer where they cannot be started. Returns when all is done, or, when `work` has thrown, none runs any more.
/// @throws what `work` threw first
void for_each_at_once(const std::vector<std::size_t>& order, unsigned threads, const std::function<void(std::size_t)>& work);

/// Indices of `sizes`, the largest first: so that the last to be taken are small, and the threads end together.
std::vector<std::size_t> largest_first(const std::vector<std::uint64_t>& sizes);

/// Tells of bytes that are done, from any thread.
class ByteProgress {
 public:
  using Report = std::function<void(std::uint64_t done, std::uint64_t all)>;
  ByteProgress(const Report& report, std::uint64_t all) : report_(report), all_(all) {}

  void add(std::uint64_t bytes) {
    if (!report_) return;
    const std::lock_guard lock(mutex_);
    done_ += bytes;
    report_(done_, all_);
  }

 private:
  const Report& report_;
  const std::uint64_t all_;
  std::mutex mutex_;
  std::uint64_t done_ = 0;
};

}  // namespace vigil
