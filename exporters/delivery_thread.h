// A thread of its own for a receiver that may be slow or dead.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>

namespace vigil {

/// What the work of a delivery thread asks and tells. It outlives the DeliveryThread where the work itself has destroyed that. Any thread.
class DeliveryStatus {
 public:
  using Clock = std::chrono::steady_clock;

  /// True once those who stop the thread have lost their patience: what waits for I/O is to give up, and nothing new is to begin.
  bool must_stop() const noexcept;
  void note_failure(const std::string& reason);
  /// Failures since the last call, and the latest one's reason.
  std::pair<std::uint64_t, std::string> take_failures();

  /// The time from which must_stop() holds; an earlier one stays.
  void set_deadline(Clock::time_point deadline) noexcept;
  Clock::time_point deadline() const noexcept;

 private:
  // relaxed: a lone number, nothing is published with it.
  std::atomic<Clock::rep> deadline_{Clock::time_point::max().time_since_epoch().count()};
  std::mutex mutex_;
  std::uint64_t failures_ = 0;
  std::string reason_;
};

/// Runs `work` when it is woken and when the time that it asked for has come. What it cannot deliver stays with it.
class DeliveryThread {
 public:
  using Clock = DeliveryStatus::Clock;
  /// Returns when it wants to be called again; empty: when it is woken. Runs on the thread. What it throws is counted as a failure, and it
  /// is called again after a second. Work that may destroy its DeliveryThread owns all that it uses.
  using Work = std::function<std::optional<Clock::time_point>(DeliveryStatus& status)>;

  /// `name` is the thread's, up to 15 bytes. All signals are blocked in it. @throws std::system_error
  DeliveryThread(const std::string& name, Work work);
  /// Ends the thread and joins it; from within `work` it cannot be joined, and ends by itself once `work` has returned.
  ~DeliveryThread();
  DeliveryThread(const DeliveryThread&) = delete;
  DeliveryThread& operator=(const DeliveryThread&) = delete;

  void wake();
  /// Begins the time that stop() waits, and has the work look once more. Those who stop several threads tell all of them first.
  void begin_stop(std::chrono::milliseconds grace) noexcept;
  /// Waits until `is_done()` holds, asked after each call of `work`, but no longer than `grace` since begin_stop() or this call, then ends
  /// the thread. Idempotent. `is_done` calls nothing of this object. Called from within `work` it waits for nothing: the thread ends when
  /// `work` returns, and another stop() or the destructor joins it.
  void stop(std::chrono::milliseconds grace, const std::function<bool()>& is_done) noexcept;
  /// Whether the caller is within `work`.
  bool is_current() const noexcept;
  DeliveryStatus& status() const noexcept;

 private:
  struct State;
  static void run(State& state, const std::string& name) noexcept;

  const std::shared_ptr<State> state_;  // also of the thread
  std::thread thread_;
};

/// How long to wait before the next try: half a second at first, then twice as long each time, at most 15 s.
class Backoff {
 public:
  using Pause = std::chrono::milliseconds;

  Backoff() = default;
  /// Likewise from `first` to `longest`, and of that a part between half and all by chance, so that those who lost the same receiver at the
  /// same time do not come back together. Equal seeds make equal pauses.
  Backoff(Pause first, Pause longest, std::uint32_t seed)
      : first_(first), longest_(longest), wait_(first), chance_(seed), has_chance_(true) {}

  Pause next() noexcept {
    const Pause wait = wait_;
    wait_ = std::min(2 * wait_, longest_);
    return has_chance_ ? wait / 2 + (wait / 2) * static_cast<Pause::rep>(chance_() % 1025) / 1024 : wait;
  }
  /// At least what the receiver asks for, as far as that is no longer than ten minutes: a wrong header does not end a delivery.
  Pause next(Pause asked) noexcept { return std::max(next(), std::min<Pause>(asked, kLongestAsked)); }
  void reset() noexcept { wait_ = first_; }

  static constexpr std::chrono::minutes kLongestAsked{10};

 private:
  Pause first_{500}, longest_{15'000};
  Pause wait_ = first_;
  std::minstd_rand chance_;
  bool has_chance_ = false;
};

}  // namespace vigil
