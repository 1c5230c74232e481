// Ratios within one run: the members of a comparison take turns, and each ratio is of two that ran in the same turn.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace vigil::bench {

struct Goal {
  enum Bound { none, at_least, at_most };
  Bound bound = none;
  double value = 0;
};

/// One line of the table.
struct Row {
  std::string what;
  int threads = 1;
  std::string benchmark;    ///< what is measured …
  std::string relative_to;  ///< … as a multiple of the time of this one; empty: the time itself
  bool as_speed = true;     ///< the multiple of its speed instead: time of `relative_to` / time of `benchmark`
  Goal goal = {};
  double unit_seconds = 1e-3;  ///< of a row without `relative_to`: what is written as 1 …
  std::string unit = "ms";     ///< … and its name
  std::string counter;         ///< not empty: this counter of `benchmark` is the figure, whatever the rest says
  std::string not_applicable;  ///< why this machine or this build cannot tell; empty where it can
};

struct Comparison {
  std::string title;
  std::vector<Row> rows;
  int rounds = 11;
  std::set<std::string> slow;  ///< benchmarks that take seconds: these run in the first rounds only …
  int slow_rounds = 3;         ///< … as many as this
};

struct Spread {
  double median = 0, lower = 0, upper = 0;  ///< median and quartiles
};
/// `values` is not empty.
Spread spread_of(std::vector<double> values);

struct Figure {
  Row row;
  Spread value;
  double seconds = 0, reference_seconds = 0;  ///< medians of `benchmark` and `relative_to`
  bool measured = false;                      ///< false: `row.not_applicable` says why
  bool missed = false;
};

/// Runs the benchmarks of `comparison` round by round, every second round backwards, so that what drifts falls on both sides of a ratio.
/// Rows of one thread go before those of two: a change of the number makes new threads. `progress(threads, round)` is called before each
/// round. Ends the program when a benchmark fails, or does not exist.
std::vector<Figure> run(const Comparison& comparison, const std::function<void(int, int)>& progress);

}  // namespace vigil::bench
