#include "vigil/tools/alert_lines.h"

#include <algorithm>
#include <ostream>
#include <string_view>

#include "vigil/exporters/alert_text.h"
#include "vigil/exporters/json_text.h"
#include "vigil/terminal/text_cells.h"

namespace vigil::tools {
namespace {

// Readings of the host at the time of the run, which no file holds.
constexpr std::string_view kNotJudged = "stalled, disk_full and memory_growth of the process";

std::string left(std::string_view text, std::size_t width) { return padded(text, width) + "  "; }

std::string right(std::string_view text, std::size_t width) { return right_aligned(text, width) + "  "; }

// A line of cells, without the spaces behind the last one.
std::string line_of(std::string cells) {
  cells.erase(cells.find_last_not_of(' ') + 1);
  return cells + '\n';
}

// The tensor or the layer, and what tells it from others where these do not.
std::string subject_of(const Alert& alert) {
  const std::string name(alert.parameter.view().empty() ? alert.layer.view() : alert.parameter.view()), other(alert.subject.view());
  if (name.empty() || other.empty()) return name + other;
  return name + " (" + other + ")";
}

std::size_t longest_name(const std::vector<AlertRule>& rules) {
  std::size_t width = 0;
  for (const AlertRule& rule : rules) width = std::max(width, rule.name.size());
  return width;
}

}  // namespace

AlertLines::AlertLines(std::ostream& out, std::vector<AlertRule> rules, bool as_json)
    : out_(out), rules_(std::move(rules)), as_json_(as_json), tallies_(rules_.size()) {}

void AlertLines::begin(const RunIdentity& run, std::size_t ranks, const std::string& files) {
  names_ranks_ = ranks > 1;
  if (as_json_) return;
  if (before_lines_) before_lines_();
  out_ << "run '" << printable(run.run) << "', " << (names_ranks_ ? std::to_string(ranks) + " ranks" : "rank " + std::to_string(run.rank))
       << ", attempt " << run.attempt << ": " << files << '\n';
}

void AlertLines::add(const Alert& alert, const AlertOrigin& origin) {
  if (alert.state == AlertState::firing) {
    RuleTally& tally = tallies_[alert.rule];
    if (tally.fired++ == 0) tally.first_step = alert.fired_step;
  }
  const AlertMessage message = message_of(alert, rules_[alert.rule]);
  if (before_lines_) before_lines_();
  if (as_json_) {
    std::string line = "{";
    append_member(line, "type", std::string_view("alert"));
    append_member(line, "run", origin.run->run);
    if (origin.rank != AlertOrigin::kAllRanks) append_member(line, "rank", origin.rank);
    append_member(line, "attempt", origin.run->attempt);
    append_alert(line, message);
    out_ << printable_json(line) << "}\n";
    return;
  }
  const std::string subject = subject_of(alert);
  const std::string rank = origin.rank == AlertOrigin::kAllRanks ? "all" : std::to_string(origin.rank);
  out_ << right("step " + std::to_string(alert.step), 13) << (names_ranks_ ? left("rank " + rank, 8) : "")
       << left(kAlertStateNames[static_cast<std::size_t>(alert.state)], 8) << left(message.severity, 8)
       << left(message.name, longest_name(rules_)) << left(subject.empty() ? "-" : printable(subject), 16)
       << printable(alert.sentence.view()) << '\n';
}

bool AlertLines::has_fired(Severity least) const {
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    if (tallies_[i].fired > 0 && rules_[i].severity >= least) return true;
  }
  return false;
}

void AlertLines::finish(const ReplayedAmount& amount) {
  if (before_lines_) before_lines_();
  if (as_json_) {
    finish_as_json(amount);
  } else {
    finish_as_text(amount);
  }
}

void AlertLines::finish_as_text(const ReplayedAmount& amount) {
  const std::string what =
      counted(amount.steps, "step") + " and " + counted(amount.frames, "sample") + " of " + counted(amount.runs, "run");
  const std::size_t width = longest_name(rules_);
  bool is_first = true;
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const RuleTally& tally = tallies_[i];
    if (tally.fired == 0) continue;
    if (is_first) out_ << '\n' << line_of(left("RULE", width) + left("SEVERITY", 8) + right("FIRED", 7) + right("FIRST STEP", 12));
    is_first = false;
    out_ << line_of(left(rules_[i].name, width) + left(kSeverityNames[static_cast<std::size_t>(rules_[i].severity)], 8) +
                    right(std::to_string(tally.fired), 7) + right(std::to_string(tally.first_step), 12));
  }
  out_ << (is_first ? "No rule fired in " : "\nIn ") << what << ".\nNot judged, as a file holds no readings of the host: " << kNotJudged
       << ".\n";
}

void AlertLines::finish_as_json(const ReplayedAmount& amount) {
  std::string line = "{";
  append_member(line, "type", std::string_view("summary"));
  append_member(line, "runs", amount.runs);
  append_member(line, "steps", amount.steps);
  append_member(line, "frames", amount.frames);
  append_member(line, "not_judged", kNotJudged);
  line += ",\"rules\":[";
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    if (tallies_[i].fired == 0) continue;
    line += line.back() == '[' ? "{" : ",{";
    append_member(line, "alert", rules_[i].name);
    append_member(line, "severity", kSeverityNames[static_cast<std::size_t>(rules_[i].severity)]);
    append_member(line, "fired", tallies_[i].fired);
    append_member(line, "first_step", tallies_[i].first_step);
    line += '}';
  }
  out_ << line << "]}\n";
}

}  // namespace vigil::tools
