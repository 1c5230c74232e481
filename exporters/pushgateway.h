// What is left of a run when it is over, at a Prometheus Pushgateway.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/exporters/delivery_thread.h"
#include "vigil/exporters/header_files.h"
#include "vigil/exporters/http_post.h"
#include "vigil/exporters/metric_families.h"
#include "vigil/exporters/run_log.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// How a run ended.
enum class RunEnd : std::uint8_t { finished, failed, crashed };
inline constexpr std::array<std::string_view, 3> kRunEndNames{"finished", "failed", "crashed"};

/// The metrics of kResultMetrics that have a value, with the label `run`. `snapshot` is the run's last one; its schema is not null.
/// `end_time_ns` is when the run ended, since the epoch.
std::vector<Family> make_result_families(const Snapshot& snapshot, RunEnd end, std::int64_t end_time_ns);

/// Where a gateway keeps the results of a run: "/metrics/job/mnist"; "/metrics/job@base64/Y252L2E" of a name with other characters than
/// letters, digits and -_.~
std::string result_path(std::string_view run);

struct PushgatewayOptions {
  std::string url;                            ///< e.g. http://127.0.0.1:9091
  HeaderFiles files;                          ///< headers and basic authentication; read anew for each request
  std::chrono::milliseconds timeout{10'000};  ///< a request that takes longer has failed; 100 ms to 10 min
  int max_tries = 20;                         ///< of one message, in 2 to 4 min; 1 to 1000
  std::size_t max_waiting = 1024;             ///< messages; 1 to 100,000. When there is no room, the oldest goes
};

/// What has become of the messages so far.
struct PushgatewayCounters {
  std::uint64_t sent = 0;      ///< taken by the gateway
  std::uint64_t failed = 0;    ///< refused by it (4xx), or given up after max_tries
  std::uint64_t dropped = 0;   ///< there was no room, or stop() left them
  std::uint64_t retried = 0;   ///< tries after the first
  std::uint64_t replaced = 0;  ///< a later message about the same run took their place
  std::size_t waiting = 0;
};

/// Tells a gateway of results, one message after the other, on a thread of its own. A message about a run takes the place of one that still
/// waits. Any thread.
class Pushgateway {
 public:
  /// @throws std::invalid_argument when an option is out of its range, or a file that it names is wrong
  explicit Pushgateway(PushgatewayOptions options);
  /// Ends at once; what waits is dropped.
  ~Pushgateway();
  Pushgateway(const Pushgateway&) = delete;
  Pushgateway& operator=(const Pushgateway&) = delete;

  /// Whether a gateway may be at this URL, to which paths are appended.
  static bool is_url(std::string_view text) noexcept;

  /// The run is over: its result replaces (PUT) what the gateway has of the run. Of rank 0 only; of others, and of a run without a name,
  /// nothing is sent.
  void put(const Snapshot& last, RunEnd end, std::int64_t end_time_ns);
  /// The run starts, again perhaps: the gateway is to forget (DELETE) the result of its last time.
  void remove(const RunIdentity& identity);

  PushgatewayCounters counters() const;
  void begin_stop(std::chrono::milliseconds grace) noexcept;
  /// Waits up to `grace` since begin_stop() or this call, and up to a second more for a request under way; logs what is left. Idempotent.
  void stop(std::chrono::milliseconds grace) noexcept;

 private:
  struct Message {
    std::string run, path;
    bool is_removal = false;
    std::string body;
    int tries = 0;
    std::uint64_t number = 0;  // tells it from a later one about the same run
  };
  std::optional<DeliveryThread::Clock::time_point> deliver(DeliveryStatus& status);
  PostResult send(const Message& message, DeliveryStatus& status);
  void push(Message message);
  void settle(const Message& message, const PostResult& result);

  const PushgatewayOptions options_;
  Backoff backoff_;
  LogGate retry_gate_, failure_gate_;
  std::unique_ptr<HttpPoster> poster_;  // of the thread
  mutable std::mutex mutex_;
  std::deque<Message> messages_;
  std::uint64_t numbers_ = 0;
  PushgatewayCounters counters_;
  std::unique_ptr<DeliveryThread> thread_;  // last: it uses the others
};

}  // namespace vigil
