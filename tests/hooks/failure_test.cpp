// The boundary that nothing passes: what happens to a training when a part of vigil throws in its loop.
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "hooks/test_model.h"
#include "vigil/hooks/training_monitor.h"

namespace vigil {
namespace {

// Its learning rate cannot be read: OptimizerOptions::get_lr() throws unless it is overridden.
class Unreadable : public torch::optim::SGD {
 public:
  explicit Unreadable(const std::vector<torch::Tensor>& parameters) : SGD(parameters, 0.01) {
    param_groups()[0].set_options(std::make_unique<torch::optim::OptimizerOptions>());
  }
};

class Failing : public testing::Test {
 protected:
  void start(torch::optim::Optimizer& steps_with, std::int64_t sample_every = 1'000'000) {
    Config config = quiet_config();
    config.guard.on_nonfinite = OnNonfinite::skip_step;
    config.sampling.every_steps = sample_every;
    monitor = std::make_unique<TrainingMonitor>(config);
    monitor->watch(*net, steps_with);
  }
  Verdict guard_step() {
    const Verdict verdict = monitor->after_backward(torch::tensor(1.0f));
    monitor->after_step();
    return verdict;
  }
  // A tensor without memory, whose reduction throws.
  static void make_unreadable(const torch::Tensor& parameter) {
    parameter.mutable_grad() = torch::empty(parameter.sizes(), torch::TensorOptions().device(torch::kMeta));
  }
  static void make_readable(const torch::Tensor& parameter) { parameter.mutable_grad() = torch::ones_like(parameter); }
  std::uint64_t errors(Hook hook) { return monitor->snapshot()->step.totals.hook_errors[static_cast<std::size_t>(hook)]; }
  std::uint64_t row_state(TensorKind kind, const std::string& name) {
    const auto snapshot = monitor->snapshot();
    for (std::size_t i = 0; i < snapshot->rows.size(); ++i) {
      const auto& row = snapshot->schema->rows[i];
      if (row.kind == kind && row.name == name) return snapshot->rows[i].state;
    }
    ADD_FAILURE() << name << " has no row";
    return 0;
  }

  SmallNet net;
  torch::optim::SGD optimizer{net->parameters(), 0.01};
  std::unique_ptr<TrainingMonitor> monitor;
};

TEST_F(Failing, LearningRatesThatFailTenTimesInARowAreLeftOutAndTrainingGoesOn) {
  Unreadable unreadable(net->parameters());
  start(unreadable);
  for (int i = 0; i < 30; ++i) {
    backward_pass(net, optimizer);
    EXPECT_EQ(guard_step(), Verdict::proceed);
  }
  EXPECT_EQ(errors(Hook::optimizer), 10u);
  EXPECT_EQ(monitor->snapshot()->step.step, 30u);
  EXPECT_GT(*monitor->value("vigil_gradient_norm"), 0) << "the other hooks go on";
}

TEST_F(Failing, UnreadableGradientsCountOnceAStepAndLeaveNoNormOfTheRest) {
  start(optimizer);
  backward_pass(net, optimizer);
  make_unreadable(net->fc->weight);
  make_unreadable(net->conv->weight);
  EXPECT_EQ(guard_step(), Verdict::proceed);  // the first step is sampled
  EXPECT_EQ(errors(Hook::gradients), 1u);
  EXPECT_FALSE(monitor->value("vigil_gradient_norm").has_value());
  EXPECT_EQ(row_state(TensorKind::gradient, "fc.weight"), TensorRow::unreadable);
  EXPECT_EQ(row_state(TensorKind::gradient, "fc.bias"), TensorRow::present);
  EXPECT_EQ(row_state(TensorKind::parameter, "fc.weight"), TensorRow::present);

  EXPECT_EQ(guard_step(), Verdict::proceed);  // the second is only guarded
  EXPECT_EQ(errors(Hook::guard), 1u);
  EXPECT_FALSE(monitor->value("vigil_gradient_norm").has_value());

  std::int64_t elements = 0;
  for (const auto& parameter : net->parameters()) {
    make_readable(parameter);
    elements += parameter.numel();
  }
  guard_step();
  EXPECT_NEAR(*monitor->value("vigil_gradient_norm"), std::sqrt(static_cast<double>(elements)), 1e-9) << "all gradients are 1";
}

TEST_F(Failing, ANanBesideAnUnreadableGradientIsStillSeen) {
  start(optimizer);
  backward_pass(net, optimizer);
  make_unreadable(net->fc->weight);
  net->conv->bias.mutable_grad().fill_(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(guard_step(), Verdict::skip);
  EXPECT_EQ(monitor->nonfinite_origin()->parameter, "conv.bias");
}

TEST_F(Failing, AStepThatCouldNotBeLookedAtEndsNoStreak) {
  start(optimizer);
  backward_pass(net, optimizer);
  net->conv->bias.mutable_grad().fill_(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(guard_step(), Verdict::skip);
  make_unreadable(net->conv->bias);
  EXPECT_EQ(guard_step(), Verdict::proceed);
  make_readable(net->conv->bias);
  net->conv->bias.mutable_grad().fill_(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(guard_step(), Verdict::skip);
  EXPECT_EQ(monitor->nonfinite_origin()->step, 1u);
}

TEST_F(Failing, AGradientThatFailsTenTimesInARowIsLeftOutAndTheOthersStayGuarded) {
  start(optimizer);
  backward_pass(net, optimizer);
  guard_step();  // sampled
  make_unreadable(net->fc->weight);
  for (int i = 0; i < 12; ++i) guard_step();
  EXPECT_EQ(errors(Hook::guard), 10u);
  make_readable(net->fc->weight);
  guard_step();
  EXPECT_EQ(errors(Hook::guard), 10u);
  EXPECT_FALSE(monitor->snapshot()->step.has(StepRecord::has_gradient_norm)) << "the norm would be of a part";

  const auto set_bias = [&](double value) { net->conv->bias.mutable_grad().fill_(value); };
  set_bias(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(guard_step(), Verdict::skip);  // step 15
  EXPECT_EQ(monitor->nonfinite_origin()->step, 15u);
  set_bias(0);
  EXPECT_EQ(guard_step(), Verdict::proceed);
  set_bias(std::numeric_limits<double>::infinity());
  EXPECT_EQ(guard_step(), Verdict::skip);
  EXPECT_EQ(monitor->nonfinite_origin()->step, 17u) << "a new streak";
}

}  // namespace
}  // namespace vigil
