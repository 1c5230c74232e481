#include "vigil/monitor/rules/alert_book.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace vigil {

AlertBook::AlertBook(std::vector<RuleSetup> rules, const std::vector<std::size_t>& subjects, std::size_t max_instances)
    : rules_(std::move(rules)), max_instances_(max_instances), firing_of_rule_(rules_.size()), fired_(rules_.size()) {
  std::size_t tracks = 0;
  for (const std::size_t count : subjects) {
    first_.push_back(tracks);
    tracks += count;
  }
  tracks_.resize(tracks);
  firing_.reserve(kMaxFiring);
  firing_tracks_.reserve(kMaxFiring);
}

bool AlertBook::note_holds(std::size_t rule, Track& track, double value) noexcept {
  const RuleSetup& setup = rules_[rule];
  if (!track.holds) {
    track.holds = true;
    track.since_step = step_;
    track.since_time_ns = time_ns_;
  }
  track.last_step = step_;
  if (track.alert != kNone) {
    Alert& alert = firing_[track.alert];
    alert.value = value;
    alert.step = step_;
    alert.time_ns = time_ns_;
    return false;
  }
  if (step_ - track.since_step < setup.for_steps || time_ns_ - track.since_time_ns < setup.for_ns) return false;
  if (firing_of_rule_[rule] >= max_instances_ || firing_.size() >= kMaxFiring) {
    // Counted once; it fires when another one has made room.
    if (!std::exchange(track.is_suppressed, true)) ++suppressed_;
    return false;
  }
  track.is_suppressed = false;
  return true;
}

Alert& AlertBook::fire(std::size_t rule, const AlertSubject& subject, Track& track, double value, double limit) noexcept {
  ++fired_[rule];
  ++firing_of_rule_[rule];
  track.alert = static_cast<std::uint32_t>(firing_.size());
  firing_tracks_.push_back(static_cast<std::size_t>(&track - tracks_.data()));
  Alert& alert = firing_.emplace_back();
  alert.rule = rule;
  alert.state = AlertState::firing;
  alert.since_step = track.since_step;
  alert.since_time_ns = track.since_time_ns;
  alert.step = alert.fired_step = step_;
  alert.time_ns = alert.fired_time_ns = time_ns_;
  alert.value = value;
  alert.limit = limit;
  alert.parameter.assign(subject.parameter);
  alert.layer.assign(subject.layer);
  alert.subject.assign(subject.other);
  return alert;
}

void AlertBook::note_over(std::size_t rule, Track& track) noexcept {
  if (track.alert == kNone) {
    track.holds = track.is_suppressed = false;
    return;
  }
  if (step_ - track.last_step < rules_[rule].keep_firing_steps) return;
  const std::size_t index = track.alert;
  track.holds = false;
  track.alert = kNone;
  --firing_of_rule_[rule];
  Alert alert = firing_[index];
  // The last one takes its place.
  firing_[index] = firing_.back();
  firing_tracks_[index] = firing_tracks_.back();
  firing_.pop_back();
  firing_tracks_.pop_back();
  if (index < firing_.size()) tracks_[firing_tracks_[index]].alert = static_cast<std::uint32_t>(index);
  alert.state = AlertState::resolved;
  alert.step = step_;
  alert.time_ns = time_ns_;
  tell(alert);
}

void AlertBook::tell(const Alert& alert) noexcept {
  if (on_alert_) on_alert_(alert);
}

void append_number(RingText<384>& text, double number) noexcept {
  std::array<char, 32> digits{};  // not printf, which writes the locale's decimal point
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, std::chars_format::general, 4).ptr;
  text.append(std::string_view(digits.data(), static_cast<std::size_t>(end - digits.data())));
}

}  // namespace vigil
