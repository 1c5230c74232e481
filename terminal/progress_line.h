// What is being done, while it takes long enough to wait for.
#pragma once

#include <chrono>
#include <ostream>
#include <string>

namespace vigil {

/// A line on a terminal's stderr that is written over itself: not within the first half second, then ten times a second at most. Gone with
/// this. Shows nothing where there is no terminal.
class ProgressLine {
 public:
  ProgressLine(std::ostream& err, bool is_shown) : err_(err), is_shown_(is_shown) {}
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// `text()` is only asked for when it is time. It is printable and short.
  template <class Text>
  void show(Text text) {
    const auto now = Clock::now();
    if (!is_shown_ || now < next_) return;
    next_ = now + std::chrono::milliseconds(100);
    err_ << "\r\x1b[K" << text() << std::flush;
    is_there_ = true;
  }
  void clear() {
    if (is_there_) err_ << "\r\x1b[K" << std::flush;
    is_there_ = false;
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::ostream& err_;
  const bool is_shown_;
  Clock::time_point next_ = Clock::now() + std::chrono::milliseconds(500);
  bool is_there_ = false;
};

}  // namespace vigil
