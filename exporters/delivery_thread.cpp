#include "vigil/exporters/delivery_thread.h"

#include <pthread.h>

#include <exception>
#include <utility>

#include "vigil/exporters/signal_mask.h"

namespace vigil {

DeliveryThread::DeliveryThread(const std::string& name, Work work) : work_(std::move(work)) {
  const SignalMask all_blocked;  // the thread inherits it
  thread_ = std::thread([this, name] { run(name); });
}

DeliveryThread::~DeliveryThread() {
  stop(std::chrono::milliseconds(0), [] { return true; });
}

void DeliveryThread::wake() {
  const std::lock_guard<std::mutex> lock(mutex_);
  is_woken_ = true;
  woken_.notify_one();
}

void DeliveryThread::run(const std::string& name) noexcept {
  pthread_setname_np(pthread_self(), name.c_str());
  std::unique_lock<std::mutex> lock(mutex_);
  std::optional<Clock::time_point> next;
  while (!is_ending_) {
    const auto has_work = [this] { return is_woken_ || is_ending_; };
    if (next) {
      woken_.wait_until(lock, *next, has_work);
    } else {
      woken_.wait(lock, has_work);
    }
    if (is_ending_) break;
    is_woken_ = false;
    lock.unlock();
    try {
      next = work_();
    } catch (const std::exception& error) {
      next = Clock::now() + std::chrono::seconds(1);
      note_failure(error.what());
    } catch (...) {
      next = Clock::now() + std::chrono::seconds(1);
      note_failure("something that is no std::exception was thrown");
    }
    lock.lock();
    worked_.notify_all();
  }
  has_ended_ = true;
  worked_.notify_all();
}

void DeliveryThread::stop(std::chrono::milliseconds grace, const std::function<bool()>& is_done) noexcept {
  if (!thread_.joinable()) return;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    is_woken_ = true;
    woken_.notify_one();
    // Asked under the lock: an end of `work` between the question and the wait would be missed.
    worked_.wait_for(lock, grace, [&] { return has_ended_ || is_done(); });
    is_ending_ = true;
    must_stop_.store(true, std::memory_order_relaxed);  // a lone flag
    woken_.notify_one();
  }
  thread_.join();
}

void DeliveryThread::note_failure(const std::string& reason) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++failures_;
  reason_ = reason;
}

std::pair<std::uint64_t, std::string> DeliveryThread::take_failures() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {std::exchange(failures_, 0), std::exchange(reason_, {})};
}

}  // namespace vigil
