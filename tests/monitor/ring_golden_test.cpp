// Files of ABI 1 as they were agreed on, in golden/ as hex dumps (`xxd -r` makes files of them). What is read from them stays the same, and
// what is written today are the same bytes. A difference is another format: docs/ring-format.md says what that takes. For an addition that
// a minor version may make, `VIGIL_REFRESH=1 ctest -R RingGolden` writes them anew.
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "files.h"
#include "monitor/ring_image.h"

namespace vigil {
namespace {

using namespace test;

constexpr std::uint32_t kGoldenUser = 1000;

std::string golden_path(const std::string& name) { return std::string(VIGIL_GOLDEN_DIR) + "/" + name; }

void compare(const Bytes& today, const std::string& name) {
  const std::string path = golden_path(name);
  if (std::getenv("VIGIL_REFRESH") != nullptr) std::ofstream(path) << to_hex_dump(today);
  const Bytes golden = from_hex_dump(read_text(path));
  ASSERT_EQ(today.size(), golden.size()) << path;
  for (std::size_t i = 0; i < golden.size(); ++i)
    ASSERT_EQ(std::to_integer<int>(today[i]), std::to_integer<int>(golden[i])) << path << ": byte " << i << " is another one";
}

TEST(RingGolden, TheSameRunsMakeTheSameBytes) {
  compare(small_image(kGoldenUser), "abi1_small.hex");
  compare(tiny_image(kGoldenUser), "abi1_tiny.hex");
}

// A golden file, as if it were the caller's.
class GoldenFile {
 public:
  explicit GoldenFile(const std::string& name) {
    Bytes image = from_hex_dump(read_text(golden_path(name)));
    EXPECT_EQ(header_of(image).uid, kGoldenUser);
    write_at(image, offsetof(RingHeader, uid), std::uint32_t{geteuid()});
    repair_crc(image);
    write_image(folder_.file("golden.ring"), image);
    file_ = std::make_shared<const RingFile>(folder_.file("golden.ring"));
  }
  const std::shared_ptr<const RingFile>& file() const { return file_; }

 private:
  TemporaryFolder folder_;
  std::shared_ptr<const RingFile> file_;
};

void expect_moments(const Moments& moments, std::uint64_t count, std::uint64_t nan, double n) {
  EXPECT_EQ(moments.count, count);
  EXPECT_EQ(moments.nan_count, nan);
  EXPECT_EQ(moments.inf_count, 0u);
  EXPECT_EQ(moments.zero_count, 1u);
  EXPECT_EQ(moments.min, -n);
  EXPECT_EQ(moments.max, n + 0.5);
  EXPECT_EQ(moments.mean, 0.25);
  EXPECT_EQ(moments.l1, 4 * n);
  EXPECT_EQ(moments.m2, 2 * n);
  EXPECT_EQ(moments.sum_squares, 3 * n);
  EXPECT_EQ(moments.scale_exponent, 0);
}

TEST(RingGolden, OfAbi1TellsWhoMadeIt) {
  const GoldenFile golden("abi1_small.hex");
  const RingHeader& header = golden.file()->header();
  EXPECT_EQ(header.abi_major, 1);
  EXPECT_EQ(header.abi_minor, 0);
  EXPECT_EQ(header.compatible_flags + header.incompatible_flags, 0u);
  EXPECT_EQ(header.ring_id.front(), 0xA0);
  EXPECT_EQ(header.ring_id.back(), 0xAF);
  EXPECT_EQ(header.boot_id.front(), 0xB0);
  EXPECT_EQ(header.boot_id.back(), 0xBF);
  EXPECT_EQ(header.pid, 4711);
  EXPECT_EQ(header.pid_namespace, 4026531836u);
  EXPECT_EQ(header.process_start, 123456u);
  EXPECT_EQ(header.wall_time_ns, 1'699'999'999'999'000'000);
  EXPECT_EQ(header.monotonic_ns, 1'234'567'890);
  EXPECT_EQ(golden.file()->writer(this_process()), WriterState::gone);
  EXPECT_EQ(golden.file()->read_note(Hook::guard), "a gradient cannot be read");
  EXPECT_EQ(golden.file()->read_note(Hook::loss), "");

  const LiveReading live = golden.file()->read_live();
  EXPECT_EQ(live.heartbeat_ns, 1'234'567'890);
  EXPECT_EQ(live.last_step, 3u);
  EXPECT_EQ(live.state, RunState::running);
  EXPECT_EQ(live.phase, 1u);
  EXPECT_EQ(live.commits, 5u);
  EXPECT_EQ(live.losses, 1u);
  EXPECT_EQ(live.end_signal, 11);
  EXPECT_TRUE(live.end_exit);
}

TEST(RingGolden, OfAbi1TellsItsSchema) {
  const GoldenFile golden("abi1_small.hex");
  const Schema& schema = golden.file()->schema();
  EXPECT_EQ(schema.identity.run, "mnist run/1");
  EXPECT_EQ(schema.identity.rank, 3);
  EXPECT_EQ(schema.identity.world_size, 8);
  EXPECT_EQ(schema.identity.model, "Net");
  EXPECT_EQ(schema.identity.libtorch, "1.13.1");
  EXPECT_EQ(schema.identity.host, "node7");
  EXPECT_EQ(schema.identity.pid, 4711);
  EXPECT_EQ(schema.identity.attempt, 2);
  EXPECT_EQ(schema.identity.start_time_ns, 1'700'000'000'000'000'000);
  EXPECT_TRUE(schema.is_continued);
  ASSERT_EQ(schema.rows.size(), 2u);
  const RowSchema &weight = schema.rows[0], &gradient = schema.rows[1];
  EXPECT_EQ(weight.kind, TensorKind::parameter);
  EXPECT_EQ(weight.name, "fc.weight");
  EXPECT_EQ(weight.layer, "fc");
  EXPECT_EQ(weight.shape, "[3, 4]");
  EXPECT_EQ(weight.element_count, 12u);
  EXPECT_EQ(weight.dtype, DType::float32);
  EXPECT_EQ(weight.histogram, 0);
  EXPECT_TRUE(weight.has_update && weight.has_distance && !weight.has_cosine);
  EXPECT_EQ(weight.part, 0);
  EXPECT_EQ(weight.learning_rate, 0);
  EXPECT_EQ(weight.infinite, 0u);
  EXPECT_EQ(weight.optimizer_state, (std::vector<std::string>{"exp_avg", "exp_avg_sq"}));
  EXPECT_EQ(gradient.kind, TensorKind::gradient);
  EXPECT_EQ(gradient.name, "fc.weight");
  EXPECT_EQ(gradient.shape, "");
  EXPECT_EQ(gradient.element_count, 0u);
  EXPECT_EQ(gradient.dtype, DType::bfloat16);
  EXPECT_EQ(gradient.histogram, RowSchema::kNone);
  EXPECT_TRUE(!gradient.has_update && !gradient.has_distance && gradient.has_cosine);
  EXPECT_EQ(gradient.part, 1);
  EXPECT_EQ(gradient.learning_rate, RowSchema::kNone);
  EXPECT_EQ(gradient.infinite, 7u);
  EXPECT_TRUE(gradient.optimizer_state.empty());
  EXPECT_EQ(schema.histograms, 1u);
  EXPECT_EQ(schema.parameters, (std::vector<std::string>{"fc.weight", "fc.bias"}));
  EXPECT_EQ(schema.learning_rates, 1u);
  EXPECT_EQ(schema.groups, (std::vector<std::string>{"net/0"}));
  EXPECT_EQ(schema.activations, 2u);
  EXPECT_EQ(schema.peak_flops, 1e12);
  EXPECT_EQ(schema.trainable.elements, 15u);
  EXPECT_EQ(schema.trainable.bytes, 60u);
  EXPECT_EQ(schema.frozen.elements, 2u);
  EXPECT_EQ(schema.frozen.bytes, 8u);
  EXPECT_EQ(schema.buffers.elements, 1u);
  EXPECT_EQ(schema.buffers.bytes, 4u);
  EXPECT_EQ(schema.layers, 1u);
}

TEST(RingGolden, OfAbi1TellsItsRecords) {
  const GoldenFile golden("abi1_small.hex");
  std::vector<std::uint64_t> steps, frames, events;
  RunFollower follower(std::make_unique<RingFileReader>(golden.file()));
  follower.poll([&](const StepRecord& record, const double*) { steps.push_back(record.step); },
                [&](const Frame& frame) { frames.push_back(frame.header.step); },
                [&](const NonfiniteEvent& event) { events.push_back(event.step); });
  EXPECT_EQ(steps, (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(frames, (std::vector<std::uint64_t>{2}));
  EXPECT_EQ(events, (std::vector<std::uint64_t>{3}));

  const auto snapshot = follower.snapshot();
  EXPECT_EQ(snapshot->step_ring.overwritten, 1u);
  const StepRecord& step = snapshot->step;
  EXPECT_EQ(step.wall_time_ns, 1'700'000'003'000'000'000);
  EXPECT_EQ(step.flags, StepRecord::has_loss | StepRecord::has_total_time);
  EXPECT_EQ(step.loss, 1.0 / 3);
  EXPECT_EQ(step.total_ns, 1'000'003u);
  EXPECT_EQ(step.clip_ratio, 1);
  EXPECT_EQ(step.examples, 64u);
  EXPECT_EQ(step.totals.samples, 3u);
  EXPECT_EQ(step.totals.hook_errors[static_cast<std::size_t>(Hook::guard)], 1u);
  EXPECT_EQ(step.origin, -1);
  EXPECT_EQ(step.origin_step, 0u);
  EXPECT_EQ(step.user_scalars, 1u);
  EXPECT_EQ(snapshot->learning_rates, (std::vector<double>{3}));
  ASSERT_EQ(snapshot->user_scalars.size(), 1u);
  EXPECT_EQ(snapshot->user_scalars[0], (std::pair<std::string, double>("validation/loss", 3.25)));

  EXPECT_EQ(snapshot->frame.wall_time_ns, 1'700'000'002'000'000'000);
  ASSERT_EQ(snapshot->rows.size(), 2u);
  expect_moments(snapshot->rows[0].moments, 10, 0, 2);
  expect_moments(snapshot->rows[1].moments, 11, 1, 3);
  const TensorRow &weight = snapshot->rows[0], &gradient = snapshot->rows[1];
  for (const TensorRow& row : snapshot->rows) {
    EXPECT_EQ(row.state, TensorRow::present);
    EXPECT_TRUE(is_nan_bits(row.distance) && is_nan_bits(row.cosine));
    EXPECT_TRUE(is_nan_bits(row.state_norms[1]) && is_nan_bits(row.state_norms[2]));
  }
  EXPECT_EQ(weight.update_norm, 0.125);
  EXPECT_EQ(weight.states, 1u);
  EXPECT_EQ(weight.state_norms[0], 0.5);
  EXPECT_TRUE(is_nan_bits(gradient.update_norm) && is_nan_bits(gradient.state_norms[0]));
  EXPECT_EQ(gradient.states, 0u);
  ASSERT_EQ(snapshot->histograms.size(), 1u);
  EXPECT_EQ(snapshot->histograms[0].underflow + snapshot->histograms[0].overflow, 0u);
  EXPECT_EQ(snapshot->histograms[0].buckets[20], 2u);
  ASSERT_EQ(snapshot->activations.size(), 1u);
  expect_moments(snapshot->activations[0].moments, 20, 0, 12);
  EXPECT_EQ(snapshot->activations[0].dead_ratio, 0.5);
  EXPECT_TRUE(is_nan_bits(snapshot->activations[0].saturated_ratio));
  EXPECT_EQ(snapshot->activations[0].step, 2u);
  ASSERT_EQ(snapshot->layers->size(), 1u);
  EXPECT_EQ(snapshot->layers->front().layer, "fc/relu");
  EXPECT_EQ(snapshot->layers->front().phase, "validation");

  const NonfiniteEvent& event = *snapshot->origin;
  EXPECT_EQ(event.wall_time_ns, 1'700'000'003'000'000'000);
  EXPECT_EQ(event.found_by, FoundBy::replay);
  EXPECT_EQ(event.loss_nonfinite, 0u);
  EXPECT_EQ(event.nonfinite_parameters, 1u);
  EXPECT_EQ(event.backward, 1u);
  EXPECT_EQ(event.layer.view(), "fc");
  EXPECT_EQ(event.operation.view(), "LogBackward0");
  EXPECT_EQ(event.forward_operation.view(), "aten::log");
  EXPECT_EQ(event.parameter.view(), "fc.weight");
  EXPECT_EQ(event.nearest_finite.view(), "fc.bias");
  EXPECT_EQ(event.message.view(), "LogBackward0 made 1 NaN");
  ASSERT_EQ(event.operand_count, 1u);
  EXPECT_EQ(event.operands[0].description.view(), "float32 [3, 4]");
  expect_moments(event.operands[0].moments, 9, 1, 1);
}

TEST(RingGolden, OfTheLeastRunTellsItsStep) {
  const GoldenFile golden("abi1_tiny.hex");
  RunFollower follower(std::make_unique<RingFileReader>(golden.file()));
  follower.poll();
  const auto snapshot = follower.snapshot();
  EXPECT_EQ(snapshot->state, RunState::running);
  EXPECT_EQ(snapshot->loss, 2.5);
  EXPECT_EQ(snapshot->gradient_norm, 0.75);
  EXPECT_EQ(snapshot->learning_rates, (std::vector<double>{0.001}));
  EXPECT_EQ(snapshot->step.totals.overhead_ns, 125'000u);
  ASSERT_EQ(snapshot->rows.size(), 1u);
  EXPECT_EQ(snapshot->rows[0].moments.count, 2u);
  EXPECT_EQ(snapshot->rows[0].moments.max, 1.5);
  EXPECT_EQ(snapshot->rows[0].moments.sum_squares, 3.25);
}

}  // namespace
}  // namespace vigil
