// The ranks of one run, replayed in step.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "vigil/monitor/rules/rank_rules.h"
#include "vigil/tools/alert_lines.h"
#include "vigil/tools/run_replay.h"

namespace vigil::tools {

/// Brings its replays into step: of all of them the one that is furthest behind goes on. With several, judges the rules over ranks, too;
/// the first run in the files of each belongs together, then the second, and so on.
class RankGroup {
 public:
  RankGroup(std::vector<std::unique_ptr<RunReplay>> ranks, const Config& config, AlertLines& lines);

  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;

  /// Replays all of it. `on_progress` is called after each line. @throws as RunReplay::advance
  void run(const std::function<void()>& on_progress);

  const std::vector<std::unique_ptr<RunReplay>>& ranks() const noexcept { return ranks_; }
  std::uint64_t runs() const noexcept { return runs_; }
  std::vector<std::string> take_notes() { return std::move(notes_); }

 private:
  std::size_t furthest_behind() const;
  void begin_runs(std::uint64_t run);

  static constexpr std::size_t kNone = ~std::size_t{0};
  std::vector<std::unique_ptr<RunReplay>> ranks_;
  const Config& config_;
  AlertLines& lines_;
  std::vector<std::shared_ptr<const Schema>> schemas_;  // that ranks run now
  std::unique_ptr<RankRules> rank_rules_;               // null: one rank, or models that differ
  std::vector<std::size_t> index_;                      // of a rank in rank_rules_
  std::uint64_t run_ = 0, runs_ = 0;
  std::vector<std::string> notes_;
};

}  // namespace vigil::tools
