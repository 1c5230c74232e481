// A thread of its own for a receiver that may be slow or dead.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace vigil {

/// Runs `work` when it is woken and when the time that it asked for has come. What it cannot deliver stays with it.
class DeliveryThread {
 public:
  using Clock = std::chrono::steady_clock;
  /// Returns when it wants to be called again; empty: when it is woken. Runs on the thread. What it throws is counted as a failure, and it
  /// is called again after a second.
  using Work = std::function<std::optional<Clock::time_point>()>;

  /// `name` is the thread's, up to 15 bytes. All signals are blocked in it. @throws std::system_error
  DeliveryThread(const std::string& name, Work work);
  ~DeliveryThread();
  DeliveryThread(const DeliveryThread&) = delete;
  DeliveryThread& operator=(const DeliveryThread&) = delete;

  void wake();
  /// Waits until `is_done()` holds, asked after each call of `work`, but no longer than `grace`, then ends the thread. Idempotent.
  /// `is_done` calls nothing of this object.
  void stop(std::chrono::milliseconds grace, const std::function<bool()>& is_done) noexcept;
  /// True once stop() has lost its patience: what waits for I/O is to give up.
  const std::atomic<bool>& must_stop() const noexcept { return must_stop_; }

  void note_failure(const std::string& reason);
  /// Failures since the last call, and the latest one's reason.
  std::pair<std::uint64_t, std::string> take_failures();

 private:
  void run(const std::string& name) noexcept;

  const Work work_;
  std::mutex mutex_;
  std::condition_variable woken_, worked_;
  bool is_woken_ = false, is_ending_ = false, has_ended_ = false;
  std::atomic<bool> must_stop_{false};
  std::uint64_t failures_ = 0;
  std::string reason_;
  std::thread thread_;
};

/// How long to wait before the next try: half a second at first, then twice as long each time, at most 15 s.
class Backoff {
 public:
  std::chrono::milliseconds next() noexcept {
    const auto wait = wait_;
    wait_ = std::min<std::chrono::milliseconds>(2 * wait_, std::chrono::seconds(15));
    return wait;
  }
  void reset() noexcept { wait_ = kFirst; }

 private:
  static constexpr std::chrono::milliseconds kFirst{500};
  std::chrono::milliseconds wait_ = kFirst;
};

}  // namespace vigil
