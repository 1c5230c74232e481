// Ratios and goals of the table, from benchmarks that say themselves how long they took.
#include "bench/comparison.h"

#include <map>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <gtest/gtest.h>

namespace vigil::bench {
namespace {

// How often each ran.
std::map<std::string, int>& runs() {
  static std::map<std::string, int> counts;
  return counts;
}

void takes(const std::string& name, double seconds, double step_per_run = 0) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) {
                                 const int before = runs()[name]++;
                                 for (auto _ : state) state.SetIterationTime(seconds + step_per_run * before);
                                 state.counters["bytes"] = 7;
                               })
      ->Iterations(1)
      ->UseManualTime();
}

class ComparisonTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    takes("read", 1e-3);
    takes("fast", 0.5e-3);
    takes("slow", 4e-3);
    takes("drifting", 1e-3, 1e-3);  // 1, 2, 3 … ms; the first run warms up
    takes("fast_and_more", 1);      // another one's name is a part of its name
  }
  static Row row(const std::string& subject, Goal goal) {
    Row row;
    row.what = subject;
    row.benchmark = subject;
    row.relative_to = "read";
    row.goal = goal;
    return row;
  }
  static std::vector<Figure> figures_of(std::vector<Row> rows) {
    Comparison comparison;
    comparison.rows = std::move(rows);
    comparison.rounds = 3;
    return run(comparison, [](int, int) {});
  }
};

TEST_F(ComparisonTest, RatiosAreOfSpeedOrOfTime) {
  Row time = row("slow", {});
  time.as_speed = false;
  const auto figures = figures_of({row("fast", {}), row("slow", {}), time});
  EXPECT_NEAR(figures[0].value.median, 2, 1e-9);
  EXPECT_NEAR(figures[1].value.median, 0.25, 1e-9);
  EXPECT_NEAR(figures[2].value.median, 4, 1e-9);
  EXPECT_NEAR(figures[0].seconds, 0.5e-3, 1e-12);
  EXPECT_NEAR(figures[0].reference_seconds, 1e-3, 1e-12);
}

TEST_F(ComparisonTest, AGoalIsMissedOnItsOwnSide) {
  const auto figures = figures_of({row("fast", {Goal::at_least, 2.01}), row("fast", {Goal::at_least, 1.99}),
                                   row("fast", {Goal::at_most, 1.99}), row("fast", {Goal::at_most, 2.01}), row("fast", {})});
  std::vector<bool> missed;
  for (const Figure& figure : figures) missed.push_back(figure.missed);
  EXPECT_EQ(missed, (std::vector<bool>{true, false, true, false, false}));
}

TEST_F(ComparisonTest, TheFigureIsTheMedianOverRoundsWithoutTheFirst) {
  runs().clear();
  Row row;
  row.benchmark = "drifting";
  const auto figures = figures_of({row});
  EXPECT_EQ(runs()["drifting"], 4) << "three rounds and the one that warms up";
  EXPECT_NEAR(figures[0].value.median, 3, 1e-9);
  EXPECT_NEAR(figures[0].value.lower, 2.5, 1e-9);
  EXPECT_NEAR(figures[0].value.upper, 3.5, 1e-9);
}

TEST_F(ComparisonTest, SlowOnesRunInTheFirstRoundsOnly) {
  runs().clear();
  Comparison comparison;
  comparison.rows = {row("slow", {})};
  comparison.rounds = 9;
  comparison.slow = {"slow"};
  comparison.slow_rounds = 2;
  run(comparison, [](int, int) {});
  EXPECT_EQ(runs()["slow"], 2);
  EXPECT_EQ(runs()["read"], 10);
}

TEST_F(ComparisonTest, ACounterCanBeTheFigure) {
  Row counted = row("fast", {Goal::at_most, 6});
  counted.counter = "bytes";
  const auto figures = figures_of({counted});
  EXPECT_EQ(figures[0].value.median, 7);
  EXPECT_TRUE(figures[0].missed);
}

TEST_F(ComparisonTest, WhatCannotBeMeasuredIsNotRunAndMissesNothing) {
  runs().clear();
  Row absent = row("fast", {Goal::at_least, 100});
  absent.not_applicable = "CPU lacks it";
  const auto figures = figures_of({absent});
  EXPECT_FALSE(figures[0].measured);
  EXPECT_FALSE(figures[0].missed);
  EXPECT_TRUE(runs().empty());
}

TEST_F(ComparisonTest, AnUnknownBenchmarkEndsTheProgramByName) {
  EXPECT_EXIT(figures_of({row("nowhere", {})}), testing::ExitedWithCode(1), "nowhere");
}

}  // namespace
}  // namespace vigil::bench
