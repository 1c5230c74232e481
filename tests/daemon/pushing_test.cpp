// Which attempt of a run is told of, in whatever order its ring files are found.
#include "vigil/daemon/pushing.h"

#include <gtest/gtest.h>

#include "daemon/sent_samples.h"
#include "e2e/wait_until.h"
#include "exporters/captured_log.h"
#include "exporters/text_parser.h"
#include "http/http_recorder.h"
#include "vigil/daemon/write_request.h"
#include "vigil/monitor/clock.h"

namespace vigil {
namespace {

using namespace test;

std::shared_ptr<const Schema> attempt_of(int attempt, const std::string& run = "mnist", int rank = 0) {
  Schema schema;
  schema.identity.run = run;
  schema.identity.rank = rank;
  schema.identity.attempt = attempt;
  schema.identity.start_time_ns = 1'700'000'000'000'000'000 + attempt;
  return std::make_shared<const Schema>(schema);
}

Snapshot end_of(const std::shared_ptr<const Schema>& schema, RunState state) {
  Snapshot snapshot;
  snapshot.schema = schema;
  snapshot.state = state;
  return snapshot;
}

class OfTwoAttempts : public testing::Test {
 protected:
  Pushing pushing_to_gateway() const {
    PushingOptions options;
    options.pushgateway.emplace().url = receiver_.url();
    return Pushing(std::move(options));
  }
  // "PUT /path" of each request so far.
  std::vector<std::string> told() const {
    std::vector<std::string> all;
    for (const RecordedRequest& request : receiver_.requests()) all.push_back(request.method + " " + request.path);
    return all;
  }

  const HttpRecorder receiver_;
  const CapturedLog captured_;
};

TEST_F(OfTwoAttempts, TheGatewayKeepsTheResultOfTheNewerOneThoughTheOlderOneIsFoundLast) {
  Pushing pushing = pushing_to_gateway();
  pushing.begin_run(attempt_of(2), /*is_alive=*/false);
  pushing.end_run(nullptr, end_of(attempt_of(2), RunState::finished), 3);
  ASSERT_TRUE(receiver_.wait_for(10, 1));
  // Killed, so that its file says that it still runs.
  pushing.begin_run(attempt_of(1), /*is_alive=*/true);
  pushing.end_run(nullptr, end_of(attempt_of(1), RunState::crashed), 2);
  pushing.stop();
  ASSERT_EQ(told(), (std::vector<std::string>{"PUT /metrics/job/mnist"}));
  EXPECT_NE(receiver_.requests().front().body.find(R"(vigil_result_state{run="mnist",state="finished"} 1)"), std::string::npos);
}

TEST_F(OfTwoAttempts, TheGatewayIsNotToldOfACrashThatIsSeenAfterTheNextStart) {
  Pushing pushing = pushing_to_gateway();
  pushing.begin_run(attempt_of(1), true);
  ASSERT_TRUE(receiver_.wait_for(10, 1));
  pushing.begin_run(attempt_of(2), true);
  ASSERT_TRUE(receiver_.wait_for(10, 2));
  pushing.end_run(nullptr, end_of(attempt_of(1), RunState::crashed), 2);
  // Neither another run nor the same attempt is held up by it.
  pushing.begin_run(attempt_of(0, "gan"), false);
  pushing.end_run(nullptr, end_of(attempt_of(0, "gan"), RunState::failed), 3);
  ASSERT_TRUE(receiver_.wait_for(10, 3));
  pushing.end_run(nullptr, end_of(attempt_of(2), RunState::finished), 4);
  pushing.stop();
  EXPECT_EQ(told(), (std::vector<std::string>{"DELETE /metrics/job/mnist", "DELETE /metrics/job/mnist", "PUT /metrics/job/gan",
                                              "PUT /metrics/job/mnist"}));
}

TEST_F(OfTwoAttempts, TheEndOfTheOlderOneLeavesTheSeriesOfTheNewerOneAlone) {
  PushingOptions options;
  options.remote_write.emplace().url = receiver_.url();
  Pushing pushing(std::move(options));
  std::int64_t time_ns = wall_time_ns();
  const auto write_step = [&time_ns](RunSamples& samples, std::uint64_t step) {
    StepRecord record;
    record.step = step;
    record.flags = StepRecord::has_loss;
    record.loss = static_cast<double>(step);
    record.wall_time_ns = time_ns += 1'000'000'000;
    samples.on_step(record, nullptr, {});
    samples.release_before(time_ns + 1'000'000);
  };
  const auto older = pushing.begin_run(attempt_of(1), true), newer = pushing.begin_run(attempt_of(2), true);
  write_step(*older, 1);
  write_step(*newer, 2);
  pushing.end_run(older.get(), end_of(attempt_of(1), RunState::crashed), time_ns);
  write_step(*newer, 3);
  pushing.stop();
  std::vector<std::string> bodies;
  for (const RecordedRequest& request : receiver_.requests()) bodies.push_back(request.body);
  auto samples = samples_of(bodies);
  std::vector<std::uint64_t> losses;
  for (const auto& [time_ms, bits] : samples[series_key("vigil_loss", {{"run", "mnist"}, {"rank", "0"}})]) losses.push_back(bits);
  EXPECT_EQ(losses, (std::vector<std::uint64_t>{wire_bits(1), wire_bits(2), wire_bits(3)})) << "no stale marker among them";
  std::size_t ended = 0;
  for (const auto& [series, values] : samples) {
    if (values.rbegin()->second != kStaleBits) continue;
    ++ended;
    EXPECT_NE(series.find("vigil_run_info"), std::string::npos) << series;
    EXPECT_NE(series.find("attempt=\"1\""), std::string::npos) << series;
  }
  EXPECT_EQ(ended, 1u);
}

}  // namespace
}  // namespace vigil
