// What the log says about a run: each fact once, or at most once a minute.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "vigil/monitor/run_channel.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// Lets one line of a kind through, then none for a minute.
class LogGate {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds kPause{60};

  bool open(Time now) noexcept {
    if (last_ && now - *last_ < kPause) return false;
    last_ = now;
    return true;
  }

 private:
  std::optional<Time> last_;
};

/// Watches snapshots of one run and logs what its owner should know. One thread.
class RunLog {
 public:
  /// Logs the first error of each hook, and again when it gives something up; records lost in the rings. `channel` is the one that
  /// `snapshot` was made from.
  void look_at(const RunChannel& channel, const Snapshot& snapshot, LogGate::Time now);

  /// Takes note of what the guard has answered so far. For every record, in order.
  void look_at_step(const StepRecord& step) noexcept { skips_ = step.totals.skipped_steps > 0; }
  /// Logs where the first step of a streak of non-finite steps became so, of those within a minute the first; and what a replay or a trace
  /// has found of that one.
  void look_at_event(const NonfiniteEvent& event, LogGate::Time now);

 private:
  void look_at_hooks(const RunChannel& channel);
  void look_at_losses(std::string_view records, std::string_view setting, const RingLosses& losses, std::uint64_t& told, LogGate& gate,
                      LogGate::Time now);

  std::array<bool, kHookNames.size()> error_told_{}, given_up_told_{};
  bool skips_ = false;
  bool tells_streak_ = false;  // the latest streak is one that is logged
  std::uint64_t steps_lost_told_ = 0, frames_lost_told_ = 0;
  LogGate nonfinite_gate_, steps_gate_, frames_gate_;
};

}  // namespace vigil
