// A run as the command line looks at it: its ring file read on and on, judged, with the rules over it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/exporters/alert_rules.h"
#include "vigil/monitor/rules/alert_engine.h"
#include "vigil/monitor/run_liveness.h"
#include "vigil/monitor/snapshot.h"
#include "vigil/tools/ring_search.h"

namespace vigil::tools {

/// The records of a ring file that may be damaged: what cannot be read is passed over, up to kMaxPassedOver records, and the first reason
/// kept. Throws nothing. One thread.
class PatientSource final : public RunSource {
 public:
  static constexpr std::size_t kMaxPassedOver = 64;

  explicit PatientSource(std::shared_ptr<const RingFile> file);

  const Schema& schema() const noexcept override { return file_->schema(); }
  RingGeometry geometry(RingKind ring) const noexcept override { return file_->layout().geometry(ring); }
  void refresh() override;
  bool try_read(RingKind ring, std::uint64_t* words) override;
  RingLosses losses(RingKind ring) const noexcept override;
  const NameTable& scalar_names() const noexcept override { return reader_->scalar_names(); }
  const NameTable& phase_names() const noexcept override { return reader_->phase_names(); }
  const NameTable& layer_names() const noexcept override { return reader_->layer_names(); }
  RunState state() const noexcept override { return reader_->state(); }

  const LiveReading& live() const noexcept { return reader_->live(); }
  /// Records that came before what was read last, of each ring.
  RingCursors cursors() const noexcept { return reader_->cursors(); }
  /// Empty: all could be read.
  const std::string& problem() const noexcept { return problem_; }

 private:
  void note(const std::string& problem);

  const std::shared_ptr<const RingFile> file_;
  std::unique_ptr<RingFileReader> reader_;
  std::array<RingLosses, 3> earlier_{};  // of readers that came to a damaged record
  std::size_t passed_over_ = 0;
  bool is_broken_ = false;  // at the latest refresh
  std::string problem_;
};

/// One thread.
class FollowedRun {
 public:
  /// Reads nothing yet. `rules` is null where no rules are wanted.
  explicit FollowedRun(FoundRing ring, std::shared_ptr<const Config> rules = nullptr);

  /// Reads what is new, and judges the run after it. Once condition() says that the run is over, all of its records have been told.
  void poll(const RunFollower::OnStep& on_step = {}, const RunFollower::OnFrame& on_frame = {}, const RunFollower::OnEvent& on_event = {});

  const FoundRing& ring() const noexcept { return ring_; }
  const RingFile& file() const noexcept { return *ring_.file; }
  const Schema& schema() const noexcept { return ring_.file->schema(); }
  const RunIdentity& identity() const noexcept { return ring_.identity(); }
  /// As of the last poll, like all below. Never null after it.
  const std::shared_ptr<const Snapshot>& snapshot() const noexcept { return snapshot_; }
  const RunCondition& condition() const noexcept { return condition_; }
  const LiveReading& live() const noexcept { return source_->live(); }
  const NameTable& scalar_names() const noexcept { return source_->scalar_names(); }
  /// What runs now, as the program calls it: "train", or a phase of its own.
  std::string phase() const;
  /// Steps a second by the mean of the latest steps; 0: not known.
  double steps_per_second() const noexcept;
  /// Whether NaN or infinities were seen anywhere.
  bool has_nonfinite() const noexcept;
  /// What of the file could not be read; empty: nothing.
  const std::string& problem() const noexcept { return source_->problem(); }

  /// Alerts that fire, the most severe first and then the latest; nothing without rules.
  std::vector<const Alert*> firing() const;
  /// Times that rule i has fired.
  const std::vector<std::uint64_t>& fired() const;
  const std::vector<AlertRule>& rules() const noexcept { return rules_; }

 private:
  const FoundRing ring_;
  const ProcessIdentity self_ = this_process();
  PatientSource* source_;  // the follower's
  RunFollower follower_;
  std::vector<AlertRule> rules_;
  std::unique_ptr<AlertEngine> engine_;  // null: no rules
  bool has_step_ = false;
  std::shared_ptr<const Snapshot> snapshot_;
  RunCondition condition_;
};

/// "finished"; "crashed: signal 11 (SIGSEGV)".
std::string condition_text(const RunCondition& condition);

/// The event's message, printable and without the step that it may begin with.
std::string sentence_of(const NonfiniteEvent& event);

/// "loss: 3 NaN, 0 Inf; gradient: …" of a step's totals, for all that have some; empty when all was finite.
std::string nonfinite_text(const RunTotals& totals);

}  // namespace vigil::tools
