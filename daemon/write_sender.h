// What is sent when, and what becomes of it: batches out of a queue of samples, one after the other, each until it is taken or refused.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "vigil/daemon/sample_queue.h"
#include "vigil/daemon/write_request.h"
#include "vigil/exporters/delivery_thread.h"
#include "vigil/exporters/http_post.h"
#include "vigil/exporters/run_log.h"

namespace vigil {

/// What has become of the samples that were taken out of the queue.
struct WriteCounters {
  std::uint64_t sent = 0;                 ///< taken by the receiver
  std::uint64_t failed = 0;               ///< refused for good
  std::uint64_t requests = 0;             ///< tries, of whatever success
  std::uint64_t retried = 0;              ///< of these, those after the first since the receiver was not there, or asked for it
  std::uint64_t abandoned = 0;            ///< of those on their way, by abandon()
  std::size_t in_flight = 0;              ///< taken out of the queue and neither sent nor failed so far
  std::size_t waiting = 0;                ///< in the queue
  std::int64_t highest_timestamp_ms = 0;  ///< of those sent; 0: none so far
};

struct WriteSenderOptions {
  std::size_t max_samples = 2000;            ///< of a request
  std::chrono::milliseconds interval{1000};  ///< that samples wait at most for more to come
  Backoff backoff{std::chrono::milliseconds(250), std::chrono::seconds(15), 1};
};

/// One thread works, any thread asks for counters.
class WriteSender {
 public:
  using Clock = DeliveryStatus::Clock;
  /// Posts a compressed request.
  using Post = std::function<PostResult(const std::string& body)>;

  /// `queue` outlives the sender.
  WriteSender(SampleQueue& queue, WriteSenderOptions options, Post post, std::function<Clock::time_point()> now);

  /// Sends what is due: full batches, or all once the oldest has waited for the interval, or at once where `is_hasty`. Returns when to call
  /// again; empty: when there is something new. Begins no request once `must_stop()` holds.
  std::optional<Clock::time_point> work(bool is_hasty, const std::function<bool()>& must_stop);
  /// Gives up all that is in the queue or on its way, without moving its progress on. Only when work() is called no more. How many samples.
  std::size_t abandon();
  /// Whether everything was taken or refused.
  bool is_idle() const;
  WriteCounters counters() const;

 private:
  struct Batch {
    std::vector<SampleBlock> blocks;
    std::size_t samples = 0;
    std::string body;
    bool was_tried = false;
  };
  bool take(Clock::time_point now, bool is_hasty);
  void encode(Batch& batch);
  void settle(const Batch& batch, const PostResult& result);
  void log_failure(const PostResult& result, const Batch& batch, Clock::time_point now);

  SampleQueue& queue_;
  const WriteSenderOptions options_;
  const Post post_;
  const std::function<Clock::time_point()> now_;
  Backoff backoff_;
  std::deque<Batch> batches_;  // the next one in front; more than one only of a request that was refused and has been taken apart
  std::optional<Clock::time_point> waiting_since_;  // when samples were first seen in the queue
  std::optional<Clock::time_point> retry_at_, down_since_;
  bool is_down_told_ = false;
  LogGate retry_gate_, refusal_gate_;
  std::unordered_map<const std::string*, std::size_t> series_;  // of the batch that is encoded
  std::vector<std::vector<WireSample>> samples_;

  mutable std::mutex mutex_;
  WriteCounters counters_;
};

}  // namespace vigil
