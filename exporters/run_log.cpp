#include "vigil/exporters/run_log.h"

#include <string>

#include "vigil/exporters/logging.h"

namespace vigil {

void RunLog::look_at_hooks(const RunChannel& channel) {
  for (std::size_t i = 0; i < kHookNames.size(); ++i) {
    const HookNote& note = channel.note(static_cast<Hook>(i));
    const std::string hook = "hook '" + std::string(kHookNames[i]) + "'";
    if (!error_told_[i] && !note.text().empty()) {
      error_told_[i] = true;
      log(LogLevel::error, hook + " failed, training goes on: " + std::string(note.text()) +
                               " (vigil_hook_errors_total counts; further failures are not logged)");
    }
    if (!given_up_told_[i] && note.gave_up()) {
      given_up_told_[i] = true;
      log(LogLevel::error, hook + " has failed ten times in a row on the same thing, which is left out from now on");
    }
  }
}

void RunLog::look_at_event(const NonfiniteEvent& event, LogGate::Time now) {
  const std::string message(event.message.view());
  if (event.found_by != FoundBy::bracket) {
    if (tells_streak_)
      log(LogLevel::warning, "found by " + std::string(kFoundByNames[static_cast<std::size_t>(event.found_by)]) + ": " + message);
    return;
  }
  tells_streak_ = nonfinite_gate_.open(now);
  if (!tells_streak_) return;
  log(LogLevel::warning,
      message + (skips_ ? ". The loop was told not to run the optimizer"
                        : ". An optimizer step writes this into the weights (guard.on_nonfinite: skip_step prevents it)"));
}

void RunLog::look_at_losses(std::string_view records, std::string_view setting, const RingLosses& losses, std::uint64_t& told,
                            LogGate& gate, LogGate::Time now) {
  if (losses.overwritten == told || !gate.open(now)) return;
  log(LogLevel::warning, std::to_string(losses.overwritten - told) + " " + std::string(records) +
                             " were overwritten before they could be read; raise " + std::string(setting) +
                             " or lower exporters.interval_ms");
  told = losses.overwritten;
}

void RunLog::look_at(const RunChannel& channel, const Snapshot& snapshot, LogGate::Time now) {
  look_at_hooks(channel);
  look_at_losses("step records", "ring.step_records", snapshot.step_ring, steps_lost_told_, steps_gate_, now);
  look_at_losses("tensor frames", "ring.frame_bytes", snapshot.frame_ring, frames_lost_told_, frames_gate_, now);
}

}  // namespace vigil
