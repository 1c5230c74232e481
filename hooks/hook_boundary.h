// The boundary between vigil and the training loop, which nothing passes.
#pragma once

#include <array>
#include <exception>

#include <c10/util/Exception.h>

#include "vigil/monitor/run_channel.h"

namespace vigil {

/// Keeps what hooks throw: counted, its first text left for the export thread to log, and given up what fails ten times in a row. Training
/// thread only; never throws or allocates.
class HookBoundary {
 public:
  /// `channel` outlives this.
  explicit HookBoundary(RunChannel& channel) noexcept : channel_(channel) {}

  /// Runs `body`, which tells whether it came to an end of its matter. False when it threw, or is given up after that many failures.
  template <class Body>
  bool attempt(Hook hook, int& failures_in_a_row, Body body) noexcept {
    if (is_given_up(failures_in_a_row)) return false;
    try {
      if (body()) failures_in_a_row = 0;
      return true;
    } catch (const c10::Error& error) {
      channel_.note(hook).write_first(error.what_without_backtrace());
    } catch (const std::exception& error) {
      channel_.note(hook).write_first(error.what());
    } catch (...) {
      channel_.note(hook).write_first("an exception that is not a std::exception");
    }
    has_failed_[static_cast<std::size_t>(hook)] = true;
    if (++failures_in_a_row == kFailuresUntilGivenUp) channel_.note(hook).give_up();
    return false;
  }
  static bool is_given_up(int failures_in_a_row) noexcept { return failures_in_a_row >= kFailuresUntilGivenUp; }

  /// Counts one step for each hook that has failed since the last call, on however many tensors it did.
  void count_into(RunTotals& totals) noexcept {
    for (std::size_t i = 0; i < has_failed_.size(); ++i) totals.hook_errors[i] += has_failed_[i];
    has_failed_ = {};
  }

 private:
  static constexpr int kFailuresUntilGivenUp = 10;

  RunChannel& channel_;
  std::array<bool, kHookNames.size()> has_failed_{};
};

}  // namespace vigil
