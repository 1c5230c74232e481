// Alerts as the training program meets them: the verdict, the checkpoint, the function, the report and the log.
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "exporters/captured_log.h"
#include "files.h"
#include "hooks/test_model.h"
#include "vigil/hooks/training_monitor.h"

namespace vigil {
namespace {

class Alerts : public testing::Test {
 protected:
  // One rule that fires when the program logs "trigger" above 0.
  Config watching(const std::string& actions) const {
    Config config = quiet_config();
    config.exporters.interval_ms = 60'000;  // snapshot() says when
    config.exporters.report.enabled = true;
    config.exporters.report.directory = folder.path().string();
    config.rules.threshold = {"vigil_user_scalar{name=\"trigger\"} > 0 keep 0 steps as trigger do " + actions};
    return config;
  }
  void start(const std::string& actions) {
    monitor = std::make_unique<TrainingMonitor>(watching(actions));
    monitor->watch(*net, optimizer);
  }
  Verdict step(double trigger = 0) {
    const auto loss = backward_pass(net, optimizer);
    const Verdict verdict = monitor->after_backward(loss);
    if (verdict == Verdict::proceed) optimizer.step();
    monitor->log("trigger", trigger);
    monitor->after_step();
    monitor->snapshot();  // the rules have seen it
    return verdict;
  }

  test::TemporaryFolder folder;
  SmallNet net;
  torch::optim::SGD optimizer{net->parameters(), 0.01};
  std::unique_ptr<TrainingMonitor> monitor;
};

TEST(Healthy, AMaskOfInfinitiesInABufferIsMeant) {
  struct MaskedImpl : torch::nn::Module {
    torch::Tensor forward(const torch::Tensor& x) { return torch::softmax(fc(x) + mask, 1); }
    torch::nn::Linear fc = register_module("fc", torch::nn::Linear(4, 4));
    torch::Tensor mask = register_buffer("mask", torch::tensor({0.0F, -std::numeric_limits<float>::infinity(), 0.0F, 0.0F}));
  } model;
  torch::optim::SGD optimizer(model.parameters(), 0.01);
  std::vector<std::string> fired;
  {
    TrainingMonitor monitor(quiet_config());
    monitor.on_alert([&](const AlertNotice& alert) { fired.push_back(alert.alert + ": " + alert.sentence); });
    monitor.watch(model, optimizer);
    const auto train = [&] {
      for (int i = 0; i < 25; ++i) {
        optimizer.zero_grad();
        const auto loss = model.forward(torch::randn({8, 4})).select(1, 0).mean();
        loss.backward();
        monitor.step(optimizer, loss);
      }
    };
    train();
    const auto in_parameters = [&] {
      return monitor.snapshot()->step.totals.nonfinite_values[static_cast<std::size_t>(NonfiniteIn::parameter)].inf;
    };
    EXPECT_EQ(in_parameters(), 0U);
    model.mask[2] = std::numeric_limits<float>::infinity();  // one more is not
    train();
    EXPECT_GT(in_parameters(), 0U);
  }
  ASSERT_FALSE(fired.empty());
  for (const std::string& alert : fired) EXPECT_EQ(alert.rfind("nonfinite_", 0), 0U) << alert;
}

TEST(Healthy, ACriticThatIsTrainedMoreOftenThanItsGenerator) {
  torch::nn::Sequential generator(torch::nn::Linear(4, 8)), critic(torch::nn::Linear(8, 1));
  torch::optim::Adam of_generator(generator->parameters(), 1e-3), of_critic(critic->parameters(), 1e-3);
  std::vector<std::string> fired;
  {
    TrainingMonitor monitor(quiet_config());
    monitor.on_alert([&](const AlertNotice& alert) { fired.push_back(alert.alert + ": " + alert.sentence); });
    monitor.watch({{"generator", *generator, of_generator}, {"critic", *critic, of_critic}});
    for (int step = 1; step <= 300; ++step) {
      of_critic.zero_grad();
      auto loss = critic->forward(generator->forward(torch::randn({8, 4})).detach()).mean() - critic->forward(torch::randn({8, 8})).mean();
      loss.backward();
      if (monitor.after_backward(loss, of_critic) == Verdict::proceed) of_critic.step();
      if (step % 10 == 3) {  // of no sampled step
        of_generator.zero_grad();
        loss = -critic->forward(generator->forward(torch::randn({8, 4}))).mean();
        loss.backward();
        if (monitor.after_backward(loss, of_generator) == Verdict::proceed) of_generator.step();
      }
      monitor.after_step();
    }
  }
  for (const std::string& alert : fired) {
    EXPECT_EQ(alert.find("learning_rate"), std::string::npos) << alert;
    EXPECT_EQ(alert.find("frozen_parameter"), std::string::npos) << alert;
  }
}

TEST_F(Alerts, StopIsTheVerdictOfTheStepAfter) {
  start("stop");
  for (int i = 0; i < 5; ++i) ASSERT_EQ(step(), Verdict::proceed);
  ASSERT_EQ(step(1), Verdict::proceed) << "which nobody had seen yet";
  EXPECT_EQ(step(), Verdict::stop);
  EXPECT_EQ(step(), Verdict::stop) << "also when the alert is over";
  EXPECT_EQ(*monitor->value("vigil_skipped_steps_total"), 0) << "counted where the step is not finite";
}

TEST_F(Alerts, StopEndsALoopThatUsesStep) {
  start("stop");
  int steps = 0;
  for (Verdict verdict = Verdict::proceed; verdict != Verdict::stop && steps < 100; ++steps) {
    monitor->log("trigger", steps == 10 ? 1 : 0);
    verdict = monitor->step(optimizer, backward_pass(net, optimizer));
    monitor->snapshot();
  }
  EXPECT_EQ(steps, 12);
}

TEST_F(Alerts, CheckpointIsSavedByTheTrainingThreadAtTheEndOfTheNextStep) {
  start("checkpoint");
  std::vector<std::uint64_t> saved;
  std::thread::id saver;
  monitor->set_checkpoint([&](std::uint64_t at) {
    saved.push_back(at);
    saver = std::this_thread::get_id();
  });
  for (int i = 0; i < 3; ++i) step();
  step(1);
  EXPECT_TRUE(saved.empty());
  const auto loss = backward_pass(net, optimizer);
  monitor->after_backward(loss);
  EXPECT_TRUE(saved.empty()) << "parameters and optimizer belong to no step yet";
  monitor->after_step();
  EXPECT_EQ(saved, std::vector<std::uint64_t>{5});
  EXPECT_EQ(saver, std::this_thread::get_id());
  for (int i = 0; i < 3; ++i) step();
  EXPECT_EQ(saved.size(), 1u);
  step(1);
  step();
  EXPECT_EQ(saved, (std::vector<std::uint64_t>{5, 10})) << "once for each alert";
}

TEST_F(Alerts, ACheckpointThatThrowsIsCountedAndTrainingGoesOn) {
  monitor = std::make_unique<TrainingMonitor>(watching("checkpoint"));
  int calls = 0;
  monitor->set_checkpoint([&](std::uint64_t) {
    ++calls;
    throw std::runtime_error("the disk is full");
  });
  monitor->watch(*net, optimizer);
  step(1);
  EXPECT_EQ(step(), Verdict::proceed);
  EXPECT_EQ(step(), Verdict::proceed);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(monitor->snapshot()->step.totals.hook_errors[static_cast<std::size_t>(Hook::checkpoint)], 1u);
}

TEST_F(Alerts, WithoutAFunctionACheckpointIsAMisuse) {
  start("checkpoint");
  step(1);
  step();
  step();
  EXPECT_EQ(monitor->snapshot()->step.totals.hook_errors[static_cast<std::size_t>(Hook::checkpoint)], 1u);
}

TEST_F(Alerts, TheFunctionMayEndTheRun) {
  monitor = std::make_unique<TrainingMonitor>(watching("callback"));
  std::atomic<bool> has_ended{false}, may_return{false}, has_returned{false};
  monitor->on_alert([&](const AlertNotice&) {
    monitor->finish();
    has_ended = true;
    while (!may_return) std::this_thread::yield();
    has_returned = true;
  });
  monitor->watch(*net, optimizer);
  step(1);
  while (!has_ended) std::this_thread::yield();
  EXPECT_FALSE(monitor->active());
  EXPECT_EQ(monitor->snapshot()->state, RunState::finished);
  const auto steps = monitor->snapshot()->step.step;
  EXPECT_EQ(step(1), Verdict::proceed);
  EXPECT_EQ(monitor->snapshot()->step.step, steps) << "the loop goes on unwatched";
  may_return = true;
  monitor->finish();
  EXPECT_TRUE(has_returned);
}

TEST_F(Alerts, TheFunctionMayDestroyTheMonitor) {
  std::atomic<bool> has_returned{false};
  monitor = std::make_unique<TrainingMonitor>(watching("callback"));
  std::unique_ptr<TrainingMonitor> its_own;
  std::atomic<bool> may_go{false};
  monitor->on_alert([&](const AlertNotice&) {
    while (!may_go) std::this_thread::yield();
    its_own.reset();
    has_returned = true;
  });
  monitor->watch(*net, optimizer);
  step(1);
  its_own = std::move(monitor);
  may_go = true;
  while (!has_returned) std::this_thread::yield();
  EXPECT_EQ(its_own, nullptr);
}

TEST_F(Alerts, TheFunctionIsCalledOnAThreadOfItsOwn) {
  monitor = std::make_unique<TrainingMonitor>(watching("callback"));
  std::vector<AlertNotice> notices;  // of that thread until finish()
  std::atomic<bool> is_elsewhere{true};
  monitor->on_alert([&, here = std::this_thread::get_id()](const AlertNotice& notice) {
    if (std::this_thread::get_id() == here) is_elsewhere = false;
    notices.push_back(notice);
  });
  monitor->watch(*net, optimizer);
  step();
  step(7);
  step();
  monitor->finish();
  ASSERT_EQ(notices.size(), 2u);
  EXPECT_TRUE(is_elsewhere);
  EXPECT_EQ(notices[0].alert, "trigger");
  EXPECT_EQ(notices[0].severity, "warning");
  EXPECT_EQ(notices[0].sentence, "vigil_user_scalar is 7, the rule is > 0");
  EXPECT_EQ(notices[0].step, 2u);
  EXPECT_FALSE(notices[0].is_over);
  EXPECT_TRUE(notices[1].is_over);
  EXPECT_EQ(notices[1].step, 3u);
}

TEST_F(Alerts, TheFunctionMayBeReplacedAndTakenAway) {
  start("callback");
  int first = 0, second = 0;
  monitor->on_alert([&](const AlertNotice&) { ++first; });
  monitor->on_alert([&](const AlertNotice&) { ++second; });
  step(1);
  monitor->finish();
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 1);
}

TEST_F(Alerts, DumpWritesAReport) {
  start("dump");
  for (int i = 0; i < 3; ++i) step();
  step(1);
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "vigil-alert-test-trigger-4.json"));
}

TEST_F(Alerts, LogWritesALine) {
  const test::CapturedLog captured;
  Config config = watching("log");
  config.log.level = LogLevel::info;
  monitor = std::make_unique<TrainingMonitor>(config);
  monitor->watch(*net, optimizer);
  step();
  step(1);
  step();
  EXPECT_EQ(captured.count("warning: alert trigger (warning) at step 2: vigil_user_scalar is 1, the rule is > 0"), 1u);
  EXPECT_EQ(captured.count("info: alert trigger is over at step 3"), 1u);
}

TEST_F(Alerts, NanGradientsFireTheRuleOfTheCatalogueWithTheirLayer) {
  Config config = watching("log");
  config.guard.on_nonfinite = OnNonfinite::skip_step;
  monitor = std::make_unique<TrainingMonitor>(config);
  monitor->watch(*net, optimizer);
  for (int i = 0; i < 3; ++i) step();
  const auto loss = backward_pass(net, optimizer);
  net->fc->weight.mutable_grad().view({-1})[0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(monitor->step(optimizer, loss), Verdict::skip);
  const auto snapshot = monitor->snapshot();
  ASSERT_EQ(snapshot->active_alerts.size(), 1u);
  const AlertNotice& notice = snapshot->active_alerts[0];
  EXPECT_EQ(notice.alert, "nonfinite_gradient");
  EXPECT_EQ(notice.severity, "critical");
  EXPECT_EQ(notice.parameter, "fc.weight");
  EXPECT_EQ(notice.layer, "fc");
  EXPECT_EQ(notice.step, 4u);
  EXPECT_FALSE(notice.advice.empty());
}

TEST_F(Alerts, ARuleThatCannotBeHadIsRefusedAndNothingIsStarted) {
  TrainingMonitor wrong(watching("webhook"));
  EXPECT_THROW(wrong.watch(*net, optimizer), std::invalid_argument);
  EXPECT_FALSE(wrong.active());
}

TEST_F(Alerts, OfADisabledMonitorNoFunctionIsKept) {
  setenv("VIGIL_DISABLE", "1", 1);
  TrainingMonitor disabled(watching("checkpoint callback"));
  unsetenv("VIGIL_DISABLE");
  disabled.on_alert([](const AlertNotice&) { ADD_FAILURE(); });
  disabled.set_checkpoint([](std::uint64_t) { ADD_FAILURE(); });
  disabled.watch(*net, optimizer);
  disabled.log("trigger", 1);
  EXPECT_EQ(disabled.step(optimizer, backward_pass(net, optimizer)), Verdict::proceed);
  disabled.finish();
}

}  // namespace
}  // namespace vigil
