#include "vigil/daemon/history_writer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "daemon/history_run.h"
#include "exporters/alert_message.h"
#include "files.h"
#include "vigil/daemon/history_reader.h"

namespace vigil {
namespace {

using namespace test;

class HistoryWriterTest : public testing::Test {
 protected:
  HistoryOptions options() const {
    HistoryOptions made;
    made.path = folder_.file("history.db");
    return made;
  }
  HistoryReader reader() const { return HistoryReader({folder_.file("history.db")}); }

  TemporaryFolder folder_;
  const Schema schema_ = make_history_schema();
  const RunSelector run_{"mnist", 1};
};

// Steps `first` to `last` are stored as they were made, and no others.
void expect_steps(HistoryReader& reader, const RunSelector& run, std::uint64_t seed, std::uint64_t first, std::uint64_t last) {
  std::optional<HistoryCursor> since;
  std::uint64_t expected = first;
  for (;;) {
    const StepsReply reply = reader.steps(run, since, 777);
    EXPECT_EQ(reply.unreadable_steps, 0u);
    if (reply.rows.size() == 0) break;
    for (std::size_t i = 0; i < reply.rows.size(); ++i, ++expected) {
      const MadeStep made = make_step(seed, expected);
      ASSERT_EQ(reply.rows.step(i), expected);
      ASSERT_TRUE(is_same(reply.rows.record(i), made.record)) << expected;
      for (std::size_t k = 0; k < 2; ++k) ASSERT_TRUE(is_same(reply.rows.rate(i, k), made.scalars[k])) << expected;
      for (std::size_t k = 0; k < made.record.user_scalars; ++k)
        ASSERT_TRUE(is_same(reply.rows.scalar(i, k), made.scalars[2 + k])) << expected;
    }
    since = reply.next;
  }
  EXPECT_EQ(expected, last + 1);
}

TEST_F(HistoryWriterTest, EveryStepComesBackBitByBit) {
  HistoryWriter writer(options());
  const BegunRing begun = writer.begin_ring(ring_id(1), schema_, kNow);
  EXPECT_EQ(begun.attempt, 1);
  EXPECT_EQ(begun.last_step, 0u);
  HistoryReader reading = reader();
  // Batches that fill blocks in every way, and one step a batch at the end.
  write_steps(writer, begun.key, 5, 1, 100, 1);
  expect_steps(reading, run_, 5, 1, 100);
  write_steps(writer, begun.key, 5, 101, 2000, 97);
  expect_steps(reading, run_, 5, 1, 2000);
  write_steps(writer, begun.key, 5, 2001, 5000, 1500);
  expect_steps(reading, run_, 5, 1, 5000);
  write_steps(writer, begun.key, 5, 5001, 5300, 1);
  expect_steps(reading, run_, 5, 1, 5300);
  EXPECT_EQ(reading.steps(run_).scalar_names, (std::vector<std::string>{"validation/accuracy", "entropy", "temperature"}));
  EXPECT_EQ(writer.counters().steps, 5300u);
}

TEST_F(HistoryWriterTest, GoesOnWhereTheFileSays) {
  {
    HistoryWriter writer(options());
    write_steps(writer, writer.begin_ring(ring_id(1), schema_, kNow).key, 5, 1, 700, 90);
  }
  HistoryWriter writer(options());
  const BegunRing begun = writer.begin_ring(ring_id(1), schema_, kNow);
  EXPECT_EQ(begun.cursors.steps, 700u);
  EXPECT_EQ(begun.last_step, 700u);
  EXPECT_EQ(begun.attempt, 1);
  write_steps(writer, begun.key, 5, 701, 900, 90);
  HistoryReader reading = reader();
  expect_steps(reading, run_, 5, 1, 900);
  const std::vector<HistoryRun> runs = reading.runs();
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].attempts.size(), 1u);
  EXPECT_EQ(runs[0].attempts[0].steps, 900u);
}

TEST_F(HistoryWriterTest, WhatIsNotCommittedIsNotThere) {
  HistoryWriter writer(options());
  const RingKey key = writer.begin_ring(ring_id(1), schema_, kNow).key;
  write_steps(writer, key, 5, 1, 10);
  writer.begin(kNow);
  const MadeStep made = make_step(5, 11);
  writer.add_step(key, made.record, made.scalars.data(), made_scalar_names());
  writer.add_event(key, make_event(11));
  writer.set_state(key, "crashed", "signal 9", kNow);
  writer.set_cursors(key, {11, 1, 1});
  EXPECT_EQ(writer.cursors(key).steps, 10u) << "of what is stored";
  writer.abandon();
  HistoryReader reading = reader();
  expect_steps(reading, run_, 5, 1, 10);
  EXPECT_EQ(reading.events({}).events.size(), 0u);
  EXPECT_EQ(reading.runs()[0].attempts[0].state, "");
  // The step is not taken for one that is known.
  write_steps(writer, key, 5, 11, 300);
  expect_steps(reading, run_, 5, 1, 300);
}

TEST_F(HistoryWriterTest, PhasesAndCheckpointsBetweenStepsAreEventsOnce) {
  PhaseNames phases;
  phases.find_or_append("train");
  const auto validation = static_cast<std::uint64_t>(phases.find_or_append("validation"));
  HistoryWriter writer(options());
  const RingKey key = writer.begin_ring(ring_id(1), schema_, kNow).key;
  const auto add = [&](std::uint64_t step, std::uint64_t flags) {
    MadeStep made = make_step(5, step);
    made.record.flags = flags;
    writer.add_marks(key, made.record, phases);
    writer.add_step(key, made.record, made.scalars.data(), made_scalar_names());
  };
  writer.begin(kNow);
  add(1, 0);
  add(2, validation << StepRecord::kPhaseShift);
  add(3, StepRecord::saved_checkpoint);
  add(3, StepRecord::saved_checkpoint);                                 // known already
  add(4, std::uint64_t{7} << StepRecord::kPhaseShift);                  // no such phase: a hostile record
  add(4, StepRecord::again | (validation << StepRecord::kPhaseShift));  // after the last step
  ASSERT_TRUE(writer.commit().ok());
  const EventsReply reply = reader().events({});
  ASSERT_EQ(reply.events.size(), 3u);
  EXPECT_EQ(reply.events[0].kind, "phase");
  EXPECT_EQ(reply.events[0].step, 1u);
  EXPECT_EQ(reply.events[0].json, R"({"phase":"validation"})");
  EXPECT_EQ(reply.events[1].kind, "checkpoint");
  EXPECT_EQ(reply.events[1].step, 2u);
  EXPECT_EQ(reply.events[2].kind, "phase");
  EXPECT_EQ(reply.events[2].step, 4u);
  EventsRequest checkpoints;
  checkpoints.kinds = {"checkpoint", "no such kind"};
  EXPECT_EQ(reader().events(checkpoints).events.size(), 1u);
}

TEST_F(HistoryWriterTest, AStepThatIsPublishedAgainGetsItsNewScalars) {
  HistoryWriter writer(options());
  const RingKey key = writer.begin_ring(ring_id(1), schema_, kNow).key;
  HistoryReader reading = reader();
  // In a later batch, in the same one, and right behind a block.
  for (const std::uint64_t step : {20u, 256u, 257u, 400u}) {
    write_steps(writer, key, 5, step == 20 ? 1 : reading.runs()[0].attempts[0].last_step + 1, step);
    MadeStep made = make_step(5, step);
    made.record.flags |= StepRecord::again;
    made.record.loss = 99;
    for (double& scalar : made.scalars) scalar = 0.5 + static_cast<double>(step);
    writer.begin(kNow);
    if (step == 400) {
      const MadeStep next = make_step(5, 401);
      writer.add_step(key, next.record, next.scalars.data(), made_scalar_names());
      made.record.step = 401;
    }
    writer.add_step(key, made.record, made.scalars.data(), made_scalar_names());
    ASSERT_TRUE(writer.commit().ok());
    const StepsReply reply = reading.steps(run_, HistoryCursor{1, made.record.step - 1});
    ASSERT_EQ(reply.rows.size(), 1u) << step;
    EXPECT_TRUE(is_same(reply.rows.record(0).loss, make_step(5, made.record.step).record.loss)) << "only the scalars are new";
    EXPECT_FALSE(reply.rows.record(0).has(StepRecord::again));
    for (std::size_t k = 0; k < 3; ++k) EXPECT_EQ(reply.rows.scalar(0, k), 0.5 + static_cast<double>(step));
  }
  EXPECT_EQ(reading.runs()[0].attempts[0].steps, 401u);
}

TEST_F(HistoryWriterTest, StepsThatDoNotGoUpAreRefusedAndCounted) {
  HistoryWriter writer(options());
  const RingKey key = writer.begin_ring(ring_id(1), schema_, kNow).key;
  write_steps(writer, key, 5, 1, 10);
  writer.begin(kNow);
  for (const std::uint64_t step : {10u, 3u, 0u}) {
    const MadeStep made = make_step(6, step);
    writer.add_step(key, made.record, made.scalars.data(), made_scalar_names());
  }
  MadeStep made = make_step(6, 11);
  made.record.step = ~std::uint64_t{0};
  writer.add_step(key, made.record, made.scalars.data(), made_scalar_names());
  // Numbers may be missing: the ring was overwritten before it was read. One that was published again and is new is a step.
  made = make_step(5, 500);
  made.record.flags |= StepRecord::again;
  writer.add_step(key, made.record, made.scalars.data(), made_scalar_names());
  ASSERT_TRUE(writer.commit().ok());
  EXPECT_EQ(writer.counters().steps_refused, 4u);
  EXPECT_EQ(writer.counters().steps, 11u);
  HistoryReader reading = reader();
  const StepsReply reply = reading.steps(run_, HistoryCursor{1, 9});
  ASSERT_EQ(reply.rows.size(), 2u);
  EXPECT_EQ(reply.rows.step(0), 10u);
  EXPECT_EQ(reply.rows.step(1), 500u);
}

TEST_F(HistoryWriterTest, AttemptsAreNumberedByTheirStart) {
  HistoryWriter writer(options());
  const auto begin = [&](std::uint64_t id, const std::string& run, std::int64_t start) {
    return writer.begin_ring(ring_id(id), make_history_schema(run, 3, start), kNow).attempt;
  };
  EXPECT_EQ(begin(1, "a", kNow + 10), 1);
  EXPECT_EQ(begin(2, "a", kNow + 30), 2);
  EXPECT_EQ(begin(3, "b", kNow + 20), 1);
  EXPECT_EQ(begin(4, "a", kNow + 20), 2) << "found later, begun earlier";
  EXPECT_EQ(begin(5, "a", kNow + 5), 1);
  EXPECT_EQ(begin(6, "a", kNow + 30), 5);
  HistoryReader reading = reader();
  const std::vector<HistoryRun> runs = reading.runs();
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].run, "a") << "the one that began last";
  std::vector<std::int64_t> starts;
  for (const HistoryAttempt& attempt : runs[0].attempts) starts.push_back(attempt.identity.start_time_ns - kNow);
  EXPECT_EQ(starts, (std::vector<std::int64_t>{30, 30, 20, 10, 5}));
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(runs[0].attempts[i].attempt, 5 - static_cast<std::int64_t>(i));
  const RunIdentity& identity = runs[0].attempts[0].identity;
  EXPECT_EQ(identity.model, "Net");
  EXPECT_EQ(identity.host, "host-\"a\"");
  EXPECT_EQ(identity.pid, 4711);
  EXPECT_EQ(identity.attempt, 2) << "the launcher's";
  EXPECT_EQ(identity.world_size, 4);
  EXPECT_EQ(identity.libtorch, "1.13.1");
}

TEST_F(HistoryWriterTest, TwoFilesOfOneIdAreNotFollowedBoth) {
  HistoryWriter writer(options());
  const RingKey key = writer.begin_ring(ring_id(1), schema_, kNow).key;
  EXPECT_THROW(writer.begin_ring(ring_id(1), schema_, kNow), std::invalid_argument);
  writer.end_ring(key);
  EXPECT_THROW(writer.begin_ring(ring_id(1), make_history_schema("mnist", 4), kNow), std::invalid_argument) << "other tensors";
  EXPECT_EQ(writer.begin_ring(ring_id(1), schema_, kNow).key, key);
}

TEST_F(HistoryWriterTest, TheSchemaComesBackAndIsStoredOnceForAllThatShareIt) {
  HistoryWriter writer(options());
  writer.begin_ring(ring_id(1), schema_, kNow);
  const RingKey key = writer.begin_ring(ring_id(2), make_history_schema("other"), kNow).key;
  writer.begin_ring(ring_id(3), make_history_schema("other", 4), kNow);
  writer.begin(kNow);
  writer.add_frame(key, make_frame(schema_, 1, 5).view());
  ASSERT_TRUE(writer.commit().ok());
  const auto schema = reader().frame({"other", 1, 1}).schema;
  ASSERT_EQ(schema->rows.size(), schema_.rows.size());
  for (std::size_t i = 0; i < schema->rows.size(); ++i) {
    const RowSchema &read = schema->rows[i], &written = schema_.rows[i];
    EXPECT_EQ(read.kind, written.kind);
    EXPECT_EQ(read.name, written.name);
    EXPECT_EQ(read.layer, written.layer);
    EXPECT_EQ(read.shape, written.shape);
    EXPECT_EQ(read.element_count, written.element_count);
    EXPECT_EQ(read.dtype, written.dtype);
    EXPECT_EQ(read.histogram, written.histogram);
    EXPECT_EQ(read.has_update, written.has_update);
    EXPECT_EQ(read.has_distance, written.has_distance);
    EXPECT_EQ(read.has_cosine, written.has_cosine);
    EXPECT_EQ(read.part, written.part);
    EXPECT_EQ(read.learning_rate, written.learning_rate);
    EXPECT_EQ(read.infinite, written.infinite);
    EXPECT_EQ(read.optimizer_state, written.optimizer_state);
  }
  EXPECT_EQ(schema->identity.run, "other");
  EXPECT_EQ(schema->is_continued, true);
  EXPECT_EQ(schema->parameters, schema_.parameters);
  EXPECT_EQ(schema->groups, schema_.groups);
  EXPECT_EQ(schema->learning_rates, 2u);
  EXPECT_EQ(schema->histograms, schema_.histograms);
  EXPECT_EQ(schema->activations, 3u);
  EXPECT_EQ(schema->peak_flops, 1.5e12);
  EXPECT_EQ(schema->trainable.bytes, 4000u);
  EXPECT_EQ(schema->frozen.elements, 3u);
  EXPECT_EQ(schema->buffers.bytes, 20u);
  EXPECT_EQ(schema->layers, 3u);
  EXPECT_EQ(count_of(folder_.file("history.db"), "SELECT count(*) FROM tensors"), 2);
}

TEST_F(HistoryWriterTest, KeepsOneFrameAnIntervalAndTheFirstThatAreNotFinite) {
  HistoryWriter writer(options());
  const RingKey key = writer.begin_ring(ring_id(1), schema_, kNow).key;
  // A step takes 10 ms, the interval is that of 1000 steps. From step 2500 on a gradient stays NaN.
  for (std::uint64_t step = 10; step <= 5000; step += 10) {
    writer.begin(kNow);
    writer.add_frame(key, make_frame(schema_, 3, step, step < 2500).view());
    ASSERT_TRUE(writer.commit().ok());
  }
  HistoryReader reading = reader();
  const auto kept = reading.tensor_series(tensor_series_of({"mnist", 1}, TensorKind::parameter, "layer0.weight", "mean"));
  std::vector<std::uint64_t> steps;
  for (const SeriesPoint& point : kept.points) steps.push_back(point.step);
  std::vector<std::uint64_t> expected{10, 1010, 2010};
  for (std::uint64_t step = 2500; step < 2500 + 10 * HistoryWriter::kNonfiniteFrames; step += 10) expected.push_back(step);
  for (const std::uint64_t due : {3010u, 4010u}) {
    expected.push_back(due);
    for (std::uint64_t step = due + 10; step <= due + 10 * HistoryWriter::kNonfiniteFrames; step += 10) expected.push_back(step);
  }
  EXPECT_EQ(steps, expected);
  EXPECT_EQ(writer.counters().frames, expected.size());
  EXPECT_EQ(writer.counters().frames_passed_over, 500 - expected.size());
  EXPECT_TRUE(reading.frame(run_, 2400).is_finite);
  EXPECT_FALSE(reading.frame(run_, 2500).is_finite);
}

TEST_F(HistoryWriterTest, TheIntervalGoesOnAfterARestartAndAfterAClockWasSetBack) {
  const auto keeps = [&](HistoryWriter& writer, RingKey key, std::uint64_t step, std::int64_t time_ns) {
    MadeFrame frame = make_frame(schema_, 3, step);
    frame.header.wall_time_ns = time_ns;
    const std::uint64_t before = writer.counters().frames;
    writer.begin(kNow);
    writer.add_frame(key, frame.view());
    EXPECT_TRUE(writer.commit().ok());
    return writer.counters().frames == before + 1;
  };
  {
    HistoryWriter writer(options());
    EXPECT_TRUE(keeps(writer, writer.begin_ring(ring_id(1), schema_, kNow).key, 1, kNow));
  }
  HistoryWriter writer(options());
  const RingKey key = writer.begin_ring(ring_id(1), schema_, kNow).key;
  EXPECT_FALSE(keeps(writer, key, 2, kNow + 9 * kSecond));
  EXPECT_TRUE(keeps(writer, key, 3, kNow + 10 * kSecond));
  EXPECT_TRUE(keeps(writer, key, 4, kNow - 3600 * kSecond));
  EXPECT_FALSE(keeps(writer, key, 5, kNow - 3599 * kSecond));
}

TEST_F(HistoryWriterTest, AStateIsAnEventWhenItIsAnotherOne) {
  HistoryWriter writer(options());
  const RingKey key = writer.begin_ring(ring_id(1), schema_, kNow).key;
  write_steps(writer, key, 5, 1, 300);
  for (const char* state : {"running", "running", "hung", "crashed", "crashed"}) {
    writer.begin(kNow + kSecond);
    writer.set_state(key, state, state == std::string("crashed") ? "signal 9" : "", state == std::string("crashed") ? kNow + 5 : 0);
    ASSERT_TRUE(writer.commit().ok());
  }
  HistoryReader reading = reader();
  const EventsReply reply = reading.events({});
  ASSERT_EQ(reply.events.size(), 3u);
  EXPECT_EQ(reply.events[0].kind, "state");
  EXPECT_EQ(reply.events[0].json, "{\"state\":\"running\",\"reason\":\"\"}");
  EXPECT_EQ(reply.events[2].json, "{\"state\":\"crashed\",\"reason\":\"signal 9\"}");
  EXPECT_EQ(reply.events[2].time_ns, kNow + 5);
  EXPECT_EQ(reply.events[2].step, 300u);
  const HistoryAttempt attempt = reading.runs()[0].attempts[0];
  EXPECT_EQ(attempt.state, "crashed");
  EXPECT_EQ(attempt.reason, "signal 9");
  EXPECT_EQ(attempt.ended_ns, kNow + 5);
  // What has ended is packed, but for its latest step.
  EXPECT_EQ(count_of(folder_.file("history.db"), "SELECT sum(steps) FROM step_tail"), 1);
  expect_steps(reading, run_, 5, 1, 300);
  write_steps(writer, key, 5, 301, 310);
  expect_steps(reading, run_, 5, 1, 310);
}

TEST_F(HistoryWriterTest, RingsThatAreGoneAfterARestartEnd) {
  {
    HistoryWriter writer(options());
    for (std::uint64_t id = 1; id <= 3; ++id) {
      const RingKey key = writer.begin_ring(ring_id(id), make_history_schema("run" + std::to_string(id)), kNow).key;
      writer.begin(kNow);
      writer.set_state(key, id == 3 ? "finished" : "running", "", id == 3 ? kNow : 0);
      ASSERT_TRUE(writer.commit().ok());
    }
  }
  HistoryWriter writer(options());
  writer.begin_ring(ring_id(1), make_history_schema("run1"), kNow);
  EXPECT_EQ(writer.end_absent_rings("crashed", "its file is gone", kNow + kSecond), 1u);
  EXPECT_EQ(writer.end_absent_rings("crashed", "its file is gone", kNow + kSecond), 0u);
  std::map<std::string, std::string> states;
  HistoryReader reading = reader();
  for (const HistoryRun& run : reading.runs()) states[run.run] = run.attempts[0].state;
  EXPECT_EQ(states, (std::map<std::string, std::string>{{"run1", "running"}, {"run2", "crashed"}, {"run3", "finished"}}));
  EXPECT_EQ(reading.events({}).events.back().run, "run2");
}

TEST_F(HistoryWriterTest, ARunThatStandsStillIsNotWrittenAgain) {
  HistoryWriter writer(options());
  const RingKey key = writer.begin_ring(ring_id(1), schema_, kNow).key;
  write_steps(writer, key, 5, 1, 10);
  writer.begin(kNow + 3600 * kSecond);
  writer.set_cursors(key, writer.cursors(key));
  ASSERT_TRUE(writer.commit().ok());
  EXPECT_EQ(count_of(folder_.file("history.db"), "SELECT stored_ns FROM progress"), kNow + 10 * 10'000'000 - 9 * 10'000'000);
}

TEST_F(HistoryWriterTest, KeysThatAreNotBegunAreIgnored) {
  HistoryWriter writer(options());
  writer.begin(kNow);
  const MadeStep made = make_step(5, 1);
  writer.add_step({77}, made.record, made.scalars.data(), made_scalar_names());
  writer.set_cursors({77}, {1, 1, 1});
  EXPECT_TRUE(writer.commit().ok());
  EXPECT_EQ(writer.cursors({77}).steps, 0u);
  EXPECT_EQ(writer.counters().steps, 0u);
}

TEST_F(HistoryWriterTest, AlertsThatAreJudgedAgainAfterARestartAreNotStoredTwiceAndNewOnesAre) {
  const auto alert_of = [](const std::string& rule, std::uint64_t step, AlertState state, std::int64_t time_ns = kNow) {
    AlertMessage alert = make_alert(step, state, "fc\"\x07");
    alert.name = rule;
    alert.alert.time_ns = time_ns;
    return alert;
  };
  const auto told = [this] { return count_of(folder_.file("history.db"), "SELECT count(*) FROM events WHERE kind = 'alert'"); };
  const auto firing = AlertState::firing, resolved = AlertState::resolved;
  {
    HistoryWriter writer(options());
    const RingKey key = writer.begin_ring(ring_id(1), schema_, kNow).key;
    write_steps(writer, key, 1, 1, 100);
    writer.begin(kNow);
    writer.add_alert(key, alert_of("loss_spike", 40, firing));
    writer.add_alert(key, alert_of("loss_spike", 50, resolved));
    writer.add_alert(key, alert_of("loss_spike", 90, firing));
    writer.add_alert(key, alert_of("clipping", 103, firing));  // of a step that was read after those that are stored
    ASSERT_TRUE(writer.commit().ok());
    ASSERT_EQ(told(), 4);
  }
  HistoryWriter writer(options());
  const RingKey key = writer.begin_ring(ring_id(1), schema_, kNow).key;
  const auto tell_again = [&] {
    writer.begin(kNow);
    writer.add_alert(key, alert_of("loss_spike", 40, firing));
    writer.add_alert(key, alert_of("loss_spike", 50, resolved));
    writer.add_alert(key, alert_of("loss_spike", 95, firing, kNow + 1));  // the ring begins later by now
    writer.add_alert(key, alert_of("clipping", 103, firing));
  };
  tell_again();
  ASSERT_TRUE(writer.commit().ok());
  EXPECT_EQ(told(), 4);
  tell_again();
  writer.add_alert(key, alert_of("plateau", 99, firing));   // was not stored before the kill, though its step was
  writer.add_alert(key, alert_of("stalled", 100, firing));  // first at the last step that is stored
  writer.abandon();
  for (std::int64_t start = 0; start < 2; ++start) {
    tell_again();
    writer.add_alert(key, alert_of("plateau", 99, firing));
    writer.add_alert(key, alert_of("stalled", 100, firing, kNow + start));
    ASSERT_TRUE(writer.commit().ok());
    EXPECT_EQ(told(), 6) << start;
  }
  writer.begin(kNow);
  writer.add_alert(key, alert_of("stalled", 100, resolved, kNow + 5));
  writer.add_alert(key, alert_of("stalled", 100, firing, kNow + 6));
  ASSERT_TRUE(writer.commit().ok());
  EXPECT_EQ(told(), 8);
}

}  // namespace
}  // namespace vigil
