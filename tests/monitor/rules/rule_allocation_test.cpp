// The whole catalogue and some thresholds over a long run: nothing is allocated after construction, also when alerts come and go.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "monitor/rules/rule_run.h"

namespace {

bool counting = false;
std::size_t allocations = 0;

}  // namespace

// GCC 12 takes the free() of an inlined operator delete for a mismatch with operator new.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
void* operator new(std::size_t size) {
  allocations += counting ? 1 : 0;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace vigil {
namespace {

using namespace test;

TEST(RuleAllocation, TheCounterSeesNew) {
  allocations = 0;
  counting = true;
  static void* volatile seen;
  delete static_cast<std::string*>(seen = new std::string(100, 'x'));
  counting = false;
  EXPECT_EQ(allocations, 2u);
}

TEST(RuleAllocation, IsZeroFromTheFirstRecordOn) {
  RuleRun run;
  for (const auto& cases : {step_rule_cases(), tensor_rule_cases()}) {
    for (const RuleCase& one : cases) run.on(one.rule, one.parameters);
  }
  for (const char* metric : {"vigil_loss", "vigil_parameter_mean", "vigil_activation_max", "vigil_learning_rate"}) {
    run.setup.thresholds.emplace_back().metric = metric;
    run.setup.thresholds.back().limit = 0.3;
  }
  AlertEngine& engine = run.engine();
  std::size_t told = 0;
  engine.set_on_alert([&told](const Alert&) { ++told; });
  run.log("validation/loss", 1);
  std::vector<TensorRow> healthy = run.rows, broken = run.rows;
  for (std::size_t i = 0; i < healthy.size(); ++i) {
    healthy[i].moments = moments_of(run.values[i]);
    broken[i].moments = moments_of(std::vector<double>(run.values[i].size(), 1e5));
    broken[i].moments.nan_count = i % 3 == 0 ? 1 : 0;
  }
  StepRecord& record = run.record;
  allocations = 0;
  counting = true;
  for (std::uint64_t step = 1; step <= 3000; ++step) {
    const bool is_broken = step % 100 > 80;
    record.step = step;
    record.wall_time_ns += 10'000'000;
    record.user_scalars = 1;
    record.loss = is_broken && step % 2 == 0 ? kNan : is_broken ? 1e4 : 1 + 0.01 * std::sin(static_cast<double>(step));
    record.gradient_norm = is_broken ? 1e6 : 1;
    record.total_ns = is_broken ? 1'000'000'000 : 10'000'000;
    run.nonfinite(NonfiniteIn::gradient).nan += is_broken ? 1 : 0;
    run.scalars[0] = is_broken ? kNan : 0.01;
    run.scalars[run.schema.learning_rates] = static_cast<double>(step);
    for (ActivationRow& row : run.activations) {
      row.step = step;
      row.dead_ratio = row.saturated_ratio = is_broken ? 1 : 0;
    }
    if (step % 3 == 0) {
      const FrameHeader header{step, record.wall_time_ns, run.activations.size()};
      engine.on_frame({header, is_broken ? broken : healthy, {}, run.activations, run.layers});
    }
    engine.on_step(record, run.scalars.data(), run.names);
    run.host.steady_ns += 1'000'000'000;
    run.host.disk_free_bytes = is_broken ? 1 : 1e12;
    engine.on_host(run.host);
  }
  counting = false;
  EXPECT_EQ(allocations, 0u);
  EXPECT_GT(told, 100u);
}

}  // namespace
}  // namespace vigil
