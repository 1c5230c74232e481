#include "vigil/tools/top_view.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "vigil/exporters/seconds.h"
#include "vigil/monitor/clock.h"
#include "vigil/monitor/dtype.h"
#include "vigil/monitor/sparsity.h"
#include "vigil/monitor/update_ratio.h"
#include "vigil/terminal/line_chart.h"
#include "vigil/terminal/text_cells.h"

namespace vigil::tools {
namespace {

constexpr std::size_t kLabelColumns = 24, kTallScreen = 32;

std::string cell(const std::optional<double>& value) { return value ? short_number(*value) : "-"; }

// One picture in the making.
class View {
 public:
  View(const FollowedRun& run, const TopHistory& history, TopState& state, ScreenSize size, bool colored)
      : run_(run), snapshot_(*run.snapshot()), history_(history), state_(state), size_(size), colored_(colored) {}

  std::vector<std::string> lines(ScrollRoom& room) {
    add_header();
    add_state();
    add_nonfinite();
    add_charts();
    add_figures();
    add_alerts();
    add_layers(room);
    add_keys();
    if (lines_.size() > size_.lines) lines_.resize(size_.lines);
    return std::move(lines_);
  }

 private:
  ScreenLine begin() const { return {size_.columns, colored_}; }
  void end(const ScreenLine& line) { lines_.push_back(line.text()); }
  bool is_tall() const noexcept { return size_.lines >= kTallScreen; }
  void add_bar(const std::string& text, Style style) { end(begin().add(padded(text, size_.columns), style)); }

  void add_header() {
    const RunIdentity& who = run_.identity();
    const std::string left = " vigil top  " + printable(who.run) + "  rank " + std::to_string(who.rank) + " of " +
                             std::to_string(who.world_size) + "  attempt " + std::to_string(who.attempt) + "  process " +
                             std::to_string(who.pid);
    const std::string right = (state_.is_held ? "held  " : "") + time_of_day(wall_time_ns()).substr(0, 8) + " ";
    const std::size_t room = size_.columns - std::min(size_.columns, columns_of(right) + 1);
    add_bar(padded(clipped(left, room), room) + " " + right, Style::heading);
  }

  void add_state() {
    const RunCondition& condition = run_.condition();
    ScreenLine line = begin();
    line.add(condition_text(condition), style_of(condition.state));
    if (!snapshot_.has_step) {
      end(line.add("   no step yet"));
      return;
    }
    const bool goes_on = condition.state == RunState::running;
    line.add("   step ").add(grouped(snapshot_.step.step), Style::bold);
    const double age = to_seconds(wall_time_ns() - snapshot_.step.wall_time_ns);
    if (!goes_on || age > 2) line.add(", " + seconds_text(age) + " ago", goes_on ? Style::plain : Style::yellow);
    if (run_.live().phase != 0) line.add("   in " + printable(run_.phase()), Style::cyan);
    if (snapshot_.mean_step_seconds > 0) {
      if (goes_on) line.add("   " + short_number(run_.steps_per_second()) + " steps/s");
      if (goes_on && snapshot_.step.examples > 0)
        line.add("   " + short_number(std::round(static_cast<double>(snapshot_.step.examples) * run_.steps_per_second())) + " examples/s");
      line.add("   vigil " + short_number(std::round(1e4 * snapshot_.overhead_ratio()) / 100) + " %");
    }
    end(line);
    if (!run_.problem().empty()) end(begin().add("not all of the file can be read: " + printable(run_.problem()), Style::red));
  }

  void add_nonfinite() {
    if (!run_.has_nonfinite()) return;
    const RunTotals& totals = snapshot_.step.totals;
    std::string text = " NaN  " + grouped(totals.nonfinite_steps) + " of " + grouped(snapshot_.step.step) + " steps";
    if (totals.skipped_steps > 0) text += ", " + grouped(totals.skipped_steps) + " skipped";
    if (const std::string values = nonfinite_text(totals); !values.empty()) text += "; " + values;
    add_bar(text, Style::alarm);
    if (snapshot_.origin) end(begin().add(" step " + grouped(snapshot_.origin->step) + ": " + sentence_of(*snapshot_.origin), Style::red));
  }

  void add_chart(const std::string& name, const std::optional<double>& latest, const std::vector<double>& values, std::size_t height) {
    if (!latest) return;
    const Style style = is_finite_bits(*latest) ? Style::bold : Style::red;
    const std::size_t width = size_.columns - std::min(size_.columns, kLabelColumns);
    const std::vector<std::string> chart = line_chart(values, width, height, colored_);
    for (std::size_t i = 0; i < height; ++i) {
      ScreenLine line = begin();
      if (i == height - 1) line.add(name + " ", Style::dim).add(short_number(*latest), style);
      line.to(kLabelColumns);
      lines_.push_back(line.left() > 0 || width > 0 ? line.text() + chart[i] : line.text());
    }
  }

  void add_charts() {
    add_chart("loss", snapshot_.loss, history_.losses, is_tall() ? 4 : 2);
    add_chart("gradient norm", snapshot_.gradient_norm, history_.gradient_norms, is_tall() ? 2 : 1);
  }

  void add_figures() {
    if (!snapshot_.has_step) return;
    ScreenLine line = begin();
    if (snapshot_.step.has(StepRecord::has_parameter_norm))
      line.add("parameter norm ", Style::dim).add(short_number(snapshot_.step.parameter_norm)).add("   ");
    if (const auto ratio = update_ratio(snapshot_)) line.add("update ratio ", Style::dim).add(short_number(*ratio)).add("   ");
    if (const auto share = sparsity(snapshot_); share && *share > 0)
      line.add("sparsity ", Style::dim).add(short_number(100 * *share) + " %").add("   ");
    if (!snapshot_.learning_rates.empty()) {
      line.add("learning rate ", Style::dim).add(short_number(snapshot_.learning_rates.front()));
      if (snapshot_.learning_rates.size() > 1) line.add(" (of " + std::to_string(snapshot_.learning_rates.size()) + ")", Style::dim);
    }
    end(line);
    add_step_time();
  }

  // Where the time of a step goes, over all steps that are there.
  void add_step_time() {
    const DurationHistogram& total = snapshot_.durations[static_cast<std::size_t>(Phase::total)];
    if (total.count == 0 || total.sum_seconds <= 0) return;
    struct Part {
      Phase phase;
      const char *name, *block;
      Style style;
    };
    constexpr std::array<Part, 3> kParts{{{Phase::data, "data", "▒", Style::yellow},
                                          {Phase::forward_backward, "fwd+bwd", "█", Style::cyan},
                                          {Phase::optimizer, "optimizer", "▓", Style::green}}};
    const auto share_of = [&](const Part& part) {
      return snapshot_.durations[static_cast<std::size_t>(part.phase)].sum_seconds / total.sum_seconds;
    };
    const auto legend_of = [&](const Part& part) {
      return std::string(part.name) + " " + short_number(std::round(100 * share_of(part))) + " %";
    };
    ScreenLine line = begin();
    line.add("step time ", Style::dim).add(seconds_text(snapshot_.mean_step_seconds), Style::bold).to(kLabelColumns);
    std::size_t legend_columns = 0;
    for (const Part& part : kParts) legend_columns += 4 + columns_of(legend_of(part));
    const std::size_t width = std::clamp<std::size_t>(line.left() - std::min(line.left(), legend_columns), 8, 24);
    std::size_t used = 0;
    double sum = 0;
    for (const Part& part : kParts) {
      sum += share_of(part);
      const auto until = static_cast<std::size_t>(std::round(std::clamp(sum, 0.0, 1.0) * static_cast<double>(width)));
      std::string bar;
      for (; used < until; ++used) bar += part.block;
      line.add(bar, part.style);
    }
    line.add(std::string(width - used, ' '));
    for (const Part& part : kParts) {
      if (share_of(part) > 0) line.add("  " + std::string(part.block), part.style).add(" " + legend_of(part));
    }
    end(line);
  }

  void add_alerts() {
    const std::vector<const Alert*> firing = run_.firing();
    const std::size_t room = is_tall() ? 8 : 3;
    ScreenLine head = begin();
    head.add("alerts ", Style::dim)
        .add(firing.empty() ? "none" : std::to_string(firing.size()), firing.empty() ? Style::plain : Style::bold);
    if (firing.size() > room) head.add("; the first " + std::to_string(room), Style::dim);
    end(head);
    for (std::size_t i = 0; i < std::min(room, firing.size()); ++i) {
      const AlertRule& rule = run_.rules()[firing[i]->rule];
      const Style style = rule.severity == Severity::critical ? Style::red : Style::yellow;
      end(begin()
              .add("  " + padded(kSeverityNames[static_cast<std::size_t>(rule.severity)], 8) + "  " + padded(printable(rule.name), 20) +
                       "  ",
                   style)
              .add(printable(firing[i]->sentence.view())));
    }
  }

  void add_layers(ScrollRoom& room) {
    const std::size_t page = room.page =
        size_.lines - std::min(size_.lines, lines_.size() + (state_.has_keys ? 2 : 1));  // the titles and the keys
    std::vector<LayerFigures> layers = layers_of(snapshot_);
    sort_layers(layers, state_.order);
    room.last = layers.size() - std::min(layers.size(), page);
    state_.scroll = std::min(state_.scroll, room.last);
    std::size_t widest = 16;
    for (const LayerFigures& layer : layers) widest = std::max(widest, columns_of(layer.layer));
    constexpr std::size_t kNumber = 11, kNonfinite = 14;
    const std::size_t numbers = 3 * (kNumber + 1) + kNonfinite + 1;
    const std::size_t name_columns = std::min(widest, std::max<std::size_t>(16, size_.columns - std::min(size_.columns, numbers)));

    ScreenLine head = begin();
    const auto title = [&](std::string text, LayerOrder order, std::size_t columns) {
      head.add(right_aligned(text + (state_.order == order ? "▼" : ""), columns) + " ", Style::heading);
    };
    head.add(padded(state_.order == LayerOrder::name ? "LAYER▲" : "LAYER", name_columns), Style::heading);
    title("GRAD NORM", LayerOrder::gradient_norm, kNumber);
    title("UPDATE", LayerOrder::update_ratio, kNumber);
    title("PARAM NORM", LayerOrder::parameter_norm, kNumber);
    title("NON-FINITE", LayerOrder::nonfinite, kNonfinite);
    head.add(std::string(head.left(), ' '), Style::heading);
    end(head);
    if (!snapshot_.has_frame) {
      end(begin().add("  no tensors were sampled yet", Style::dim));
      return;
    }
    const auto [low, high] = range_of(layers);
    for (std::size_t i = state_.scroll; i < std::min(layers.size(), state_.scroll + page); ++i) {
      const LayerFigures& layer = layers[i];
      ScreenLine line = begin();
      line.add(padded(clipped(layer.layer, name_columns), name_columns), layer.has_nonfinite() ? Style::red : Style::plain);
      for (const std::optional<double>& value : {layer.gradient_norm, layer.update_ratio, layer.parameter_norm})
        line.add(right_aligned(cell(value), kNumber) + " ", value && !is_finite_bits(*value) ? Style::red : Style::plain);
      const std::string nonfinite = !layer.has_nonfinite() ? "-"
                                    : layer.nan > 0        ? grouped(layer.nan) + " NaN"
                                                           : grouped(layer.infinite) + " Inf";
      line.add(right_aligned(clipped(nonfinite, kNonfinite), kNonfinite) + " ", layer.has_nonfinite() ? Style::red : Style::dim);
      add_layer_bar(line, layer, low, high);
      end(line);
    }
  }

  const std::optional<double>& key_of(const LayerFigures& layer) const noexcept {
    return state_.order == LayerOrder::update_ratio     ? layer.update_ratio
           : state_.order == LayerOrder::parameter_norm ? layer.parameter_norm
                                                        : layer.gradient_norm;
  }

  // Of the finite values above 0 by which bars are drawn.
  std::pair<double, double> range_of(const std::vector<LayerFigures>& layers) const {
    double low = std::numeric_limits<double>::infinity(), high = 0;
    for (const LayerFigures& layer : layers) {
      const std::optional<double>& value = key_of(layer);
      if (!value || !is_finite_bits(*value) || *value <= 0) continue;
      low = std::min(low, *value);
      high = std::max(high, *value);
    }
    return {low, high};
  }

  void add_layer_bar(ScreenLine& line, const LayerFigures& layer, double low, double high) const {
    constexpr std::size_t kLeast = 6, kMost = 30;
    const std::size_t room = std::min(kMost, line.left());
    const std::optional<double>& value = key_of(layer);
    if (room < kLeast || !value) return;
    if (!is_finite_bits(*value)) {
      std::string crosses;
      for (std::size_t i = 0; i < room; ++i) crosses += "×";
      line.add(crosses, Style::red);
      return;
    }
    if (*value <= 0) return;
    // By the logarithm: layers differ by orders of magnitude. The smallest has one block.
    const double share = high > low ? std::log(*value / low) / std::log(high / low) : 1;
    const auto blocks = 1 + static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(room - 1));
    std::string bar;
    for (std::size_t i = 0; i < blocks; ++i) bar += "▪";
    line.add(bar, Style::cyan);
  }

  void add_keys() {
    if (!state_.has_keys || lines_.size() >= size_.lines) return;
    end(begin().add("q quit  s sort by: g u p x n  ↑↓ PgUp PgDn scroll  r runs  space hold", Style::dim));
  }

  const FollowedRun& run_;
  const Snapshot& snapshot_;
  const TopHistory& history_;
  TopState& state_;
  const ScreenSize size_;
  const bool colored_;
  std::vector<std::string> lines_;
};

void add_bounded(std::vector<double>& values, double value) {
  // Half of them go at once, so that each moves once.
  if (values.size() >= TopHistory::kMaxSteps) values.erase(values.begin(), values.begin() + TopHistory::kMaxSteps / 2);
  values.push_back(value);
}

}  // namespace

void TopHistory::add(const StepRecord& record) {
  if (record.has(StepRecord::again)) return;
  if (record.has(StepRecord::has_loss)) add_bounded(losses, record.loss);
  if (record.has(StepRecord::has_gradient_norm)) add_bounded(gradient_norms, record.gradient_norm);
}

std::vector<std::string> top_lines(const FollowedRun& run, const TopHistory& history, TopState& state, ScreenSize size, bool colored,
                                   ScrollRoom& room) {
  return View(run, history, state, size, colored).lines(room);
}

std::vector<std::string> choice_lines(const std::string& head, const std::vector<RunEntry>& entries, std::size_t chosen, ScreenSize size,
                                      bool colored) {
  std::vector<std::string> lines{ScreenLine(size.columns, colored).add(padded("  " + head, size.columns), Style::heading).text()};
  const std::size_t room = size.lines - std::min<std::size_t>(size.lines, 2);
  const std::size_t first = chosen >= room && room > 0 ? chosen - room + 1 : 0;
  for (std::size_t i = first; i < std::min(entries.size(), first + room); ++i) {
    ScreenLine line(size.columns, colored);
    line.add(i == chosen ? "▶ " : "  ").add(entries[i].text, i == chosen ? Style::bold : entries[i].style);
    lines.push_back(line.text());
  }
  lines.push_back(ScreenLine(size.columns, colored).add("↑↓ choose  enter show  escape back  q quit", Style::dim).text());
  if (lines.size() > size.lines) lines.resize(size.lines);
  return lines;
}

}  // namespace vigil::tools
