#include "vigil/daemon/followed_ring.h"

#include <algorithm>
#include <utility>

#include "vigil/config/printable.h"
#include "vigil/exporters/alert_text.h"
#include "vigil/exporters/logging.h"
#include "vigil/monitor/clock.h"

namespace vigil {
namespace {

Config config_of(const RulesConfig& rules) {
  Config config;
  config.rules = rules;
  // vigild tells of alerts in its metrics and its history; whom else to tell is the trainer's business.
  config.rules.actions = {"metric"};
  for (RuleConfig& rule : config.rules.catalogue) rule.actions.clear();
  return config;
}

}  // namespace

FollowedRing::FollowedRing(std::shared_ptr<const RingFile> file, const RulesConfig& rules, std::shared_ptr<const SeriesPlan> plan,
                           Pushing* pushing)
    : file_(std::move(file)),
      plan_(std::move(plan)),
      reader_(new RingFileReader(file_)),
      follower_(std::unique_ptr<RunSource>(reader_)),
      pushing_(pushing) {
  follower_.set_poll_bytes(kPollBytes);
  if (rules.enabled) {
    const Config config = config_of(rules);
    rules_ = alert_rules(config);
    engine_ = make_alert_engine(file_->schema(), config.rules);
    engine_->set_on_alert([this](const Alert& alert) {
      if (alerts_.size() >= kMaxAlerts) {
        alerts_.erase(alerts_.begin());
        ++alerts_lost_;
      }
      alerts_.push_back(message_of(alert, rules_[alert.rule]));
    });
  }
  snapshot_ = follower_.snapshot();
  if (pushing_ != nullptr) samples_ = pushing_->begin_run(file_->shared_schema(), file_->read_live().state <= RunState::running);
}

void FollowedRing::push_step(const StepRecord& record, const double* scalars) {
  const NameTable& names = reader_->scalar_names();
  for (std::size_t i = scalar_names_.size(); i < names.size(); ++i) scalar_names_.emplace_back(names.at(i));
  samples_->on_step(record, scalars, scalar_names_);
}

void FollowedRing::read_rings(bool& any) {
  const std::int64_t before = wall_time_ns();
  follower_.poll(
      [&](const StepRecord& record, const double* scalars) {
        any = true;
        if (samples_ != nullptr) push_step(record, scalars);
        if (engine_ != nullptr) {
          if (!has_record_ && record.step > 1) engine_->join(record.totals);
          engine_->on_step(record, scalars, reader_->scalar_names());
        }
        has_record_ = true;
      },
      [&](const Frame& frame) {
        any = true;
        if (samples_ != nullptr) samples_->on_frame(frame);
        if (engine_ != nullptr) engine_->on_frame(frame);
      },
      [&](const NonfiniteEvent& event) {
        any = true;
        if (engine_ != nullptr) engine_->on_event(event);
      });
  if (samples_ != nullptr) samples_->release_before(before);
}

void FollowedRing::end_pushing() noexcept {
  if (pushing_ == nullptr) return;
  try {
    pushing_->end_run(samples_.get(), *snapshot_, ended_ns_);
  } catch (const std::exception& error) {
    log(LogLevel::error, printable(file_->path()) + ": " + error.what());
  }
}

HostReading FollowedRing::host_reading() const noexcept {
  HostReading reading;
  reading.now_ns = wall_time_ns();
  reading.steady_ns = monotonic_time_ns();
  reading.is_running = is_alive(condition_.state);
  reading.is_evaluating = reader_->live().phase != 0;
  return reading;
}

void FollowedRing::judge_now(const ProcessIdentity& self, const HungAfter& hung_after) noexcept {
  condition_ = judge(*file_, self, snapshot_->mean_step_seconds, monotonic_time_ns(), hung_after);
}

// When the writer was last seen at work, by its own clocks; for a run that had ended before it was looked at.
std::int64_t FollowedRing::last_sign_ns() const noexcept {
  const RingHeader& header = file_->header();
  const std::int64_t age = reader_->live().heartbeat_ns - header.monotonic_ns, now = wall_time_ns();
  constexpr std::int64_t kLongest = std::int64_t{1} << 61;  // 73 years: a file may say anything
  if (age < 0 || age > kLongest || header.wall_time_ns < 0 || header.wall_time_ns > kLongest) return now;
  return std::min(header.wall_time_ns + age, now);
}

void FollowedRing::poll(const ProcessIdentity& self, const HungAfter& hung_after) noexcept {
  if (ended_ns_ != 0) return;
  const bool is_first = !has_record_ && snapshot_->state == RunState::starting;
  const RunCondition before = condition_;
  bool any = false;
  try {
    read_rings(any);
    judge_now(self, hung_after);
    // What the run published between the two looks is its last word.
    if (!is_alive(condition_.state) && condition_.state != RunState::unreadable && !follower_.has_more()) read_rings(any);
  } catch (const RingFileError& error) {
    condition_ = {RunState::unreadable, error.what()};
  } catch (const std::exception& error) {
    log(LogLevel::error, printable(file_->path()) + ": " + error.what());
    return;
  }
  if (is_alive(condition_.state)) {
    end_seen_ns_ = 0;
  } else {
    if (end_seen_ns_ == 0) end_seen_ns_ = is_first ? last_sign_ns() : wall_time_ns();
    if (!follower_.has_more() || condition_.state == RunState::unreadable) ended_ns_ = end_seen_ns_;
  }
  try {
    if (engine_ != nullptr) engine_->on_host(host_reading());
    std::size_t active = engine_ == nullptr ? 0 : engine_->book().firing().size();
    const bool is_news = any || is_first || ended_ns_ != 0 || before.state != condition_.state || before.reason != condition_.reason ||
                         active != snapshot_->active_alerts.size();
    if (!is_news) return;
    const std::shared_ptr<Snapshot> made = follower_.snapshot();
    made->state = condition_.state;
    if (!is_alive(condition_.state)) made->end_reason = condition_.reason;
    if (engine_ != nullptr) {
      const AlertBook& book = engine_->book();
      for (const Alert& alert : book.firing()) made->active_alerts.push_back(notice_of(message_of(alert, rules_[alert.rule])));
      for (std::size_t i = 0; i < rules_.size(); ++i) {
        if (!rules_[i].enabled) continue;
        made->alert_counts.push_back(
            {rules_[i].name, std::string(kSeverityNames[static_cast<std::size_t>(rules_[i].severity)]), book.fired()[i]});
      }
    }
    snapshot_ = made;
    if (ended_ns_ != 0) end_pushing();
  } catch (const std::exception& error) {
    log(LogLevel::error, printable(file_->path()) + ": " + error.what());
  }
}

RunView FollowedRing::view() const {
  RunView view;
  view.path = file_->path();
  view.ring_id = file_->header().ring_id;
  view.snapshot = snapshot_;
  view.plan = plan_;
  view.alerts_lost = alerts_lost_;
  view.ended_ns = ended_ns_;
  return view;
}

}  // namespace vigil
