// The rules over the files of one rank.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/exporters/jsonl_reader.h"
#include "vigil/monitor/rules/alert_engine.h"

namespace vigil::tools {

/// Where a replay stands: in the how-manieth run of its files, and at which step of it.
struct ReplayPosition {
  std::uint64_t run = 0, step = 0;
};
constexpr bool operator<(ReplayPosition a, ReplayPosition b) noexcept { return a.run != b.run ? a.run < b.run : a.step < b.step; }

/// Reads one line ahead, so that several ranks can be brought into step.
class RunReplay {
 public:
  /// Opens the files and reads up to the first run. `config` outlives the replay. @throws JsonlError
  RunReplay(std::vector<std::string> paths, const Config& config);

  void set_on_alert(AlertBook::OnAlert on_alert) { on_alert_ = std::move(on_alert); }

  /// False when the files hold nothing more; at once when they hold no run at all.
  bool has_next() const noexcept { return has_next_; }
  /// Of what comes next.
  ReplayPosition position() const noexcept { return position_; }
  /// Of what comes next; null without any run.
  std::shared_ptr<const Schema> schema() const { return reader_.decoder().schema(); }

  /// Gives what comes next to the rules. Returns the record if it was one of a step, valid until the next call; else null.
  /// @throws JsonlError; std::invalid_argument when a threshold of the configuration has no such metric or label
  const StepRecord* advance();

  const std::vector<std::string>& paths() const noexcept { return paths_; }
  std::uint64_t steps() const noexcept { return steps_; }
  std::uint64_t frames() const noexcept { return frames_; }
  std::uint64_t bytes_read() const noexcept { return reader_.bytes_read(); }
  std::uint64_t bytes_in_all() const noexcept { return reader_.bytes_in_all(); }
  std::vector<std::string> take_notes();

 private:
  void read_next();
  void begin_run();
  void take_step();

  const std::vector<std::string> paths_;
  const Config& config_;
  JsonlReader reader_;
  AlertBook::OnAlert on_alert_;
  std::shared_ptr<const Schema> running_;  // of the engine
  std::unique_ptr<AlertEngine> engine_;
  JsonlItem next_ = JsonlItem::other;
  bool has_next_ = false, is_first_step_ = true;
  ReplayPosition position_;
  StepRecord record_;
  std::uint64_t steps_ = 0, frames_ = 0;
  std::vector<std::string> notes_;
};

}  // namespace vigil::tools
