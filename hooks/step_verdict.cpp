// The part of StepRecorder that answers: what the guard says to a step, and what an alert asked for.
#include "vigil/hooks/step_recorder.h"

namespace vigil {

bool StepRecorder::roll_back() noexcept {
  if (!restore_) {
    count_misuse(Hook::rollback, "guard.on_nonfinite is rollback, but nothing can restore the last good state: call set_rollback() before");
    return false;
  }
  if (record_.totals.rollbacks >= static_cast<std::uint64_t>(guard_.max_rollbacks)) return false;
  int failures = 0;
  std::uint64_t restored = 0;
  boundary_.attempt(Hook::rollback, failures, [&] {
    restored = restore_();
    return true;
  });
  if (restored == 0) {
    channel_.note(Hook::rollback).write_first("the function given to set_rollback() restored nothing; the run ends");
    return false;
  }
  ++record_.totals.rollbacks;
  tensors_.forget_weights();
  return true;
}

Verdict StepRecorder::judge(Part& part) noexcept {
  Verdict verdict = Verdict::proceed;
  if (turn_nonfinite_) {
    switch (guard_.on_nonfinite) {
      case OnNonfinite::warn: break;
      case OnNonfinite::skip_step: verdict = Verdict::skip; break;
      case OnNonfinite::stop: verdict = Verdict::stop; break;
      case OnNonfinite::rollback: verdict = roll_back() ? Verdict::skip : Verdict::stop; break;
    }
    if (guard_.stop_after_steps > 0 && part.nonfinite_in_row >= guard_.stop_after_steps) verdict = Verdict::stop;
  }
  // An alert asked for the end. relaxed: a lone flag.
  if (channel_.requests().stop.load(std::memory_order_relaxed)) verdict = Verdict::stop;
  if (verdict == Verdict::proceed || !turn_nonfinite_) return verdict;
  if (!record_.has(StepRecord::skipped)) ++record_.totals.skipped_steps;
  record_.flags |= StepRecord::skipped;
  return verdict;
}

// Between two steps, where parameters, optimizer and step belong together. The time is the program's own, not vigil's.
void StepRecorder::save_if_asked() noexcept {
  const std::uint64_t asked = channel_.requests().checkpoints.load(std::memory_order_relaxed);  // a lone word
  if (asked == saves_done_) return;
  saves_done_ = asked;
  if (!save_) {
    count_misuse(Hook::checkpoint, "a rule has the action checkpoint, but nothing can save one: call set_checkpoint() before");
    return;
  }
  int failures = 0;
  boundary_.attempt(Hook::checkpoint, failures, [this] {
    save_(record_.step);
    checkpoint_saved();
    return true;
  });
}

}  // namespace vigil
