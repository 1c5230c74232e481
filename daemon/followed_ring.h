// One ring file, followed from its first record to the end of its run.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/daemon/host_view.h"
#include "vigil/daemon/pushing.h"
#include "vigil/exporters/alert_rules.h"
#include "vigil/exporters/alert_text.h"
#include "vigil/monitor/ring_file_reader.h"
#include "vigil/monitor/run_liveness.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// One thread.
class FollowedRing {
 public:
  /// `rules` says which alert rules are evaluated (RulesConfig::enabled: any at all). `pushing` outlives this; null: nothing is pushed.
  /// @throws std::invalid_argument as make_alert_engine
  FollowedRing(std::shared_ptr<const RingFile> file, const RulesConfig& rules, std::shared_ptr<const SeriesPlan> plan,
               Pushing* pushing = nullptr);

  /// Reads what is new, evaluates the rules and judges whether the run goes on. A file that has become unreadable says so in its state.
  /// A run has ended, by ended_ns(), when it is over and all of its records have been read, which may take several calls.
  void poll(const ProcessIdentity& self, const HungAfter& hung_after) noexcept;

  const RingFile& file() const noexcept { return *file_; }
  const std::shared_ptr<const RingFile>& shared_file() const noexcept { return file_; }
  const RunCondition& condition() const noexcept { return condition_; }
  std::int64_t ended_ns() const noexcept { return ended_ns_; }
  /// When the writer was last at work, as of the last poll, by its monotonic clock.
  std::int64_t heartbeat_ns() const noexcept { return reader_->live().heartbeat_ns; }
  RunView view() const;
  /// Alerts that began or were over since the last call; at most kMaxAlerts, the newest: RunView::alerts_lost counts the others.
  std::vector<AlertMessage> take_alerts() { return std::exchange(alerts_, {}); }

  static constexpr std::size_t kMaxAlerts = 1000;
  /// Bytes of records read at a time, but one record at least: a file must not keep the host from its other runs.
  static constexpr std::size_t kPollBytes = std::size_t{64} << 20;

 private:
  HostReading host_reading() const noexcept;
  void read_rings(bool& any);
  void push_step(const StepRecord& record, const double* scalars);
  void end_pushing() noexcept;
  void judge_now(const ProcessIdentity& self, const HungAfter& hung_after) noexcept;
  std::int64_t last_sign_ns() const noexcept;

  const std::shared_ptr<const RingFile> file_;
  const std::shared_ptr<const SeriesPlan> plan_;
  RingFileReader* reader_;  // of the follower
  RunFollower follower_;
  std::vector<AlertRule> rules_;
  std::unique_ptr<AlertEngine> engine_;  // null: no rules are evaluated
  RunCondition condition_;
  std::int64_t end_seen_ns_ = 0, ended_ns_ = 0;
  bool has_record_ = false;
  std::shared_ptr<const Snapshot> snapshot_;
  std::vector<AlertMessage> alerts_;
  std::uint64_t alerts_lost_ = 0;
  Pushing* const pushing_;
  std::unique_ptr<RunSamples> samples_;    // null: nothing is written remotely
  std::vector<std::string> scalar_names_;  // those of the reader, as far as they are known
};

}  // namespace vigil
