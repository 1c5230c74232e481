// The state machines of all rules: one track for each rule and subject, and the alerts that fire.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "vigil/monitor/rules/rule.h"

namespace vigil {

/// What a rule is judged of. The texts of two subjects of a rule differ.
struct AlertSubject {
  std::size_t index = 0;  ///< below the rule's number of subjects
  std::string_view parameter = {}, layer = {};
  std::string_view other = {};  ///< Alert::subject
};

/// Keeps for each rule and subject since when its condition holds, and the alerts that fire, of one rule at most `max_instances`. One
/// thread. Allocates at construction only; what `on_alert` does is its own matter.
class AlertBook {
 public:
  using OnAlert = std::function<void(const Alert&)>;

  /// `subjects[i]` is how many subjects rule i has. @throws std::bad_alloc
  AlertBook(std::vector<RuleSetup> rules, const std::vector<std::size_t>& subjects, std::size_t max_instances);

  void set_on_alert(OnAlert on_alert) { on_alert_ = std::move(on_alert); }
  const RuleSetup& setup(std::size_t rule) const noexcept { return rules_[rule]; }
  bool is_enabled(Rule rule) const noexcept { return rules_[static_cast<std::size_t>(rule)].enabled; }
  double parameter(Rule rule, std::size_t i) const noexcept { return rules_[static_cast<std::size_t>(rule)].parameters[i]; }

  /// What is judged from now on was seen at this step and time.
  void set_moment(std::uint64_t step, std::int64_t time_ns) noexcept {
    step_ = step;
    time_ns_ = time_ns;
  }
  std::uint64_t step() const noexcept { return step_; }

  bool is_firing(std::size_t rule, std::size_t subject) const noexcept { return tracks_[first_[rule] + subject].alert != kNone; }
  /// `limit`, or for a subject that fires a fifth less of it, so that a value around the limit makes no alert every other step.
  double upper(Rule rule, std::size_t subject, double limit) const noexcept {
    return is_firing(static_cast<std::size_t>(rule), subject) ? 0.8 * limit : limit;
  }

  /// Takes note of whether the condition of `rule` holds for `subject`. `describe(text)` appends what was seen to a RingText; it is called
  /// only when an alert fires.
  template <class Describe>
  void judge(std::size_t rule, const AlertSubject& subject, bool holds, double value, double limit, Describe describe) noexcept {
    if (!rules_[rule].enabled) return;
    Track& track = tracks_[first_[rule] + subject.index];
    if (!holds) {
      if (track.holds) note_over(rule, track);
      return;
    }
    if (note_holds(rule, track, value)) {
      Alert& alert = fire(rule, subject, track, value, limit);
      describe(alert.sentence);
      tell(alert);
    }
  }
  template <class Describe>
  void judge(Rule rule, const AlertSubject& subject, bool holds, double value, double limit, Describe describe) noexcept {
    judge(static_cast<std::size_t>(rule), subject, holds, value, limit, describe);
  }

  /// Those that fire, in no order.
  const std::vector<Alert>& firing() const noexcept { return firing_; }
  /// Times that rule i fired so far.
  const std::vector<std::uint64_t>& fired() const noexcept { return fired_; }
  /// Times that an alert had to wait because as many of its rule, or of all, were firing; some were over before there was room.
  std::uint64_t suppressed() const noexcept { return suppressed_; }

  /// Alerts of all rules that fire at the same time, at most.
  static constexpr std::size_t kMaxFiring = 256;

 private:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  struct Track {
    std::uint64_t since_step = 0;
    std::int64_t since_time_ns = 0;
    std::uint64_t last_step = 0;  // that it held at
    std::uint32_t alert = kNone;  // index into firing_
    bool holds = false;           // or did lately
    bool is_suppressed = false;
  };

  bool note_holds(std::size_t rule, Track& track, double value) noexcept;
  void note_over(std::size_t rule, Track& track) noexcept;
  Alert& fire(std::size_t rule, const AlertSubject& subject, Track& track, double value, double limit) noexcept;
  void tell(const Alert& alert) noexcept;

  const std::vector<RuleSetup> rules_;
  const std::size_t max_instances_;
  std::vector<std::size_t> first_;  // of a rule's tracks
  std::vector<Track> tracks_;
  std::vector<Alert> firing_;
  std::vector<std::size_t> firing_tracks_;  // by firing_
  std::vector<std::size_t> firing_of_rule_;
  std::vector<std::uint64_t> fired_;
  std::uint64_t suppressed_ = 0;
  OnAlert on_alert_;
  std::uint64_t step_ = 0;
  std::int64_t time_ns_ = 0;
};

/// Alert::subject of a layer's activations: a phase other than "train".
inline std::string_view phase_subject(std::string_view phase) noexcept { return phase == "train" ? std::string_view() : phase; }

/// Appends `number` with four significant digits, also NaN and infinities.
void append_number(RingText<384>& text, double number) noexcept;

}  // namespace vigil
