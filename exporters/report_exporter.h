// Writes a report of each streak of non-finite steps, and of each alert that asks for one, into a file of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "vigil/config/config.h"
#include "vigil/exporters/exporter.h"
#include "vigil/monitor/run_channel.h"

namespace vigil {

/// `<directory>/vigil-nan-<run>-<step>.json`, with `-rank<N>` after the run of a job with several ranks: who runs, the event, and what the
/// rings still hold of the time before it (docs/nan-report.md). Written under a temporary name and renamed, with mode 0640. What a replay
/// or a trace finds later goes into the same file. Of the run's name, what is not a letter, a digit or one of "._-" becomes "_".
class ReportExporter final : public Exporter {
 public:
  /// Records before the event that go into a report, at most.
  static constexpr std::size_t kSteps = 256, kFrames = 16;

  /// `channel` outlives the exporter. @throws std::runtime_error that names the setting when the directory is not one
  ReportExporter(const ReportConfig& config, const RunChannel& channel);

  void on_step(const StepRecord& record, const double* scalars) override;
  void on_event(const NonfiniteEvent& event) override;
  /// One that begins to fire, with the action `dump`: `<directory>/vigil-alert-<run>-<rule>-<step>.json`, likewise; one for each rule and
  /// step.
  void on_alert(const AlertMessage& message) override;
  /// Writes what is pending, once. @throws std::runtime_error when the file cannot be written
  void on_poll() override;

 private:
  std::string make_report(std::string_view what, const std::string& members, std::uint64_t last_step) const;
  std::string path_of(std::string_view what, std::uint64_t step) const;
  bool may_write_another();

  const ReportConfig config_;
  const RunChannel& channel_;
  NonfiniteEvent event_;
  std::uint64_t streak_step_ = 0;  // that the file is named after
  std::uint64_t told_step_ = 0;
  std::int64_t files_ = 0;
  std::uint64_t latest_step_ = 0;
  bool pending_ = false, limit_told_ = false;
  std::deque<AlertMessage> alerts_;  // whose reports are to be written
  bool lacks_its_step_ = false;      // the event comes before the record of its step, which the report is to have too
};

}  // namespace vigil
