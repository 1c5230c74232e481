// Scrapes that come at the same time and want the same text get it from one rendering.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "vigil/exporters/text_format.h"

namespace vigil {

/// Renders each snapshot once for all who ask while that is under way, or while somebody still holds what came of it. Keeps no body that
/// nobody holds. Any thread.
class SharedRenderings {
 public:
  using Body = std::shared_ptr<const std::string>;

  /// The body of `snapshot`, whatever that is, in one form: an earlier caller's, or what `render` returns, called in this thread without a
  /// lock. Waits for a rendering of the same under way. Whoever waited for one that failed tries itself.
  /// @throws what `render` throws, to the one who called it
  Body get(const std::shared_ptr<const void>& snapshot, TextFormat format, bool is_gzip, const std::function<std::string()>& render);

  /// Renderings begun so far: how many of the calls were not served by an earlier one.
  std::uint64_t renderings() const noexcept { return renderings_.load(std::memory_order_relaxed); }  // a lone counter

 private:
  // One rendering. Lives as long as its body is held, or somebody waits for it.
  struct Flight {
    enum class State { under_way, done, failed };
    State state = State::under_way;  // under mutex_
    std::string body;                // never changes once the state is `done`
  };
  // The latest rendering of a form; weak, so that nothing is kept. A weak pointer's snapshot cannot be mistaken for a later one that lies
  // where it lay.
  struct Slot {
    std::weak_ptr<const void> snapshot;
    std::weak_ptr<Flight> flight;
  };

  std::mutex mutex_;
  std::condition_variable landed_;
  std::array<Slot, 4> slots_;  // by format and compression
  std::atomic<std::uint64_t> renderings_{0};
};

}  // namespace vigil
