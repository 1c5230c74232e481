#include "vigil/tools/run_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

#include "vigil/exporters/alert_text.h"
#include "vigil/exporters/seconds.h"
#include "vigil/monitor/clock.h"
#include "vigil/monitor/dtype.h"
#include "vigil/monitor/sparsity.h"
#include "vigil/monitor/statistics.h"
#include "vigil/monitor/update_ratio.h"
#include "vigil/terminal/line_chart.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_cells.h"
#include "vigil/tools/fact_lines.h"
#include "vigil/tools/layer_figures.h"

namespace vigil::tools {
namespace {

std::string ring_id(const RingHeader& header) {
  std::string text;
  for (const std::uint8_t byte : header.ring_id) {
    std::array<char, 3> digits;
    std::snprintf(digits.data(), digits.size(), "%02x", byte);
    text += digits.data();
  }
  return text;
}

std::string value_cell(const std::optional<double>& value) { return value ? short_number(*value) : "-"; }

std::string share_text(double part, double whole) {
  return whole > 0 ? short_number(std::round(1000 * part / whole) / 10) + " %" : std::string("-");
}

void add_pace(Facts& facts, const FollowedRun& run) {
  const Snapshot& snapshot = *run.snapshot();
  if (snapshot.mean_step_seconds <= 0) return;
  std::string text = seconds_text(snapshot.mean_step_seconds) + " a step (" + short_number(run.steps_per_second()) + " a second)";
  if (snapshot.step.examples > 0)
    text += ", " + short_number(std::round(static_cast<double>(snapshot.step.examples) * run.steps_per_second())) + " examples a second";
  text += ", of it in vigil " + share_text(snapshot.overhead_ratio(), 1);
  facts.add("pace", text);
  const DurationHistogram& total = snapshot.durations[static_cast<std::size_t>(Phase::total)];
  std::string phases;
  for (const auto& [phase, name] : {std::pair(Phase::data, "data"), std::pair(Phase::forward_backward, "forward and backward"),
                                    std::pair(Phase::optimizer, "optimizer")}) {
    const DurationHistogram& durations = snapshot.durations[static_cast<std::size_t>(phase)];
    if (durations.count == 0) continue;
    phases += (phases.empty() ? "" : ", ") + std::string(name) + ' ' + share_text(durations.sum_seconds, total.sum_seconds);
  }
  if (!phases.empty()) facts.add("", phases);
}

void add_losses(Facts& facts, const FollowedRun& run, const std::vector<double>& losses, const OutputPlace& place) {
  const Snapshot& snapshot = *run.snapshot();
  if (snapshot.loss) {
    std::string text = short_number(*snapshot.loss);
    const auto nonfinite = std::count_if(losses.begin(), losses.end(), [](double loss) { return !is_finite_bits(loss); });
    if (nonfinite > 0) text += "; × marks " + counted(nonfinite, "step") + " with a loss that is not finite";
    facts.add("loss", text, is_finite_bits(*snapshot.loss) ? Style::plain : Style::red);
    const std::size_t width = std::clamp<std::size_t>(place.columns > 0 ? place.columns : 80, 20, 120) - Facts::kLabelColumns;
    for (const std::string& line : line_chart(losses, width, 3, place.colored))
      facts.add_line(std::string(Facts::kLabelColumns, ' ') + line);
  }
  std::string norms = "gradients " + value_cell(snapshot.gradient_norm);
  if (snapshot.step.has(StepRecord::has_parameter_norm)) norms += ", parameters " + short_number(snapshot.step.parameter_norm);
  if (const auto ratio = update_ratio(snapshot)) norms += ", update ratio " + short_number(*ratio);
  facts.add("norms", norms);
  if (const auto share = sparsity(snapshot); share && *share > 0)
    facts.add("sparsity", short_number(100 * *share) + " % of the sampled parameters' elements are 0");
  std::string rates;
  for (std::size_t i = 0; i < snapshot.learning_rates.size() && i < 16; ++i) {
    const auto& groups = run.schema().groups;
    rates += (i > 0 ? ", " : "") + short_number(snapshot.learning_rates[i]);
    if (snapshot.learning_rates.size() > 1 && i < groups.size()) rates += " (" + printable(groups[i]) + ")";
  }
  if (!rates.empty()) facts.add("rates", rates);
  std::string scalars;
  for (const auto& [name, value] : snapshot.user_scalars)
    scalars += (scalars.empty() ? "" : ", ") + printable(name) + " " + short_number(value);
  if (!scalars.empty()) facts.add("scalars", scalars);
}

void add_nonfinite(Facts& facts, const FollowedRun& run) {
  if (!run.has_nonfinite()) return;
  const RunTotals& totals = run.snapshot()->step.totals;
  facts.add("non-finite",
            grouped(totals.nonfinite_steps) + " of " + grouped(run.snapshot()->step.step) + " steps, " + grouped(totals.skipped_steps) +
                " skipped, " + counted(totals.rollbacks, "rollback"),
            Style::red);
  if (const std::string values = nonfinite_text(totals); !values.empty()) facts.add("", values);
}

std::string row_state(const TensorRow& row) {
  return row.state == TensorRow::absent ? "absent" : row.state == TensorRow::frozen ? "frozen" : "unreadable";
}

struct TensorLine {
  std::size_t row = 0;
  std::optional<double> norm, ratio;
  std::uint64_t nonfinite = 0;
};

}  // namespace

std::string summary_text(const FollowedRun& run, std::uint64_t steps, const std::vector<double>& losses, const OutputPlace& place) {
  const Snapshot& snapshot = *run.snapshot();
  const RunIdentity& who = run.identity();
  const RingHeader& header = run.file().header();
  const std::int64_t now_ns = wall_time_ns();
  Facts facts(place);
  facts.add("run",
            printable(who.run) + ", rank " + std::to_string(who.rank) + " of " + std::to_string(who.world_size) + ", attempt " +
                std::to_string(who.attempt),
            Style::bold);
  facts.add("state", condition_text(run.condition()), style_of(run.condition().state));
  facts.add("file", printable(run.ring().path));
  facts.add("", "ring format " + std::to_string(header.abi_major) + "." + std::to_string(header.abi_minor) + ", " +
                    bytes_text(header.total_size) + ", made " + time_text(header.wall_time_ns) + ", id " + ring_id(header));
  facts.add("writer", "process " + std::to_string(header.pid) + " of user " + std::to_string(header.uid) + " on " + printable(who.host));
  facts.add("model", printable(who.model) + ", " + grouped(run.schema().trainable.elements) + " trainable parameters in " +
                         counted(run.schema().layers, "layer") + ", libtorch " + printable(who.libtorch));
  if (!who.model_fingerprint.empty()) facts.add("", "fingerprint " + who.model_fingerprint);
  facts.add("started", time_text(who.start_time_ns));
  if (!snapshot.has_step) {
    facts.add("last step", "none yet");
  } else {
    facts.add("last step", grouped(snapshot.step.step) + " at " + time_text(snapshot.step.wall_time_ns) + ", " +
                               seconds_text(to_seconds(now_ns - snapshot.step.wall_time_ns)) + " ago; " +
                               (is_alive(run.condition().state) ? "now in phase " : "was in phase ") + printable(run.phase()));
    add_pace(facts, run);
    add_losses(facts, run, losses, place);
    add_nonfinite(facts, run);
  }
  facts.add("kept", counted(steps, "step") + " and " + counted(snapshot.frame_ring.read, "frame") + " (" +
                        grouped(snapshot.step_ring.overwritten) + " and " + grouped(snapshot.frame_ring.overwritten) +
                        " older ones were overwritten)");
  if (!run.problem().empty()) facts.add("damaged", "not all of it can be read: " + printable(run.problem()), Style::red);
  return facts.take();
}

std::string alerts_text(const FollowedRun& run, const OutputPlace& place) {
  std::vector<TableRow> rows;
  for (const Alert* const alert : run.firing()) {
    const AlertRule& rule = run.rules()[alert->rule];
    rows.push_back({{"firing", std::string(kSeverityNames[static_cast<std::size_t>(rule.severity)]), printable(rule.name),
                     std::to_string(alert->fired_step), "", printable(alert->sentence.view())},
                    rule.severity == Severity::critical ? Style::red : Style::yellow});
  }
  for (std::size_t i = 0; i < run.fired().size(); ++i) {
    const auto firing = run.firing();
    const bool fires = std::any_of(firing.begin(), firing.end(), [i](const Alert* alert) { return alert->rule == i; });
    if (run.fired()[i] == 0 || fires) continue;
    const AlertRule& rule = run.rules()[i];
    rows.push_back({{"over", std::string(kSeverityNames[static_cast<std::size_t>(rule.severity)]), printable(rule.name), "",
                     std::to_string(run.fired()[i]), ""}});
  }
  if (rows.empty()) return "";
  OutputPlace wide = place;
  wide.columns = 0;  // what was seen is not to be cut off
  return table_text({{"ALERT"}, {"SEVERITY"}, {"RULE"}, {"SINCE STEP", true}, {"TIMES", true}, {"SEEN"}}, rows, wide);
}

std::string steps_text(const std::deque<StepLine>& steps, const FollowedRun& run, const OutputPlace& place) {
  std::vector<TableRow> rows;
  for (const StepLine& line : steps) {
    const StepRecord& step = line.record;
    const bool has_total = step.has(StepRecord::has_total_time);
    std::string note = step.has(StepRecord::nonfinite) ? "not finite" : "";
    if (step.has(StepRecord::skipped)) note += note.empty() ? "skipped" : ", skipped";
    const bool has_rate = run.schema().learning_rates > 0 && !line.scalars.empty();
    rows.push_back(
        {{std::to_string(step.step), time_of_day(step.wall_time_ns), step.has(StepRecord::has_loss) ? short_number(step.loss) : "-",
          step.has(StepRecord::has_gradient_norm) ? short_number(step.gradient_norm) : "-",
          has_rate ? short_number(line.scalars.front()) : "-", has_total ? seconds_text(1e-9 * static_cast<double>(step.total_ns)) : "-",
          note},
         step.has(StepRecord::nonfinite) ? Style::red : Style::plain});
  }
  if (rows.empty()) return "";
  return table_text({{"STEP", true}, {"TIME"}, {"LOSS", true}, {"GRADIENT NORM", true}, {"RATE", true, 2}, {"STEP TIME", true, 1}, {""}},
                    rows, place);
}

std::string tensors_text(const FollowedRun& run, TensorOrder order, const OutputPlace& place) {
  const Snapshot& snapshot = *run.snapshot();
  if (!snapshot.has_frame) return "";
  const std::vector<RowSchema>& schema = run.schema().rows;
  std::vector<TensorLine> lines;
  for (std::size_t i = 0; i < std::min(schema.size(), snapshot.rows.size()); ++i) {
    const TensorRow& row = snapshot.rows[i];
    TensorLine& line = lines.emplace_back();
    line.row = i;
    if (row.state != TensorRow::present) continue;
    line.norm = finite_norm_of(row.moments).l2_norm;
    line.ratio = update_ratio(schema[i], row);
    line.nonfinite = row.moments.nan_count + unmeant_infinite(schema[i], row);
  }
  std::stable_sort(lines.begin(), lines.end(), [&](const TensorLine& a, const TensorLine& b) {
    switch (order) {
      case TensorOrder::model: return false;
      case TensorOrder::name: return schema[a.row].name < schema[b.row].name;
      case TensorOrder::norm: return is_larger(a.norm, b.norm);
      case TensorOrder::update_ratio: return is_larger(a.ratio, b.ratio);
      case TensorOrder::nonfinite: return a.nonfinite > b.nonfinite;
    }
    return false;
  });
  std::vector<TableRow> rows;
  for (const TensorLine& line : lines) {
    const RowSchema& of = schema[line.row];
    const TensorRow& row = snapshot.rows[line.row];
    TableRow& cells = rows.emplace_back();
    cells.cells = {std::string(kTensorKindNames[static_cast<std::size_t>(of.kind)]), printable(of.name), printable(of.shape)};
    if (row.state != TensorRow::present) {
      cells.cells.insert(cells.cells.end(), {row_state(row), "-", "-", "-", "-", "-", "-"});
      continue;
    }
    const Moments& moments = row.moments;
    cells.cells.insert(cells.cells.end(),
                       {value_cell(line.norm), short_number(statistics::mean(moments)), short_number(statistics::std(moments)),
                        short_number(statistics::min(moments)), short_number(statistics::max(moments)), value_cell(line.ratio),
                        line.nonfinite == 0 ? "-" : grouped(moments.nan_count) + " NaN, " + grouped(moments.inf_count) + " Inf"});
    if (line.nonfinite > 0) cells.style = Style::red;
  }
  return styled("Tensors of step " + grouped(snapshot.frame.step), Style::bold, place.colored) + '\n' +
         table_text({{"KIND"},
                     {"NAME"},
                     {"SHAPE", false, 5},
                     {"NORM", true},
                     {"MEAN", true, 3},
                     {"STD", true, 1},
                     {"MIN", true, 4},
                     {"MAX", true, 4},
                     {"UPDATE RATIO", true, 2},
                     {"NON-FINITE"}},
                    rows, place);
}

std::string events_text(const std::vector<NonfiniteEvent>& events, const OutputPlace& place) {
  std::string out;
  for (const NonfiniteEvent& event : events) {
    out += styled("step " + grouped(event.step), Style::red, place.colored) + " (found by " +
           std::string(kFoundByNames[static_cast<std::size_t>(event.found_by)]) + "): " + sentence_of(event) + '\n';
  }
  return out;
}

std::string notes_text(const FollowedRun& run, const OutputPlace& place) {
  std::string out;
  for (std::size_t i = 0; i < kHookNames.size(); ++i) {
    std::string note;
    try {
      note = run.file().read_note(static_cast<Hook>(i));
    } catch (const RingFileError& error) {
      return out + "notes of hooks: " + error.what() + '\n';
    }
    if (note.empty()) continue;
    out += styled("hook " + std::string(kHookNames[i]), Style::yellow, place.colored) + " failed on " +
           counted(run.snapshot()->step.totals.hook_errors[i], "step") + "; first: " + printable(note) + '\n';
  }
  return out;
}

std::string schema_text(const Schema& schema, const OutputPlace& place) {
  std::vector<TableRow> rows;
  for (const RowSchema& row : schema.rows) {
    rows.push_back({{std::string(kTensorKindNames[static_cast<std::size_t>(row.kind)]), printable(row.name), printable(row.layer),
                     printable(row.shape), std::string(kDTypeNames[static_cast<std::size_t>(row.dtype)]), grouped(row.element_count)}});
  }
  return table_text({{"KIND"}, {"NAME"}, {"LAYER", false, 1}, {"SHAPE"}, {"TYPE"}, {"ELEMENTS", true}}, rows, place);
}

}  // namespace vigil::tools
