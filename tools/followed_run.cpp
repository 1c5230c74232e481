#include "vigil/tools/followed_run.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "vigil/monitor/clock.h"
#include "vigil/terminal/text_cells.h"

namespace vigil::tools {

PatientSource::PatientSource(std::shared_ptr<const RingFile> file)
    : file_(std::move(file)), reader_(std::make_unique<RingFileReader>(file_)) {}

void PatientSource::note(const std::string& problem) {
  if (problem_.empty()) problem_ = problem;
}

void PatientSource::refresh() {
  is_broken_ = false;
  try {
    reader_->refresh();
  } catch (const RingFileError& error) {
    is_broken_ = true;
    note(error.what());
  }
}

bool PatientSource::try_read(RingKind ring, std::uint64_t* words) {
  while (!is_broken_) {
    try {
      return reader_->try_read(ring, words);
    } catch (const RingFileError& error) {
      note(error.what());
    }
    if (++passed_over_ > kMaxPassedOver) break;
    for (std::size_t i = 0; i < earlier_.size(); ++i) {
      const RingLosses losses = reader_->losses(static_cast<RingKind>(i));
      earlier_[i].read += losses.read;
      earlier_[i].overwritten += losses.overwritten;
      earlier_[i].torn += losses.torn;
    }
    RingCursors cursors = reader_->cursors();
    ++cursors[static_cast<std::size_t>(ring)];
    reader_ = std::make_unique<RingFileReader>(file_, cursors);
    refresh();
  }
  return false;
}

RingLosses PatientSource::losses(RingKind ring) const noexcept {
  const RingLosses now = reader_->losses(ring), before = earlier_[static_cast<std::size_t>(ring)];
  return {now.read + before.read, now.overwritten + before.overwritten, now.torn + before.torn};
}

FollowedRun::FollowedRun(FoundRing ring, std::shared_ptr<const Config> rules)
    : ring_(std::move(ring)), source_(new PatientSource(ring_.file)), follower_(std::unique_ptr<RunSource>(source_)) {
  if (rules == nullptr) return;
  rules_ = alert_rules(*rules);
  engine_ = make_alert_engine(schema(), rules->rules);
}

void FollowedRun::poll(const RunFollower::OnStep& on_step, const RunFollower::OnFrame& on_frame, const RunFollower::OnEvent& on_event) {
  const auto read = [&] {
    follower_.poll(
        [&](const StepRecord& record, const double* scalars) {
          if (engine_ != nullptr) {
            // What was counted before the oldest record that is there is no news.
            if (!has_step_ && record.step > 1) engine_->join(record.totals);
            engine_->on_step(record, scalars, source_->scalar_names());
          }
          has_step_ = true;
          if (on_step) on_step(record, scalars);
        },
        [&](const Frame& frame) {
          if (engine_ != nullptr) engine_->on_frame(frame);
          if (on_frame) on_frame(frame);
        },
        [&](const NonfiniteEvent& event) {
          if (engine_ != nullptr) engine_->on_event(event);
          if (on_event) on_event(event);
        });
    snapshot_ = follower_.snapshot();
  };
  read();
  const std::int64_t now_ns = monotonic_time_ns();
  condition_ = judge(file(), self_, snapshot_->mean_step_seconds, now_ns);
  // What was written between the last record that was read and the end.
  if (!is_alive(condition_.state)) read();
  if (engine_ == nullptr || !is_alive(condition_.state)) return;
  HostReading host;
  host.now_ns = wall_time_ns();
  host.steady_ns = now_ns;
  host.is_running = true;
  host.is_evaluating = live().phase != 0;
  engine_->on_host(host);
}

std::string FollowedRun::phase() const {
  const NameTable& names = source_->phase_names();
  const auto index = static_cast<std::size_t>(live().phase);
  return std::string(index < names.size() ? names.at(index) : PhaseNames::kTrain);
}

double FollowedRun::steps_per_second() const noexcept { return snapshot_->mean_step_seconds > 0 ? 1 / snapshot_->mean_step_seconds : 0; }

bool FollowedRun::has_nonfinite() const noexcept {
  const RunTotals& totals = snapshot_->step.totals;
  return totals.nonfinite_steps > 0 || std::any_of(totals.nonfinite_values.begin(), totals.nonfinite_values.end(),
                                                   [](const NonfiniteCounts& counts) { return counts.nan + counts.inf > 0; });
}

std::vector<const Alert*> FollowedRun::firing() const {
  std::vector<const Alert*> alerts;
  if (engine_ == nullptr) return alerts;
  for (const Alert& alert : engine_->book().firing()) alerts.push_back(&alert);
  const auto key = [this](const Alert* alert) {
    return std::tuple(-static_cast<int>(rules_[alert->rule].severity), ~alert->fired_step, alert->rule, alert->parameter.view());
  };
  std::sort(alerts.begin(), alerts.end(), [&key](const Alert* a, const Alert* b) { return key(a) < key(b); });
  return alerts;
}

const std::vector<std::uint64_t>& FollowedRun::fired() const {
  static const std::vector<std::uint64_t> kNone;
  return engine_ == nullptr ? kNone : engine_->book().fired();
}

std::string condition_text(const RunCondition& condition) {
  const std::string name(kRunStateNames[static_cast<std::size_t>(condition.state)]);
  return condition.reason.empty() ? name : name + ": " + printable(condition.reason);
}

std::string sentence_of(const NonfiniteEvent& event) {
  const std::string message = printable(event.message.view()), step = "step " + std::to_string(event.step) + ": ";
  return message.compare(0, step.size(), step) == 0 ? message.substr(step.size()) : message;
}

std::string nonfinite_text(const RunTotals& totals) {
  std::string text;
  for (std::size_t i = 0; i < kNonfiniteInNames.size(); ++i) {
    const NonfiniteCounts& counts = totals.nonfinite_values[i];
    if (counts.nan == 0 && counts.inf == 0) continue;
    text += (text.empty() ? "" : "; ") + std::string(kNonfiniteInNames[i]) + ": " + grouped(counts.nan) + " NaN, " + grouped(counts.inf) +
            " Inf";
  }
  return text;
}

}  // namespace vigil::tools
