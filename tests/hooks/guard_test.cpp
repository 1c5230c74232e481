// The guard: what it says before the optimizer runs, what it counts, and whom it names.
#include <cfenv>
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "hooks/test_model.h"
#include "http/http_client.h"
#include "vigil/hooks/training_monitor.h"

namespace vigil {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

class Guard : public testing::Test {
 protected:
  void start(OnNonfinite policy, std::int64_t guard_every = 1, std::int64_t sample_every = 10) {
    Config config = quiet_config();
    config.guard.on_nonfinite = policy;
    config.guard.every_steps = guard_every;
    config.sampling.every_steps = sample_every;
    monitor = std::make_unique<TrainingMonitor>(config);
    monitor->watch(*net, optimizer);
  }

  // One step; `fault` may spoil the gradients after backward.
  Verdict step(const std::function<void()>& fault = {}) {
    const auto loss = backward_pass(net, optimizer);
    if (fault) fault();
    return monitor->step(optimizer, loss);
  }
  void spoil(torch::Tensor& parameter, double value) { parameter.mutable_grad().view({-1})[0] = value; }
  bool weights_are_finite() const {
    for (const auto& parameter : net->parameters()) {
      if (!parameter.isfinite().all().item<bool>()) return false;
    }
    return true;
  }
  double nonfinite_values(NonfiniteIn where) const {
    const auto counts = monitor->snapshot()->step.totals.nonfinite_values[static_cast<std::size_t>(where)];
    return static_cast<double>(counts.nan + counts.inf);
  }

  SmallNet net;
  torch::optim::SGD optimizer{net->parameters(), 0.01};
  std::unique_ptr<TrainingMonitor> monitor;
};

TEST_F(Guard, HealthyStepsProceedAndCountNothing) {
  start(OnNonfinite::stop);
  for (int i = 0; i < 30; ++i) ASSERT_EQ(step(), Verdict::proceed);
  const auto snapshot = monitor->snapshot();
  EXPECT_EQ(snapshot->step.totals.nonfinite_steps, 0u);
  EXPECT_EQ(snapshot->step.totals.samples, 4u);  // steps 1, 10, 20, 30
  EXPECT_FALSE(monitor->nonfinite_origin());
  for (const auto errors : snapshot->step.totals.hook_errors) EXPECT_EQ(errors, 0u);
}

TEST_F(Guard, SkipStepKeepsTheWeightsFiniteAndGoesOn) {
  start(OnNonfinite::skip_step);
  ASSERT_EQ(step(), Verdict::proceed);
  const auto before = net->conv->weight.detach().clone();
  EXPECT_EQ(step([&] { spoil(net->conv->weight, kNan); }), Verdict::skip);
  EXPECT_TRUE(torch::equal(before, net->conv->weight)) << "the optimizer must not have run";
  for (int i = 0; i < 10; ++i) EXPECT_EQ(step(), Verdict::proceed);
  EXPECT_TRUE(weights_are_finite());
  const auto totals = monitor->snapshot()->step.totals;
  EXPECT_EQ(totals.nonfinite_steps, 1u);
  EXPECT_EQ(totals.skipped_steps, 1u);
  EXPECT_EQ(nonfinite_values(NonfiniteIn::gradient), 1);
}

TEST_F(Guard, WarnLetsTheNanThroughAndTheParameterCountShowsIt) {
  start(OnNonfinite::warn, 1, 5);
  step();
  EXPECT_EQ(step([&] { spoil(net->conv->weight, kNan); }), Verdict::proceed);
  EXPECT_FALSE(weights_are_finite());
  EXPECT_EQ(nonfinite_values(NonfiniteIn::parameter), 0);
  for (int i = 0; i < 3; ++i) step();
  EXPECT_GT(nonfinite_values(NonfiniteIn::parameter), 0);
  EXPECT_EQ(monitor->nonfinite_origin()->step, 2u) << "the origin is the first step of the streak";
}

TEST_F(Guard, StopSaysStopAndTheRecordIsOutAtOnce) {
  start(OnNonfinite::stop);
  const auto loss = backward_pass(net, optimizer);
  spoil(net->fc->bias, kInf);
  EXPECT_EQ(monitor->after_backward(loss), Verdict::stop);
  EXPECT_EQ(monitor->snapshot()->step.totals.nonfinite_steps, 1u);
  monitor->after_step();
  EXPECT_EQ(monitor->snapshot()->step.totals.hook_errors[static_cast<std::size_t>(Hook::sequence)], 0u);
}

TEST_F(Guard, NamesTheParameterNearestToTheLoss) {
  start(OnNonfinite::skip_step);
  step();
  step([&] {
    spoil(net->conv->bias, kInf);
    spoil(net->norm->weight, kNan);
  });
  const auto origin = monitor->nonfinite_origin();
  ASSERT_TRUE(origin);
  EXPECT_EQ(origin->step, 2u);
  EXPECT_EQ(origin->layer, "norm");
  EXPECT_EQ(origin->parameter, "norm.weight");
  EXPECT_THAT(origin->parameters, ElementsAre("conv.bias", "norm.weight"));
  EXPECT_FALSE(origin->loss_nonfinite);
  EXPECT_THAT(origin->message, HasSubstr("step 2: the gradients of 2 of 6 parameters are not finite; nearest to the loss: norm.weight"));
}

TEST_F(Guard, ALaterStreakHasAnOriginOfItsOwn) {
  start(OnNonfinite::skip_step);
  step([&] { spoil(net->conv->bias, kNan); });
  step();
  step([&] { spoil(net->fc->weight, kNan); });
  step([&] { spoil(net->conv->bias, kNan); });
  EXPECT_EQ(monitor->nonfinite_origin()->step, 3u);
  EXPECT_EQ(monitor->nonfinite_origin()->parameter, "fc.weight");
}

TEST_F(Guard, TheFirstStepOfAStreakIsSampledWhateverTheInterval) {
  start(OnNonfinite::skip_step, 1, 1000);
  step();
  step();
  step([&] { spoil(net->conv->bias, kNan); });
  step([&] { spoil(net->conv->bias, kNan); });
  const auto snapshot = monitor->snapshot();
  EXPECT_EQ(snapshot->frame.step, 3u);
  EXPECT_EQ(snapshot->step.totals.samples, 2u);
  EXPECT_EQ(monitor->value("vigil_gradient_nan_values", "conv.bias"), 1.0);
  EXPECT_EQ(nonfinite_values(NonfiniteIn::gradient), 2) << "sampling a guarded step must not count twice";
}

TEST_F(Guard, NonFiniteLossIsGuardedOnEveryStep) {
  start(OnNonfinite::skip_step, 0, 1000);
  step();
  const auto loss = backward_pass(net, optimizer);
  EXPECT_EQ(monitor->after_backward(loss * kInf), Verdict::skip);
  monitor->after_step();
  EXPECT_EQ(monitor->after_backward(loss * kNan), Verdict::skip);
  monitor->after_step();
  const auto counts = monitor->snapshot()->step.totals.nonfinite_values[static_cast<std::size_t>(NonfiniteIn::loss)];
  EXPECT_EQ(counts.inf, 1u);
  EXPECT_EQ(counts.nan, 1u);
  EXPECT_TRUE(monitor->nonfinite_origin()->loss_nonfinite);
  EXPECT_EQ(monitor->nonfinite_origin()->parameter, "");
  EXPECT_TRUE(std::isnan(*monitor->value("vigil_loss"))) << "the evidence is shown, not filtered";
}

TEST_F(Guard, LooksOnlyAtItsStepsWhenToldSo) {
  start(OnNonfinite::skip_step, 3, 1000);
  step();
  EXPECT_EQ(step([&] { spoil(net->conv->bias, kNan); }), Verdict::proceed);
  EXPECT_EQ(step([&] { spoil(net->conv->bias, kNan); }), Verdict::skip);
}

TEST_F(Guard, GradientNormIsLibtorchs) {
  start(OnNonfinite::warn, 1, 2);
  for (int i = 0; i < 4; ++i) {
    const auto loss = backward_pass(net, optimizer);
    double squares = 0;
    for (const auto& parameter : net->parameters()) squares += std::pow(parameter.grad().to(torch::kDouble).norm().item<double>(), 2);
    monitor->step(optimizer, loss);
    EXPECT_NEAR(*monitor->value("vigil_gradient_norm"), std::sqrt(squares), 1e-6 * std::sqrt(squares));
  }
}

// Programs that hunt a NaN by themselves turn traps on; ours are no reason to end them, in no thread.
TEST_F(Guard, NonFiniteValuesDoNotTrapInAProgramThatTraps) {
  Config config = served_config();
  config.sampling.every_steps = 1;
  config.sampling.histogram = config.sampling.update_ratio = {"*"};
  monitor = std::make_unique<TrainingMonitor>(config);
  const auto loss = backward_pass(net, optimizer);
  spoil(net->conv->weight, kNan);
  spoil(net->fc->weight, kInf);
  const torch::Tensor nan_loss = torch::full({}, kNan);
  feenableexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
  monitor->watch(*net, optimizer);
  monitor->after_backward(nan_loss);
  monitor->after_step();
  net->fc->bias.detach().zero_();  // an update ratio of x / 0
  monitor->after_backward(nan_loss);
  monitor->after_step();
  monitor->snapshot();
  const int trapping = fegetexcept();
  fedisableexcept(FE_ALL_EXCEPT);
  feclearexcept(FE_ALL_EXCEPT);
  EXPECT_EQ(trapping, FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW) << "the caller's environment is the caller's";
  EXPECT_THAT(test::request(monitor->endpoint(), "/metrics").body, testing::ContainsRegex("vigil_loss[{].*[}] NaN"));
  EXPECT_EQ(nonfinite_values(NonfiniteIn::gradient), 4);
}

TEST_F(Guard, GradientNormOfANonFiniteStepIsNotFinite) {
  start(OnNonfinite::warn);
  step([&] { spoil(net->conv->bias, kInf); });
  EXPECT_EQ(*monitor->value("vigil_gradient_norm"), kInf);
  step([&] {
    spoil(net->conv->bias, kInf);
    spoil(net->fc->bias, kNan);
  });
  EXPECT_TRUE(std::isnan(*monitor->value("vigil_gradient_norm")));
}

TEST_F(Guard, TensorsLeftOutOfTheSamplesAreInNormsAndCountsAllTheSame) {
  Config config = quiet_config();
  config.sampling.include = {"fc.*"};
  monitor = std::make_unique<TrainingMonitor>(config);
  monitor->watch(*net, optimizer);
  double squares = 0;
  for (const auto& parameter : net->parameters()) squares += parameter.detach().to(torch::kDouble).square().sum().item<double>();
  step();
  EXPECT_NEAR(*monitor->value("vigil_parameter_norm"), std::sqrt(squares), 1e-6 * std::sqrt(squares));
  EXPECT_FALSE(monitor->value("vigil_parameter_mean", "conv.weight").has_value());
  for (int i = 2; i < 10; ++i) step();
  step([&] {  // the tenth is sampled
    const torch::NoGradGuard no_grad;
    net->conv->weight.view({-1})[0] = kNan;
    net->norm->running_mean[0] = kInf;
  });
  EXPECT_EQ(nonfinite_values(NonfiniteIn::parameter), 2);
  EXPECT_TRUE(std::isnan(*monitor->value("vigil_parameter_norm")));
}

TEST_F(Guard, ParametersWithoutAGradientAndFrozenOnesAreNoError) {
  net->fc->weight.set_requires_grad(false);
  start(OnNonfinite::stop, 1, 1);
  EXPECT_EQ(step(), Verdict::proceed);
  EXPECT_FALSE(monitor->value("vigil_gradient_l2_norm", "fc.weight"));
  EXPECT_TRUE(monitor->value("vigil_gradient_l2_norm", "fc.bias"));
  EXPECT_TRUE(monitor->value("vigil_parameter_l2_norm", "fc.weight"));
  optimizer.zero_grad();
  for (auto& parameter : net->parameters()) parameter.mutable_grad() = torch::Tensor();
  EXPECT_EQ(monitor->after_backward(torch::tensor(1.0f)), Verdict::proceed);
  monitor->after_step();
  EXPECT_EQ(*monitor->value("vigil_gradient_norm"), 0);
  EXPECT_FALSE(monitor->value("vigil_gradient_l2_norm", "fc.bias"));
}

TEST(GuardOfSparseGradients, FindsWhatAnEmbeddingProduces) {
  torch::nn::Embedding embedding(torch::nn::EmbeddingOptions(10, 4).sparse(true));
  torch::optim::SGD optimizer(embedding->parameters(), 0.1);
  Config config = quiet_config();
  config.sampling.every_steps = 1;
  config.guard.on_nonfinite = OnNonfinite::skip_step;
  TrainingMonitor monitor(config);
  monitor.watch(*embedding, optimizer);
  for (const double scale : {1.0, kNan}) {
    optimizer.zero_grad();
    const auto loss = (embedding->forward(torch::tensor({1, 1, 3}, torch::kLong)) * scale).sum();
    loss.backward();
    ASSERT_TRUE(embedding->weight.grad().is_sparse());
    const Verdict verdict = monitor.after_backward(torch::tensor(1.0f));
    monitor.after_step();
    if (scale == 1.0) {
      EXPECT_EQ(verdict, Verdict::proceed);
      // Row 1 twice: 2 in four places; row 3 once: 1 in four places.
      EXPECT_DOUBLE_EQ(*monitor.value("vigil_gradient_norm"), std::sqrt(4 * 4 + 4 * 1.0));
      EXPECT_DOUBLE_EQ(*monitor.value("vigil_gradient_zero_ratio", "weight"), 32.0 / 40);
    } else {
      EXPECT_EQ(verdict, Verdict::skip);
      EXPECT_EQ(monitor.nonfinite_origin()->parameter, "weight");
    }
  }
}

}  // namespace
}  // namespace vigil
