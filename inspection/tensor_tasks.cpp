#include "vigil/inspection/tensor_tasks.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <numeric>
#include <system_error>
#include <thread>

namespace vigil {

void for_each_at_once(const std::vector<std::size_t>& order, unsigned threads, const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const auto take_on = [&] {
    try {
      // relaxed: a number for one thread only; what the work needs was there before the threads began.
      for (std::size_t i = next.fetch_add(1, std::memory_order_relaxed); i < order.size(); i = next.fetch_add(1, std::memory_order_relaxed))
        work(order[i]);
    } catch (...) {
      const std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::current_exception();
      next.store(order.size(), std::memory_order_relaxed);  // relaxed: others may well take one more
    }
  };
  if (threads == 0) threads = std::max(1U, std::thread::hardware_concurrency());
  const std::size_t wanted = std::min<std::size_t>(threads, order.size());
  std::vector<std::thread> others;
  others.reserve(wanted);
  try {
    while (others.size() + 1 < wanted) others.emplace_back(take_on);
  } catch (const std::system_error&) {
    // Those that there are do it.
  }
  take_on();
  for (std::thread& other : others) other.join();
  if (failure) std::rethrow_exception(failure);
}

std::vector<std::size_t> largest_first(const std::vector<std::uint64_t>& sizes) {
  std::vector<std::size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return sizes[a] > sizes[b]; });
  return order;
}

}  // namespace vigil
