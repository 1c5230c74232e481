// The part of StepRecorder that keeps what the program logs, and what runs between the steps.
#include <algorithm>
#include <array>

#include "vigil/hooks/step_recorder.h"
#include "vigil/monitor/clock.h"

namespace vigil {

void StepRecorder::set_scalar(std::string_view name, double value) noexcept {
  const int index = channel_.scalar_names().find_or_append(name);
  if (index < 0) {
    count_misuse(Hook::scalars, "log(): more than 64 names, or a name that is empty or longer than 96 bytes");
    return;
  }
  scalars_[channel_.schema().learning_rates + static_cast<std::size_t>(index)] = value;
  scalars_unpublished_ = true;
}

void StepRecorder::log(std::string_view name, double value) noexcept {
  if (phase_ == 0 || name.empty()) {
    set_scalar(name, value);
    return;
  }
  // "loss" of the phase "validation" is "validation/loss".
  const std::string_view in = phase();
  std::array<char, PhaseNames::kMaxBytes + 1 + ScalarNames::kMaxBytes + 1> text{};
  if (name.size() > ScalarNames::kMaxBytes || (name.size() > in.size() && name.substr(0, in.size()) == in && name[in.size()] == '/')) {
    set_scalar(name, value);
    return;
  }
  char* end = std::copy(in.begin(), in.end(), text.begin());
  *end++ = '/';
  end = std::copy(name.begin(), name.end(), end);
  set_scalar({text.data(), static_cast<std::size_t>(end - text.data())}, value);
}

void StepRecorder::phase(std::string_view name) noexcept {
  const int index = channel_.phase_names().find_or_append(name);
  channel_.beat(monotonic_time_ns());
  if (index < 0) {
    channel_.count_loss();
    count_misuse(Hook::sequence, "phase(): more than 8 names, or a name that is empty or longer than 32 bytes");
    return;
  }
  const auto next = static_cast<std::uint32_t>(index);
  if (next == phase_) return;
  const Clock::time_point now = Clock::now();
  if (phase_ == 0) {
    phase_begin_ = now;
    activations_.abandon();  // of the training step to come
  } else {
    end_activations();
  }
  phase_ = next;
  channel_.live().phase.store(next, std::memory_order_relaxed);  // a lone word
  static_assert(PhaseNames::kCapacity <= (StepRecord::kPhaseMask >> StepRecord::kPhaseShift) + 1);
  if (next != 0) marks_ = (marks_ & ~StepRecord::kPhaseMask) | std::uint64_t{next} << StepRecord::kPhaseShift;
  if (next == 0) {
    // The time in between belongs to no step.
    const auto away = now - phase_begin_;
    last_end_ += away;
    verdict_time_ += away;
    loop_begin_ += away;
    if (has_begun_) forward_begin_ += away;
    if (!pending_) observe_next();
  } else if (sampling_.activations_every_steps > 0 && sampling_.max_activations > 0) {
    boundary_.attempt(Hook::activations, activation_failures_, [&] {
      activations_.begin(record_.step, next, true);
      return true;
    });
  }
  record_.totals.overhead_ns += static_cast<std::uint64_t>(std::chrono::nanoseconds(Clock::now() - now).count());
}

}  // namespace vigil
