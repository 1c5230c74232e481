#include "vigil/tools/rank_group.h"

#include <algorithm>
#include <utility>

#include "vigil/exporters/alert_rules.h"

namespace vigil::tools {
namespace {

// Whether the ranks can be compared: those of a pipeline hold different layers each.
bool is_same_model(const Schema& a, const Schema& b) {
  return a.parameters == b.parameters &&
         std::equal(a.rows.begin(), a.rows.end(), b.rows.begin(), b.rows.end(),
                    [](const RowSchema& x, const RowSchema& y) { return x.name == y.name && x.shape == y.shape; });
}

std::string joined_paths(const RunReplay& replay) {
  std::string text;
  for (const std::string& path : replay.paths()) text += (text.empty() ? "" : ", ") + path;
  return text;
}

}  // namespace

RankGroup::RankGroup(std::vector<std::unique_ptr<RunReplay>> ranks, const Config& config, AlertLines& lines)
    : ranks_(std::move(ranks)), config_(config), lines_(lines), schemas_(ranks_.size()) {
  for (std::size_t i = 0; i < ranks_.size(); ++i) {
    ranks_[i]->set_on_alert([this, i](const Alert& alert) { lines_.add(alert, {&schemas_[i]->identity, schemas_[i]->identity.rank}); });
  }
}

std::size_t RankGroup::furthest_behind() const {
  std::size_t found = kNone;
  for (std::size_t i = 0; i < ranks_.size(); ++i) {
    if (ranks_[i]->has_next() && (found == kNone || ranks_[i]->position() < ranks_[found]->position())) found = i;
  }
  return found;
}

// The run that begins in every rank which has one more; all of them stand in front of it.
void RankGroup::begin_runs(std::uint64_t run) {
  run_ = run;
  rank_rules_.reset();
  index_.assign(ranks_.size(), kNone);
  std::vector<int> numbers;
  std::size_t first = kNone, begin = 0;
  std::string files;
  for (std::size_t i = 0; i < ranks_.size(); ++i) {
    if (!ranks_[i]->has_next()) continue;
    schemas_[i] = ranks_[i]->schema();
    ++begin;
    ++runs_;
    files += (files.empty() ? "" : ", ") + joined_paths(*ranks_[i]);
    if (first == kNone) first = i;
    if (!is_same_model(*schemas_[i], *schemas_[first])) {
      notes_.push_back(joined_paths(*ranks_[i]) + ": its model is not that of " + joined_paths(*ranks_[first]) +
                       "; the rules over ranks leave it out");
      continue;
    }
    index_[i] = numbers.size();
    numbers.push_back(schemas_[i]->identity.rank);
  }
  const RunIdentity& identity = schemas_[first]->identity;
  lines_.begin(identity, begin, files);
  if (numbers.size() < 2) return;
  rank_rules_ = std::make_unique<RankRules>(numbers, engine_setup(config_.rules).rules);
  rank_rules_->set_on_alert([this, first](const Alert& alert) { lines_.add(alert, {&schemas_[first]->identity, AlertOrigin::kAllRanks}); });
}

void RankGroup::run(const std::function<void()>& on_progress) {
  for (std::size_t i = furthest_behind(); i != kNone; i = furthest_behind()) {
    RunReplay& rank = *ranks_[i];
    if (rank.position().run > run_) begin_runs(rank.position().run);
    const StepRecord* const record = rank.advance();
    if (rank_rules_ != nullptr && index_[i] != kNone) {
      if (record != nullptr) rank_rules_->on_step(index_[i], *record);
      if (!rank.has_next() || rank.position().run > run_) rank_rules_->on_end(index_[i]);
    }
    on_progress();
  }
}

}  // namespace vigil::tools
