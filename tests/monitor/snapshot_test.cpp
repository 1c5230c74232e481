// The channel and its follower: what was published is what a snapshot holds, whatever was lost on the way.
#include "vigil/monitor/snapshot.h"
#include "vigil/monitor/reduction.h"

#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace vigil {
namespace {

Schema schema_of_two_tensors() {
  Schema schema;
  schema.identity.run = "test";
  schema.rows = {{TensorKind::parameter, "fc.weight", "fc", "[2, 3]", 6, DType::float32},
                 {TensorKind::gradient, "fc.weight", "fc", "[2, 3]", 6, DType::float32}};
  schema.parameters = {"fc.weight"};
  schema.learning_rates = 2;
  return schema;
}

class Channel : public testing::Test {
 protected:
  RunChannel channel{schema_of_two_tensors(), {16, 0}};
  RunFollower follower{channel};

  void publish_step(std::uint64_t step, double loss = 0.5) {
    StepRecord record;
    record.step = step;
    record.loss = loss;
    record.flags = StepRecord::has_loss | StepRecord::has_optimizer_time | StepRecord::has_total_time;
    record.optimizer_ns = 2'000'000;
    record.forward_backward_ns = 7'000'000;
    record.total_ns = 10'000'000;
    record.totals.nonfinite_steps = step;
    record.user_scalars = channel.scalar_names().size();
    channel.publish(record, scalars.data());
  }

  std::vector<double> scalars = std::vector<double>(channel.scalar_capacity(), 0.0);
};

TEST_F(Channel, SnapshotBeforeAnythingHasTheSchemaAndNoStep) {
  follower.poll();
  const auto snapshot = follower.snapshot();
  EXPECT_FALSE(snapshot->has_step);
  EXPECT_FALSE(snapshot->has_frame);
  EXPECT_EQ(snapshot->schema->identity.run, "test");
  EXPECT_EQ(snapshot->state, RunState::starting);
  EXPECT_EQ(snapshot->overhead_ratio(), 0);
}

TEST_F(Channel, APollWithABoundOfBytesComesBackForTheRestAndTellsAllOfItInOrder) {
  const std::vector<TensorRow> rows(2);
  std::vector<std::string> published, told;
  for (std::uint64_t step = 1; step <= 10; ++step) {
    if (step % 5 == 0) {
      FrameHeader header;
      header.step = step;
      channel.publish(header, rows.data(), nullptr);
      published.push_back("frame " + std::to_string(step));
    }
    publish_step(step);
    published.push_back("step " + std::to_string(step));
  }
  std::size_t polls = 0;
  follower.set_poll_bytes(1);  // each is larger
  do {
    const std::size_t before = told.size();
    follower.poll([&](const StepRecord& record, const double*) { told.push_back("step " + std::to_string(record.step)); },
                  [&](const Frame& frame) { told.push_back("frame " + std::to_string(frame.header.step)); });
    // What was read but is not told yet is held: the cursors of the source are ahead by that.
    const std::size_t held = (follower.is_holding(RingKind::steps) ? 1 : 0) + (follower.is_holding(RingKind::frames) ? 1 : 0);
    const auto snapshot = follower.snapshot();
    EXPECT_EQ(snapshot->step_ring.read + snapshot->frame_ring.read, told.size() + held);
    if (follower.has_more()) {
      EXPECT_GT(told.size(), before) << "a poll without progress";
    }
    ASSERT_LE(++polls, 100);
  } while (follower.has_more());
  EXPECT_EQ(told, published);
  EXPECT_GE(polls, 6);
}

TEST_F(Channel, SnapshotHoldsTheLatestRecordWithLearningRatesAndUserScalars) {
  scalars[0] = 0.1;
  scalars[1] = 0.01;
  ASSERT_EQ(channel.scalar_names().find_or_append("accuracy"), 0);
  scalars[2] = 0.9;
  publish_step(1, 3.0);
  publish_step(2, 2.0);
  follower.poll();
  const auto snapshot = follower.snapshot();
  EXPECT_EQ(snapshot->step.step, 2u);
  EXPECT_EQ(snapshot->step.loss, 2.0);
  EXPECT_EQ(snapshot->learning_rates, (std::vector<double>{0.1, 0.01}));
  ASSERT_EQ(snapshot->user_scalars.size(), 1u);
  EXPECT_EQ(snapshot->user_scalars[0], (std::pair<std::string, double>{"accuracy", 0.9}));
}

TEST_F(Channel, TotalsSurviveALappedReader) {
  for (std::uint64_t step = 1; step <= 100; ++step) publish_step(step);
  follower.poll();
  const auto snapshot = follower.snapshot();
  EXPECT_EQ(snapshot->step_ring.overwritten, 84u);
  EXPECT_EQ(snapshot->step_ring.read, 16u);
  EXPECT_EQ(snapshot->step.totals.nonfinite_steps, 100u);
}

TEST_F(Channel, DurationsFallIntoTheBucketsTheyBelongTo) {
  publish_step(1);
  follower.poll();
  const auto total = follower.snapshot()->durations[static_cast<std::size_t>(Phase::total)];
  EXPECT_EQ(total.count, 1u);
  EXPECT_NEAR(total.sum_seconds, 0.010, 1e-12);
  EXPECT_EQ(total.buckets[4], 1u);  // le 0.01: a bound belongs to its own bucket
}

TEST_F(Channel, AtLeastTwoFramesAreKeptHoweverSmallTheBound) { EXPECT_EQ(channel.geometry(RingKind::frames).slot_count, 2u); }

TEST_F(Channel, FramesCarryTheirRows) {
  std::vector<TensorRow> rows(2);
  const float weights[] = {1, 2, 3, 4, 5, 6};
  rows[0] = {compute_moments(DType::float32, weights, 6), TensorRow::present};
  channel.publish(FrameHeader{7, 123, 0}, rows.data(), nullptr);
  follower.poll();
  const auto snapshot = follower.snapshot();
  ASSERT_TRUE(snapshot->has_frame);
  EXPECT_EQ(snapshot->frame.step, 7u);
  EXPECT_EQ(snapshot->rows[0].moments.mean, 3.5);
  EXPECT_EQ(snapshot->rows[1].state, TensorRow::absent);
}

TEST_F(Channel, CallbacksSeeEveryRecordInOrder) {
  for (std::uint64_t step = 1; step <= 5; ++step) publish_step(step);
  std::vector<std::uint64_t> steps;
  follower.poll([&](const StepRecord& record, const double*) { steps.push_back(record.step); });
  EXPECT_EQ(steps, (std::vector<std::uint64_t>{1, 2, 3, 4, 5}));
}

TEST_F(Channel, SnapshotOutlivesItsChannel) {
  std::shared_ptr<const Snapshot> snapshot;
  {
    RunChannel short_lived(schema_of_two_tensors(), {});
    RunFollower reader(short_lived);
    reader.poll();
    snapshot = reader.snapshot();
  }
  EXPECT_EQ(snapshot->schema->parameters.at(0), "fc.weight");
}

TEST(ScalarNames, RefusesWhatDoesNotFit) {
  ScalarNames names;
  EXPECT_EQ(names.find_or_append(""), -1);
  EXPECT_EQ(names.find_or_append(std::string(ScalarNames::kMaxBytes + 1, 'x')), -1);
  for (std::size_t i = 0; i < ScalarNames::kCapacity; ++i) {
    EXPECT_EQ(names.find_or_append("scalar" + std::to_string(i)), static_cast<int>(i));
  }
  EXPECT_EQ(names.find_or_append("one more"), -1);
  EXPECT_EQ(names.find_or_append("scalar7"), 7);
}

TEST(HookNote, KeepsTheFirstTextAndCutsIt) {
  NoteRecord record;
  HookNote note(record);
  EXPECT_TRUE(note.text().empty());
  note.write_first(std::string(1000, 'a'));
  note.write_first("second");
  EXPECT_EQ(note.text(), std::string(HookNote::kMaxBytes, 'a'));
}

TEST(LayerOf, IsThePathWithoutTheLastName) {
  EXPECT_EQ(layer_of("layer1.0.conv1.weight"), "layer1.0.conv1");
  EXPECT_EQ(layer_of("weight"), "");
}

}  // namespace
}  // namespace vigil
