#include "vigil/tools/ps.h"

#include <array>
#include <memory>
#include <optional>
#include <ostream>
#include <utility>

#include "vigil/config/config_reader.h"
#include "vigil/exporters/alert_text.h"
#include "vigil/exporters/json_text.h"
#include "vigil/exporters/seconds.h"
#include "vigil/monitor/clock.h"
#include "vigil/monitor/dtype.h"
#include "vigil/terminal/progress_line.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_cells.h"
#include "vigil/tools/followed_run.h"
#include "vigil/tools/ring_search.h"

namespace vigil::tools {
namespace {

const std::vector<TableColumn> kColumns{{"RUN"},
                                        {"RANK", true, 3},
                                        {"ATTEMPT", true, 8},
                                        {"STATE"},
                                        {"PID", true, 7},
                                        {"STEP", true},
                                        {"STEPS/S", true, 4},
                                        {"LOSS", true, 2},
                                        {"GRAD NORM", true, 6},
                                        {"LAST STEP", true, 5},
                                        {"ALERTS", false, 1},
                                        {"WHY", false, 0, 12},
                                        {"FILE", false, 9}};

std::string number_or_dash(const std::optional<double>& value) { return value ? short_number(*value) : "-"; }

// What a run has to show for its alerts: how many fire, of which severity, and whether anything was not finite.
std::string alerts_text(const FollowedRun& run) {
  std::array<std::size_t, 3> counts{};
  for (const Alert* const alert : run.firing()) ++counts[static_cast<std::size_t>(run.rules()[alert->rule].severity)];
  std::string text = run.has_nonfinite() ? "NaN" : "";
  if (!run.problem().empty()) text += (text.empty() ? "" : ", ") + std::string("damaged");
  // The most severe in words, the others as a number.
  std::size_t others = 0, severity = counts.size();
  while (severity > 0 && counts[severity - 1] == 0) --severity;
  if (severity == 0) return text.empty() ? "-" : text;
  for (std::size_t i = 0; i + 1 < severity; ++i) others += counts[i];
  text += (text.empty() ? "" : ", ") + std::to_string(counts[severity - 1]) + ' ' + std::string(kSeverityNames[severity - 1]);
  return others > 0 ? text + " +" + std::to_string(others) : text;
}

double last_step_age(const FollowedRun& run) {
  return run.snapshot()->has_step ? to_seconds(wall_time_ns() - run.snapshot()->step.wall_time_ns) : TensorRow::kNotMeasured;
}

std::vector<std::string> row_of(const FollowedRun& run) {
  const RunIdentity& identity = run.identity();
  const Snapshot& snapshot = *run.snapshot();
  const double rate = is_alive(run.condition().state) && run.condition().state != RunState::hung ? run.steps_per_second() : 0;
  return {printable(identity.run),
          std::to_string(identity.rank),
          std::to_string(identity.attempt),
          std::string(kRunStateNames[static_cast<std::size_t>(run.condition().state)]),
          std::to_string(identity.pid),
          std::to_string(snapshot.has_step ? snapshot.step.step : 0),
          rate > 0 ? short_number(rate) : "-",
          number_or_dash(snapshot.loss),
          number_or_dash(snapshot.gradient_norm),
          snapshot.has_step ? seconds_text(last_step_age(run)) + " ago" : "-",
          alerts_text(run),
          printable(run.condition().reason),
          printable(run.ring().path)};
}

std::vector<std::string> row_of(const FoundRing& unreadable) {
  std::vector<std::string> row(kColumns.size(), "-");
  row.front() = "?";
  row[3] = kRunStateNames[static_cast<std::size_t>(RunState::unreadable)];
  row[row.size() - 2] = printable(unreadable.problem);
  row.back() = printable(unreadable.path);
  return row;
}

std::string json_of(const FollowedRun& run) {
  const Snapshot& snapshot = *run.snapshot();
  std::string out = "{";
  append_member(out, "file", run.ring().path);
  append_member(out, "state", kRunStateNames[static_cast<std::size_t>(run.condition().state)]);
  append_member(out, "reason", run.condition().reason);
  append_run(out, run.identity());
  append_member(out, "step", snapshot.has_step ? snapshot.step.step : 0);
  if (snapshot.has_step) {
    append_member(out, "last_step_time", to_seconds(snapshot.step.wall_time_ns));
    append_member(out, "last_step_age_seconds", last_step_age(run));
    append_member(out, "nonfinite_steps", snapshot.step.totals.nonfinite_steps);
  }
  if (snapshot.mean_step_seconds > 0) append_member(out, "mean_step_seconds", snapshot.mean_step_seconds);
  if (snapshot.loss) append_member(out, "loss", *snapshot.loss);
  if (snapshot.gradient_norm) append_member(out, "gradient_norm", *snapshot.gradient_norm);
  append_member(out, "phase", run.phase());
  append_member(out, "nonfinite", run.has_nonfinite());
  if (!run.problem().empty()) append_member(out, "problem", run.problem());
  out += ",\"alerts\":[";
  for (const Alert* const alert : run.firing()) {
    out += out.back() == '[' ? "{" : ",{";
    append_alert(out, message_of(*alert, run.rules()[alert->rule]));
    out += '}';
  }
  return out + "]}";
}

std::string json_of(const FoundRing& unreadable) {
  std::string out = "{";
  append_member(out, "file", unreadable.path);
  append_member(out, "state", kRunStateNames[static_cast<std::size_t>(RunState::unreadable)]);
  append_member(out, "reason", unreadable.problem);
  return out + '}';
}

}  // namespace

int ps(const PsOptions& options, std::ostream& out, std::ostream& err) {
  try {
    const auto rules = std::make_shared<const Config>(options.rules.empty() ? Config{} : load_config(options.rules));
    std::vector<std::string> notes;
    std::vector<FoundRing> rings = find_rings(options.directories, notes);
    ProgressLine progress(err, options.shows_progress);
    std::vector<TableRow> rows;
    for (std::size_t i = 0; i < rings.size(); ++i) {
      progress.show([&] { return "reading ring files: " + std::to_string(i) + " of " + std::to_string(rings.size()); });
      const FoundRing ring = std::exchange(rings[i], {});  // closed when it has been looked at
      if (ring.file == nullptr) {
        if (options.json) out << printable_json(json_of(ring)) << '\n';
        rows.push_back({row_of(ring), style_of(RunState::unreadable)});
        continue;
      }
      FollowedRun run(ring, rules);
      run.poll();
      if (options.json) out << printable_json(json_of(run)) << '\n';
      const RunState state = run.condition().state;
      rows.push_back({row_of(run), state == RunState::running ? Style::plain : style_of(state)});
    }
    progress.clear();
    for (const std::string& note : notes) err << "vigil: note: " << printable(note) << '\n';
    if (rows.empty()) err << "vigil: no ring file of a run was found; a training writes one with ring.shared: true\n";
    if (!rows.empty() && !options.json) out << table_text(kColumns, rows, options.place);
    return 0;
  } catch (const std::invalid_argument& error) {
    err << (options.rules.empty() ? std::string() : options.rules + ": ") << error.what() << '\n';
  } catch (const std::runtime_error& error) {
    err << "vigil: " << error.what() << '\n';
  }
  return 1;
}

}  // namespace vigil::tools
