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

void RunLog::look_at_step(const Schema& schema, const StepRecord& step, LogGate::Time now) {
  if (step.origin_step == origin_step_told_) return;
  origin_step_told_ = step.origin_step;
  if (!nonfinite_gate_.open(now)) return;
  std::string message = "step " + std::to_string(step.origin_step) + " is not finite: ";
  if (const std::string_view parameter = origin_parameter(step, schema); !parameter.empty()) {
    message += "the gradient of '" + std::string(parameter) +
               "' holds NaN or Inf, and no parameter nearer to the loss does, so its layer or the one after it made them";
  } else {
    message += "the loss is NaN or Inf; no gradient that was looked at is";
  }
  message += step.totals.skipped_steps > 0 ? ". The loop was told not to run the optimizer"
                                           : ". An optimizer step writes this into the weights (guard.on_nonfinite: skip_step prevents it)";
  log(LogLevel::warning, message);
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
