// The monitor in a loop: same losses with and without it, what it records, and that no misuse ends a training.
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <sys/wait.h>
#include <torch/torch.h>
#include <unistd.h>

#include "environment.h"
#include "hooks/test_model.h"
#include "hooks/thread_count.h"
#include "http/http_client.h"
#include "vigil/hooks/training_monitor.h"

namespace vigil {
namespace {

std::size_t thread_count() {
  std::size_t count = 0;
  DIR* tasks = opendir("/proc/self/task");
  while (const dirent* entry = readdir(tasks)) count += entry->d_name[0] != '.';
  closedir(tasks);
  return count;
}

double hook_errors(const TrainingMonitor& monitor, Hook hook) {
  return static_cast<double>(monitor.snapshot()->step.totals.hook_errors[static_cast<std::size_t>(hook)]);
}

class Monitor : public testing::Test {
 protected:
  Monitor() { monitor.watch(*net, optimizer); }
  void step() { monitor.step(optimizer, backward_pass(net, optimizer)); }

  SmallNet net;
  torch::optim::SGD optimizer{net->parameters(), 0.01};
  TrainingMonitor monitor{quiet_config()};
};

std::vector<float> losses_of_a_seeded_run(bool watched) {
  torch::manual_seed(42);
  SmallNet net;
  torch::optim::Adam optimizer(net->parameters(), 1e-3);
  Config config = quiet_config();
  config.sampling.every_steps = 3;
  TrainingMonitor monitor(config);
  if (watched) monitor.watch(*net, optimizer);
  std::vector<float> losses;
  for (int i = 0; i < 60; ++i) {
    const auto loss = backward_pass(net, optimizer);
    monitor.step(optimizer, loss);
    losses.push_back(loss.item<float>());
  }
  return losses;
}

TEST(MonitoredTraining, HasTheSameLossesBitForBit) {
  const ThreadCount restored(1);
  EXPECT_EQ(losses_of_a_seeded_run(true), losses_of_a_seeded_run(false));
}

TEST_F(Monitor, RecordsLossRateNormsAndTimesOfEveryStep) {
  step();
  step();
  const auto loss = backward_pass(net, optimizer);
  monitor.after_backward(loss);
  optimizer.step();
  monitor.after_step();
  const auto snapshot = monitor.snapshot();
  EXPECT_EQ(snapshot->step.step, 3u);
  EXPECT_EQ(snapshot->step.loss, static_cast<double>(loss.item<float>()));
  EXPECT_EQ(snapshot->learning_rates, std::vector<double>{0.01});
  EXPECT_GT(snapshot->step.optimizer_ns, 0u);
  EXPECT_GT(snapshot->step.total_ns, snapshot->step.optimizer_ns + snapshot->step.forward_backward_ns);
  EXPECT_GT(snapshot->step.totals.overhead_ns, 0u);
  EXPECT_LT(snapshot->step.totals.loop_overhead_ns, snapshot->step.totals.loop_ns);
  EXPECT_EQ(snapshot->durations[static_cast<std::size_t>(Phase::total)].count, 2u) << "the first step has no beginning";
  EXPECT_NEAR(static_cast<double>(snapshot->step.totals.loop_ns) * 1e-9,
              snapshot->durations[static_cast<std::size_t>(Phase::total)].sum_seconds, 1e-8)
      << "the time of the loop is that of the steps from the second on: what lies between watch() and the loop is none of it";
  EXPECT_EQ(snapshot->state, RunState::running);
}

TEST_F(Monitor, ParameterStatisticsAreThoseOfTheWeightsThatMadeTheLoss) {
  torch::Tensor weight = net->fc->weight.detach().clone();
  step();  // the first step is sampled, before the optimizer runs
  weight = weight.to(torch::kDouble);
  const double std = weight.std(false).item<double>();
  EXPECT_NEAR(*monitor.value("vigil_parameter_mean", "fc.weight"), weight.mean().item<double>(), 1e-6 * std);
  EXPECT_NEAR(*monitor.value("vigil_parameter_std", "fc.weight"), std, 1e-6 * std);
  EXPECT_EQ(*monitor.value("vigil_parameter_max", "fc.weight"), weight.max().item<double>());
  const torch::Tensor running_mean = net->norm->running_mean.to(torch::kDouble);
  EXPECT_NEAR(*monitor.value("vigil_buffer_mean", "norm.running_mean"), running_mean.mean().item<double>(),
              1e-6 * running_mean.std(false).item<double>());
}

TEST_F(Monitor, LearningRatesOfAllGroupsFollowTheScheduler) {
  SmallNet other;
  torch::optim::SGD grouped(
      {torch::optim::OptimizerParamGroup({other->conv->weight, other->conv->bias}),
       torch::optim::OptimizerParamGroup({other->fc->weight, other->fc->bias}, std::make_unique<torch::optim::SGDOptions>(0.5))},
      torch::optim::SGDOptions(0.25));
  TrainingMonitor second(quiet_config());
  second.watch(*other, grouped);
  second.step(grouped, backward_pass(other, grouped));
  EXPECT_EQ(second.snapshot()->learning_rates, (std::vector<double>{0.25, 0.5}));
  static_cast<torch::optim::SGDOptions&>(grouped.param_groups()[1].options()).lr(0.05);
  second.step(grouped, backward_pass(other, grouped));
  EXPECT_EQ(second.snapshot()->learning_rates, (std::vector<double>{0.25, 0.05}));
}

TEST_F(Monitor, UserScalarsKeepTheirLatestValue) {
  monitor.log("validation/accuracy", 0.5);
  step();
  monitor.log("validation/accuracy", 0.75);
  step();
  step();
  monitor.log("test/accuracy", 0.9);  // after the last step
  monitor.finish();
  const auto snapshot = monitor.snapshot();
  EXPECT_EQ(snapshot->user_scalars, (std::vector<std::pair<std::string, double>>{{"validation/accuracy", 0.75}, {"test/accuracy", 0.9}}));
  EXPECT_EQ(snapshot->step.step, 3u);
  EXPECT_EQ(snapshot->durations[static_cast<std::size_t>(Phase::total)].count, 2u);
}

TEST_F(Monitor, UnusableLossIsCountedAndTrainingGoesOn) {
  step();
  const double loss = *monitor.value("vigil_loss");
  backward_pass(net, optimizer);
  EXPECT_EQ(monitor.after_backward(torch::Tensor()), Verdict::proceed);
  monitor.after_step();
  EXPECT_EQ(monitor.after_backward(torch::ones({2})), Verdict::proceed);
  monitor.after_step();
  EXPECT_EQ(monitor.after_backward(torch::empty({0})), Verdict::proceed);
  monitor.after_step();
  EXPECT_EQ(monitor.after_backward(torch::tensor(1)), Verdict::proceed);  // an integer
  monitor.after_step();
  EXPECT_EQ(hook_errors(monitor, Hook::loss), 4);
  EXPECT_EQ(*monitor.value("vigil_loss"), loss) << "a step without a loss leaves the latest one";
  EXPECT_TRUE(monitor.value("vigil_gradient_norm"));
}

TEST_F(Monitor, LossOfAnyFloatingPointTypeIsRead) {
  for (const auto type : {torch::kFloat, torch::kDouble, torch::kBFloat16, torch::kHalf}) {
    monitor.after_backward(torch::full({1}, 1.5, type));
    monitor.after_step();
    EXPECT_EQ(*monitor.value("vigil_loss"), 1.5);
  }
}

TEST_F(Monitor, CallsOutOfOrderAreCountedAndLoseNoStep) {
  monitor.after_step();
  const auto loss = backward_pass(net, optimizer);
  monitor.after_backward(loss);
  monitor.after_backward(loss);
  monitor.after_step();
  EXPECT_EQ(monitor.snapshot()->step.step, 2u);
  EXPECT_EQ(monitor.snapshot()->step_ring.read, 2u);
  EXPECT_EQ(hook_errors(monitor, Hook::sequence), 2);
  const auto durations = monitor.snapshot()->durations;
  EXPECT_LT(durations[static_cast<std::size_t>(Phase::forward_backward)].sum_seconds, 60);
}

TEST_F(Monitor, AnotherOptimizerAndLateParameterGroupsAreCounted) {
  torch::optim::SGD other(net->parameters(), 0.5);
  monitor.step(other, backward_pass(net, optimizer));
  EXPECT_EQ(hook_errors(monitor, Hook::optimizer), 1);
  optimizer.add_param_group(torch::optim::OptimizerParamGroup({torch::zeros({3}, torch::requires_grad())}));
  for (int i = 0; i < 20; ++i) step();
  EXPECT_EQ(hook_errors(monitor, Hook::optimizer), 2) << "told once";
  EXPECT_EQ(monitor.snapshot()->learning_rates, std::vector<double>{0.01});
}

TEST(MonitorsValue, IsWhatTheEndpointServesAndMore) {
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.01);
  Config config = served_config();
  config.exporters.prometheus.max_series = 40;
  TrainingMonitor monitor(config);
  monitor.watch(*net, optimizer);
  monitor.step(optimizer, backward_pass(net, optimizer));
  const double series = *monitor.value("vigil_series");
  EXPECT_LE(series, 40);
  const std::string exposition = test::request(monitor.endpoint(), "/metrics").body;
  EXPECT_NE(exposition.find("\nvigil_series{run=\"test\",rank=\"0\"} " + std::to_string(static_cast<int>(series)) + "\n"),
            std::string::npos);
  for (const auto& parameter : net->named_parameters()) {
    EXPECT_TRUE(monitor.value("vigil_parameter_mean", parameter.key()).has_value()) << parameter.key() << ", served or not";
  }
}

TEST_F(Monitor, TooManyScalarsAreCounted) {
  for (int i = 0; i < 70; ++i) monitor.log("scalar" + std::to_string(i), i);
  step();
  EXPECT_EQ(hook_errors(monitor, Hook::scalars), 70 - static_cast<double>(ScalarNames::kCapacity));
}

TEST_F(Monitor, WhatTheOptimizerThrowsPassesThroughAndTheStepIsPublished) {
  torch::optim::LBFGS needs_closure(net->parameters());
  TrainingMonitor second(quiet_config());
  second.watch(*net, needs_closure);
  const auto loss = backward_pass(net, optimizer);
  EXPECT_THROW(second.step(needs_closure, loss), c10::Error);
  EXPECT_EQ(second.snapshot()->step.step, 1u);
}

TEST(MonitorsCollectable, HasMetricsFromWatchUntilTheMonitorIsGone) {
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.01);
  auto watched = std::make_unique<TrainingMonitor>(quiet_config());
  const auto collectable = watched->collectable();
  EXPECT_TRUE(collectable->Collect().empty());
  watched->watch(*net, optimizer);
  watched->step(optimizer, backward_pass(net, optimizer));
  watched->finish();
  double steps = 0;
  for (const auto& family : collectable->Collect()) {
    if (family.name == "vigil_steps_total") steps = family.metric.at(0).counter.value;
  }
  EXPECT_EQ(steps, 1);
  watched.reset();
  EXPECT_TRUE(collectable->Collect().empty());
}

TEST_F(Monitor, FinishIsIdempotentAndKeepsTheFigures) {
  step();
  monitor.finish();
  monitor.finish();
  EXPECT_FALSE(monitor.active());
  EXPECT_EQ(monitor.snapshot()->state, RunState::finished);
  EXPECT_EQ(*monitor.value("vigil_steps_total"), 1);
  EXPECT_EQ(*monitor.value("vigil_up"), 0);
  step();  // after the end: no-ops
  EXPECT_EQ(monitor.snapshot()->step.step, 1u);
}

// What the last scrape says of a run whose loop `end` leaves.
std::string last_exposition(const std::function<void(TrainingMonitor&)>& end) {
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.01);
  Config config = served_config();
  config.exporters.prometheus.linger_ms = 600'000;
  std::promise<std::string> endpoint;
  std::thread trainer([&] {
    try {
      TrainingMonitor monitor(config);
      monitor.watch(*net, optimizer);
      endpoint.set_value(monitor.endpoint());
      end(monitor);
    } catch (const std::runtime_error&) {
    }
  });
  const std::string address = endpoint.get_future().get();
  std::string exposition;
  do {
    exposition = test::request(address, "/metrics").body;
  } while (exposition.find("\nvigil_up{run=\"test\",rank=\"0\"} 0\n") == std::string::npos);
  trainer.join();
  return exposition;
}

TEST(EndOfARun, IsFinishedWhenTheMonitorGoesOutOfScope) {
  const std::string exposition = last_exposition([](TrainingMonitor&) {});
  EXPECT_NE(exposition.find("vigil_run_state{run=\"test\",rank=\"0\",state=\"finished\"} 1\n"), std::string::npos);
}

TEST(EndOfARun, IsFailedWhenAnExceptionEndsTheLoop) {
  const std::string exposition = last_exposition([](TrainingMonitor&) { throw std::runtime_error("out of memory"); });
  EXPECT_NE(exposition.find("vigil_run_state{run=\"test\",rank=\"0\",state=\"failed\"} 1\n"), std::string::npos);
}

TEST_F(Monitor, AForkedChildIsInert) {
  step();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    bool inert = !monitor.active();
    inert = inert && monitor.after_backward(torch::tensor(1.0f)) == Verdict::proceed;
    monitor.after_step();
    monitor.finish();
    _exit(inert && thread_count() == 1 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  step();
  EXPECT_EQ(monitor.snapshot()->step.step, 2u) << "the parent goes on";
}

TEST(DisabledMonitor, HasNoThreadNoPortAndCallsCostABranch) {
  std::optional<test::EnvironmentVariable> disable(std::in_place, "VIGIL_DISABLE", "1");
  std::optional<test::EnvironmentVariable> config_file(std::in_place, "VIGIL_CONFIG", "/nonexistent/vigil.yaml");  // not even read
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  const auto loss = backward_pass(net, optimizer);
  const std::size_t threads = thread_count();
  TrainingMonitor monitor;
  monitor.watch(*net, optimizer);
  disable.reset();
  config_file.reset();
  EXPECT_EQ(thread_count(), threads);
  EXPECT_EQ(monitor.endpoint(), "");
  EXPECT_EQ(monitor.snapshot(), nullptr);
  EXPECT_FALSE(monitor.value("vigil_up"));
  EXPECT_EQ(monitor.collectable() == nullptr, false);

  constexpr int kCalls = 100000;
  double least = 1e9;  // of several trials, as other processes share the machine
  for (int trial = 0; trial < 20; ++trial) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) {
      monitor.after_backward(loss);
      monitor.after_step();
    }
    const double nanoseconds = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
    least = std::min(least, nanoseconds / (2 * kCalls));
  }
  EXPECT_LT(least, 100);
  RecordProperty("nanoseconds_per_call", static_cast<int>(least));
}

TEST(UnwatchedMonitor, CallsOfTheLoopAreNoOps) {
  TrainingMonitor monitor(quiet_config());
  EXPECT_EQ(monitor.after_backward(torch::tensor(1.0f)), Verdict::proceed);
  monitor.after_step();
  monitor.log("a", 1);
  EXPECT_FALSE(monitor.nonfinite_origin());
  EXPECT_EQ(monitor.snapshot(), nullptr);
  monitor.finish();
}

}  // namespace
}  // namespace vigil
