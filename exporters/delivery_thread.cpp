#include "vigil/exporters/delivery_thread.h"

#include <pthread.h>

#include <condition_variable>
#include <exception>

#include "vigil/exporters/signal_mask.h"

namespace vigil {

bool DeliveryStatus::must_stop() const noexcept { return Clock::now() >= deadline(); }

DeliveryStatus::Clock::time_point DeliveryStatus::deadline() const noexcept {
  return Clock::time_point(Clock::duration(deadline_.load(std::memory_order_relaxed)));
}

void DeliveryStatus::set_deadline(Clock::time_point deadline) noexcept {
  const Clock::rep wanted = deadline.time_since_epoch().count();
  Clock::rep now = deadline_.load(std::memory_order_relaxed);
  while (wanted < now && !deadline_.compare_exchange_weak(now, wanted, std::memory_order_relaxed)) {
  }
}

void DeliveryStatus::note_failure(const std::string& reason) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++failures_;
  reason_ = reason;
}

std::pair<std::uint64_t, std::string> DeliveryStatus::take_failures() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {std::exchange(failures_, 0), std::exchange(reason_, {})};
}

struct DeliveryThread::State {
  explicit State(Work its_work) : work(std::move(its_work)) {}

  const Work work;
  DeliveryStatus status;
  std::mutex mutex;
  std::condition_variable woken, worked;
  bool is_woken = false, is_ending = false, has_ended = false;
};

namespace {
thread_local const void* current_state = nullptr;  // of the thread that runs
}  // namespace

DeliveryThread::DeliveryThread(const std::string& name, Work work) : state_(std::make_shared<State>(std::move(work))) {
  const SignalMask all_blocked;  // the thread inherits it
  thread_ = std::thread([state = state_, name] { run(*state, name); });
}

DeliveryThread::~DeliveryThread() {
  stop(std::chrono::milliseconds(0), [] { return true; });
  if (thread_.joinable()) thread_.detach();  // it is this one, and shares what it still uses
}

void DeliveryThread::wake() {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->is_woken = true;
  state_->woken.notify_one();
}

bool DeliveryThread::is_current() const noexcept { return current_state == state_.get(); }

DeliveryStatus& DeliveryThread::status() const noexcept { return state_->status; }

void DeliveryThread::run(State& state, const std::string& name) noexcept {
  pthread_setname_np(pthread_self(), name.c_str());
  current_state = &state;
  std::unique_lock<std::mutex> lock(state.mutex);
  std::optional<Clock::time_point> next;
  while (!state.is_ending) {
    const auto has_work = [&state] { return state.is_woken || state.is_ending; };
    if (next) {
      state.woken.wait_until(lock, *next, has_work);
    } else {
      state.woken.wait(lock, has_work);
    }
    if (state.is_ending) break;
    state.is_woken = false;
    lock.unlock();
    try {
      next = state.work(state.status);
    } catch (const std::exception& error) {
      next = Clock::now() + std::chrono::seconds(1);
      state.status.note_failure(error.what());
    } catch (...) {
      next = Clock::now() + std::chrono::seconds(1);
      state.status.note_failure("something that is no std::exception was thrown");
    }
    lock.lock();
    state.worked.notify_all();
  }
  state.has_ended = true;
  state.worked.notify_all();
}

void DeliveryThread::begin_stop(std::chrono::milliseconds grace) noexcept {
  state_->status.set_deadline(Clock::now() + grace);
  wake();
}

void DeliveryThread::stop(std::chrono::milliseconds grace, const std::function<bool()>& is_done) noexcept {
  if (!thread_.joinable()) return;
  begin_stop(grace);
  {
    std::unique_lock<std::mutex> lock(state_->mutex);
    // Asked under the lock: an end of `work` between the question and the wait would be missed.
    if (!is_current()) state_->worked.wait_until(lock, state_->status.deadline(), [&] { return state_->has_ended || is_done(); });
    state_->is_ending = true;
    state_->status.set_deadline(Clock::now());
    state_->woken.notify_one();
  }
  if (!is_current()) thread_.join();
}

}  // namespace vigil
