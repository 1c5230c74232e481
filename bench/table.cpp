#include "bench/table.h"

#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include "bench/fixture.h"
#include "bench/machine.h"

namespace vigil::bench {
namespace {

using Clock = std::chrono::steady_clock;

std::string format(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

// Three digits after the point where parts in a hundred matter.
std::string number(const Row& row, double value) {
  if (!row.as_speed && !row.relative_to.empty()) return format("%.3f", value);
  return format(std::abs(value) < 10 ? "%.2f" : std::abs(value) < 100 ? "%.1f" : "%.0f", value);
}

std::string duration(double seconds) {
  if (seconds < 1e-3) return format("%.1f µs", seconds * 1e6);
  if (seconds < 1) return format(seconds < 0.1 ? "%.2f ms" : "%.0f ms", seconds * 1e3);
  return format("%.2f s", seconds);
}

std::string goal_text(const Row& row) {
  if (row.goal.bound == Goal::none) return "";
  return (row.goal.bound == Goal::at_least ? "≥ " : "≤ ") + format("%g", row.goal.value) +
         (row.relative_to.empty() && row.counter.empty() ? " " + row.unit : "");
}

// Pads by characters, not by bytes: "µ" is two bytes.
std::string padded(std::string text, std::size_t width) {
  const auto characters = static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
  if (characters < width) text.append(width - characters, ' ');
  return text;
}

constexpr std::size_t kWidths[] = {44, 7, 9, 15, 21, 8, 6};

void print_cells(const std::vector<std::string>& cells) {
  for (std::size_t i = 0; i < cells.size(); ++i) std::printf("| %s ", padded(cells[i], kWidths[i]).c_str());
  std::printf("|\n");
}

void print_figure(const Figure& figure) {
  const Row& row = figure.row;
  const std::string threads = std::to_string(row.threads);
  if (!figure.measured) {
    print_cells({row.what, threads, "n/a", "", row.not_applicable, goal_text(row), ""});
    return;
  }
  const std::string unit = row.relative_to.empty() && row.counter.empty() ? " " + row.unit : "";
  print_cells({row.what, threads, number(row, figure.value.median) + unit,
               number(row, figure.value.lower) + " … " + number(row, figure.value.upper),
               duration(figure.seconds) + (row.relative_to.empty() ? "" : " / " + duration(figure.reference_seconds)), goal_text(row),
               row.goal.bound == Goal::none ? ""
               : figure.missed              ? "MISSED"
                                            : "ok"});
}

void print_comparison(const Comparison& comparison, const std::vector<Figure>& figures) {
  std::printf("\n**%s** (%d rounds)\n\n", comparison.title.c_str(), comparison.rounds);
  print_cells({"what", "threads", "ratio", "quartiles", "times", "goal", ""});
  for (const std::size_t width : kWidths) std::printf("|%s", std::string(width + 2, '-').c_str());
  std::printf("|\n");
  for (const Figure& figure : figures) print_figure(figure);
  std::fflush(stdout);
}

// What is being measured and how far it is: rewritten in place on a terminal, a line for each comparison elsewhere.
class ProgressLine {
 public:
  explicit ProgressLine(std::size_t total) : total_(total) {}

  void show(std::size_t index, const Comparison& comparison, int threads, int round) {
    const auto place = std::make_pair(index, threads);
    if (!terminal_ && place == shown_) return;
    shown_ = place;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begin_).count();
    std::fprintf(stderr, "%sbench: %zu of %zu, %s, threads: %d, round %d of %d (%lld s)%s", terminal_ ? "\r\033[K" : "", index + 1, total_,
                 comparison.title.c_str(), threads, round + 1, comparison.rounds, static_cast<long long>(seconds), terminal_ ? "" : "\n");
  }
  void clear() const {
    if (terminal_) std::fprintf(stderr, "\r\033[K");
  }

 private:
  std::size_t total_;
  std::pair<std::size_t, int> shown_{};  // threads are never 0
  bool terminal_ = isatty(STDERR_FILENO) != 0;
  Clock::time_point begin_ = Clock::now();
};

}  // namespace

std::vector<std::string> print_table(const TableOptions& options) {
  std::vector<Comparison> comparisons = make_comparisons(options.quick);
  const auto is_other = [&options](const Comparison& c) { return c.title.find(options.only) == std::string::npos; };
  if (std::all_of(comparisons.begin(), comparisons.end(), is_other)) {
    std::string titles;
    for (const Comparison& comparison : comparisons) titles += "\n  " + comparison.title;
    throw std::invalid_argument("--only: no title holds '" + options.only + "'; there are" + titles);
  }
  comparisons.erase(std::remove_if(comparisons.begin(), comparisons.end(), is_other), comparisons.end());

  const auto begin = Clock::now();
  const std::vector<std::string> cautions = warnings();
  for (const std::string& line : cautions) std::fprintf(stderr, "bench: warning: %s\n", line.c_str());
  ProgressLine progress(comparisons.size());
  std::vector<std::string> missed;
  for (std::size_t i = 0; i < comparisons.size(); ++i) {
    const Comparison& comparison = comparisons[i];
    const std::vector<Figure> figures = run(comparison, [&](int threads, int round) { progress.show(i, comparison, threads, round); });
    progress.clear();
    print_comparison(comparison, figures);
    for (const Figure& figure : figures) {
      if (!figure.missed) continue;
      missed.push_back(comparison.title + ": " + figure.row.what + ", " + std::to_string(figure.row.threads) +
                       (figure.row.threads == 1 ? " thread: " : " threads: ") + number(figure.row, figure.value.median) + ", goal " +
                       goal_text(figure.row));
    }
  }
  FixtureShelf::instance().clear();

  std::printf("\n");
  for (const std::string& line : describe_machine(options.commit)) std::printf("- %s\n", line.c_str());
  for (const std::string& line : cautions) std::printf("- warning: %s\n", line.c_str());
  std::printf("- the run took %lld s%s\n",
              static_cast<long long>(std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begin).count()),
              options.quick ? " (--quick: the figures are rough)" : "");
  return missed;
}

}  // namespace vigil::bench
