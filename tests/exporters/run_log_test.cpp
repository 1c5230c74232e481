// What is logged of a run, and how often; with a clock of the test's own.
#include "vigil/exporters/run_log.h"

#include <gtest/gtest.h>

#include <optional>

#include "exporters/captured_log.h"
#include "exporters/test_run.h"

namespace vigil {
namespace {

using namespace std::chrono_literals;

class RunLogOf : public testing::Test {
 protected:
  // As the export thread does.
  void look() {
    const auto snapshot = run.snapshot();
    run_log.look_at_step(snapshot->step);
    if (snapshot->origin && (!told || told->step != snapshot->origin->step || told->found_by != snapshot->origin->found_by)) {
      run_log.look_at_event(*snapshot->origin, now);
    }
    told = snapshot->origin;
    run_log.look_at(*run.channel(), *snapshot, now);
  }

  test::CapturedLog captured;
  test::TestRun run{test::make_schema(), {16, 0}};
  RunLog run_log;
  LogGate::Time now{1h};
  std::optional<NonfiniteEvent> told;
};

TEST_F(RunLogOf, AHealthyRunIsQuiet) {
  run.publish_frame(1);
  run.publish_step(1);
  look();
  EXPECT_TRUE(captured.lines().empty());
}

TEST_F(RunLogOf, EachHookTellsItsFirstErrorAndItsEndOnce) {
  run.channel()->note(Hook::guard).write_first("guard: no such tensor");
  look();
  look();
  EXPECT_EQ(captured.count("hook 'guard' failed, training goes on: guard: no such tensor"), 1u);
  run.channel()->note(Hook::guard).give_up();
  look();
  look();
  EXPECT_EQ(captured.count("hook 'guard' has failed ten times in a row on the same thing"), 1u);
  EXPECT_EQ(captured.lines().size(), 2u);
}

TEST_F(RunLogOf, ANonFiniteStepIsNamedWithItsParameter) {
  run.publish_nonfinite_step(5, 1);
  look();
  ASSERT_EQ(captured.lines().size(), 1u);
  EXPECT_EQ(captured.lines()[0],
            "warning: step 5: the loss is not finite. An optimizer step writes this into the weights (guard.on_nonfinite: skip_step "
            "prevents it)");
}

TEST_F(RunLogOf, WhatAReplayFindsIsToldOfAStreakThatWasTold) {
  run.record().totals.skipped_steps = 1;
  run.publish_nonfinite_step(5, 1);
  look();
  EXPECT_EQ(captured.count("The loop was told not to run the optimizer"), 1u);
  run.publish_replay(5);
  look();
  EXPECT_EQ(captured.count("warning: found by replay: step 5: LogBackward0 made 4 NaN"), 1u);
  run.publish_nonfinite_step(8, 1);
  look();
  run.publish_replay(8);
  look();
  EXPECT_EQ(captured.lines().size(), 2u) << "a second streak within a minute is left to the metrics";
}

TEST_F(RunLogOf, AStreakIsToldOnceAndTheNextOneAfterAMinute) {
  run.publish_nonfinite_step(5, 1);
  look();
  run.publish_step(6);
  look();
  run.publish_nonfinite_step(8, 1);
  look();
  EXPECT_EQ(captured.lines().size(), 1u) << "a second streak within a minute is left to the metrics";
  now += 60s;
  run.publish_nonfinite_step(12, 1);
  look();
  EXPECT_EQ(captured.count("step 12: the loss is not finite"), 1u);
}

TEST_F(RunLogOf, LossesAreToldAtOnceThenSummedUpOnceAMinute) {
  for (std::uint64_t step = 1; step <= 20; ++step) run.publish_step(step);
  look();
  EXPECT_EQ(captured.count("4 step records were overwritten before they could be read; raise ring.step_records"), 1u);
  for (std::uint64_t step = 21; step <= 40; ++step) run.publish_step(step);
  look();
  EXPECT_EQ(captured.lines().size(), 1u);
  now += 61s;
  look();
  EXPECT_EQ(captured.count("warning: 4 step records"), 2u);
  for (std::uint64_t step = 1; step <= 5; ++step) run.publish_frame(step);
  look();
  EXPECT_EQ(captured.count("3 tensor frames were overwritten before they could be read; raise ring.frame_bytes"), 1u);
}

}  // namespace
}  // namespace vigil
