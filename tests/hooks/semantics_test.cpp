// What the loop's calls mean, beyond a step of one model: accumulation, parts, phases, closures, late parameters.
#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include <ATen/record_function.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "hooks/test_model.h"
#include "vigil/hooks/training_monitor.h"

namespace vigil {
namespace {

namespace nn = torch::nn;
using torch::Tensor;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

class Semantics : public testing::Test {
 protected:
  Semantics() { torch::manual_seed(3); }
  void watch() { monitor.watch(*net, optimizer); }
  StepRecord record() const { return monitor.snapshot()->step; }
  TensorRow gradient_row(const std::string& name) const {
    const auto latest = monitor.snapshot();
    for (std::size_t i = 0; i < latest->schema->rows.size(); ++i) {
      if (latest->schema->rows[i].kind == TensorKind::gradient && latest->schema->rows[i].name == name) return latest->rows[i];
    }
    ADD_FAILURE() << "no gradient row of " << name;
    return {};
  }
  double hook_errors(Hook hook) const { return static_cast<double>(record().totals.hook_errors[static_cast<std::size_t>(hook)]); }

  nn::Linear net{4, 3};
  torch::optim::SGD optimizer{net->parameters(), 0.1};
  TrainingMonitor monitor{quiet_config()};
  const Tensor x = torch::randn({6, 4}), y = torch::randn({6, 3});
};

TEST_F(Semantics, TrainStepIsTheWholeStep) {
  nn::Linear twin(4, 3);
  torch::optim::SGD twins_optimizer(twin->parameters(), 0.1);
  {
    const torch::NoGradGuard no_grad;
    twin->weight.copy_(net->weight);
    twin->bias.copy_(net->bias);
  }
  watch();
  for (int step = 1; step <= 5; ++step) {
    const auto made = monitor.train_step(optimizer, [&] { return torch::mse_loss(net->forward(x), y); });
    twins_optimizer.zero_grad();
    const Tensor loss = torch::mse_loss(twin->forward(x), y);
    loss.backward();
    twins_optimizer.step();
    EXPECT_EQ(made.verdict, Verdict::proceed);
    EXPECT_TRUE(torch::equal(made.loss, loss));
    EXPECT_TRUE(torch::equal(net->weight, twin->weight));
    EXPECT_EQ(record().step, static_cast<std::uint64_t>(step));
    EXPECT_EQ(record().loss, loss.item<double>());
  }
  EXPECT_TRUE(record().has(StepRecord::has_data_time));
  EXPECT_GE(record().total_ns, record().data_ns + record().forward_backward_ns + record().optimizer_ns);
  EXPECT_GT(record().vigil_ns, 0U);
  EXPECT_LT(record().vigil_ns, record().total_ns);
}

TEST_F(Semantics, WhatTheClosureThrowsPassesAndMakesNoStep) {
  watch();
  monitor.train_step(optimizer, [&] { return torch::mse_loss(net->forward(x), y); });
  EXPECT_THROW(monitor.train_step(optimizer, []() -> Tensor { throw std::runtime_error("no data"); }), std::runtime_error);
  EXPECT_EQ(record().step, 1U);
  monitor.train_step(optimizer, [&] { return torch::mse_loss(net->forward(x), y); });
  EXPECT_EQ(record().step, 2U);
  EXPECT_EQ(hook_errors(Hook::sequence), 0);
}

TEST_F(Semantics, DataTimeIsWhatPassesBeforeTheStepBegins) {
  watch();
  for (int step = 0; step < 2; ++step) {
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(20)) continue;  // a loader
    monitor.begin_step();
    optimizer.zero_grad();
    const Tensor loss = torch::mse_loss(net->forward(x), y);
    loss.backward();
    monitor.step(optimizer, loss);
  }
  EXPECT_TRUE(record().has(StepRecord::has_data_time));
  EXPECT_GE(record().data_ns, 20'000'000U);
  EXPECT_GE(record().total_ns, record().data_ns + record().forward_backward_ns);
}

TEST_F(Semantics, MicroBatchesAreOneStepWithTheMeanOfTheirLosses) {
  watch();
  std::vector<double> losses;
  optimizer.zero_grad();
  for (int i = 0; i < 3; ++i) {
    const Tensor loss = torch::mse_loss(net->forward(x.slice(0, 2 * i, 2 * i + 2)), y.slice(0, 2 * i, 2 * i + 2));
    losses.push_back(loss.item<double>());
    (loss / 3).backward();
    if (i < 2) {
      monitor.micro_batch(loss);
    } else {
      monitor.step(optimizer, loss);
    }
  }
  EXPECT_EQ(record().step, 1U);
  EXPECT_DOUBLE_EQ(record().loss, (losses[0] + losses[1] + losses[2]) / 3);
  EXPECT_EQ(record().totals.micro_batches, 2U);
  EXPECT_EQ(record().examples, 6U) << "three batches of two";
  // The same gradient as the whole batch at once.
  net->zero_grad();
  const double norm = record().gradient_norm;
  EXPECT_GT(norm, 0);
}

TEST_F(Semantics, ANonFiniteMicroBatchMakesTheStepSoAndIsNamed) {
  watch();
  monitor.micro_batch(torch::tensor(1.0));
  monitor.micro_batch(torch::tensor(kNaN));
  const Tensor loss = torch::mse_loss(net->forward(x), y);
  loss.backward();
  monitor.step(optimizer, loss);
  EXPECT_TRUE(record().has(StepRecord::nonfinite));
  ASSERT_TRUE(monitor.nonfinite_origin());
  EXPECT_THAT(monitor.nonfinite_origin()->message, testing::HasSubstr("the loss of micro-batch 2 is not finite"));
}

TEST_F(Semantics, GradientsSetToNoneAreAbsentAndZeroedOnesAreZero) {
  watch();
  const Tensor loss = torch::mse_loss(net->forward(x), y);
  loss.backward();
  monitor.step(optimizer, loss);
  ASSERT_EQ(gradient_row("weight").state, TensorRow::present);
  nn::Linear second(4, 3);
  for (const bool to_none : {true, false}) {
    TrainingMonitor other(quiet_config());
    torch::optim::SGD others(second->parameters(), 0.1);
    other.watch(*second, others);
    torch::mse_loss(second->forward(x), y).backward();
    for (Tensor& parameter : second->parameters()) {
      if (to_none) {
        parameter.mutable_grad() = Tensor();
      } else {
        parameter.mutable_grad().zero_();
      }
    }
    other.step(others, loss.detach());
    const auto latest = other.snapshot();
    for (std::size_t i = 0; i < latest->schema->rows.size(); ++i) {
      if (latest->schema->rows[i].kind != TensorKind::gradient) continue;
      EXPECT_EQ(latest->rows[i].state, to_none ? TensorRow::absent : TensorRow::present);
      EXPECT_EQ(latest->rows[i].moments.zero_count, latest->rows[i].moments.count);
    }
  }
}

class Gan : public testing::Test {
 protected:
  Gan() {
    torch::manual_seed(5);
    Config config = quiet_config();
    config.sampling.every_steps = 1;
    config.guard.on_nonfinite = OnNonfinite::skip_step;
    monitor = std::make_unique<TrainingMonitor>(config);
    monitor->watch({WatchedPart("generator", *generator, generators), WatchedPart("critic", *critic, critics)});
  }
  Tensor critic_loss() {
    return critic->forward(torch::randn({8, 3})).mean() - critic->forward(generator->forward(torch::randn({8, 2})).detach()).mean();
  }
  Tensor generator_loss() { return critic->forward(generator->forward(torch::randn({8, 2}))).mean().neg(); }
  std::uint64_t gradient_state(const std::string& name) {
    const auto latest = monitor->snapshot();
    for (std::size_t i = 0; i < latest->schema->rows.size(); ++i) {
      if (latest->schema->rows[i].kind == TensorKind::gradient && latest->schema->rows[i].name == name) return latest->rows[i].state;
    }
    return TensorRow::unreadable;
  }

  nn::Sequential generator{nn::Linear(2, 6), nn::Tanh(), nn::Linear(6, 3)}, critic{nn::Linear(3, 6), nn::Tanh(), nn::Linear(6, 1)};
  torch::optim::Adam generators{generator->parameters(), 1e-3};
  torch::optim::RMSprop critics{critic->parameters(), 1e-3};
  std::unique_ptr<TrainingMonitor> monitor;
};

TEST_F(Gan, IsOneStepOfTwoTurns) {
  for (int i = 1; i <= 3; ++i) {
    const auto of_critic = monitor->train_step(critics, [&] { return critic_loss(); });
    const auto of_generator = monitor->train_step(generators, [&] { return generator_loss(); });
    const auto latest = monitor->snapshot();
    EXPECT_EQ(latest->step.step, static_cast<std::uint64_t>(i));
    EXPECT_EQ(latest->step.loss, of_generator.loss.item<double>());
    ASSERT_EQ(latest->user_scalars.size(), 1U);
    EXPECT_EQ(latest->user_scalars[0].first, "critic/loss");
    EXPECT_EQ(latest->user_scalars[0].second, of_critic.loss.item<double>());
  }
  const auto latest = monitor->snapshot();
  EXPECT_EQ(latest->learning_rates, (std::vector<double>{1e-3, 1e-3}));
  EXPECT_EQ(latest->schema->groups, (std::vector<std::string>{"generator/0", "critic/0"}));
  EXPECT_EQ(latest->step.totals.hook_errors[static_cast<std::size_t>(Hook::sequence)], 0U);
}

TEST_F(Gan, APartWithoutATurnHasNoGradientsInTheSample) {
  // The critic twice, then the generator: the first of its turns is a step of its own.
  monitor->train_step(critics, [&] { return critic_loss(); });
  monitor->train_step(critics, [&] { return critic_loss(); });
  EXPECT_EQ(monitor->snapshot()->step.step, 1U);
  EXPECT_EQ(gradient_state("critic.0.weight"), TensorRow::present);
  EXPECT_EQ(gradient_state("generator.0.weight"), TensorRow::absent);
  monitor->train_step(generators, [&] { return generator_loss(); });
  EXPECT_EQ(monitor->snapshot()->step.step, 2U);
  EXPECT_EQ(gradient_state("generator.0.weight"), TensorRow::present);
  EXPECT_EQ(monitor->snapshot()->step.totals.hook_errors[static_cast<std::size_t>(Hook::sequence)], 0U);
}

TEST_F(Gan, GradientsOfAnEarlierStepAreNotThoseOfThisOne) {
  monitor->train_step(critics, [&] { return critic_loss(); });
  monitor->train_step(generators, [&] { return generator_loss(); });
  ASSERT_EQ(gradient_state("generator.0.weight"), TensorRow::present);
  monitor->train_step(critics, [&] { return critic_loss(); });
  monitor->train_step(critics, [&] { return critic_loss(); });  // ends the step of the one before
  EXPECT_EQ(monitor->snapshot()->frame.step, 2U);
  EXPECT_EQ(gradient_state("generator.0.weight"), TensorRow::absent);
  EXPECT_EQ(gradient_state("critic.0.weight"), TensorRow::present);
}

TEST_F(Gan, TheVerdictIsOfThePartWhoseTurnItIs) {
  const auto bad = monitor->train_step(critics, [&] { return critic_loss() * std::numeric_limits<float>::quiet_NaN(); });
  const auto good = monitor->train_step(generators, [&] { return generator_loss(); });
  EXPECT_EQ(bad.verdict, Verdict::skip);
  EXPECT_EQ(good.verdict, Verdict::proceed);
  EXPECT_EQ(monitor->snapshot()->step.totals.nonfinite_steps, 1U);
  EXPECT_EQ(monitor->nonfinite_origin()->step, 1U);
  EXPECT_THAT(monitor->nonfinite_origin()->parameter, testing::StartsWith("critic."));
  EXPECT_TRUE(critic->parameters()[0].isfinite().all().item<bool>());
}

TEST_F(Gan, PartsNeedNamesAndOptimizersOfTheirOwn) {
  TrainingMonitor other(quiet_config());
  EXPECT_THROW(other.watch(std::vector<WatchedPart>{}), std::invalid_argument);
  EXPECT_THROW(other.watch({WatchedPart("", *generator, generators)}), std::invalid_argument);
  EXPECT_THROW(other.watch({WatchedPart("a", *generator, generators), WatchedPart("a", *critic, critics)}), std::invalid_argument);
  EXPECT_THROW(other.watch({WatchedPart("a", *generator, generators), WatchedPart("b", *critic, generators)}), std::invalid_argument);
  EXPECT_NO_THROW(other.watch({WatchedPart("a", *generator, generators), WatchedPart("b", *critic, critics)}));
}

TEST_F(Semantics, ParametersThatComeLaterAreGuardedAndNamedByTheirGroup) {
  Config config = quiet_config();
  config.guard.on_nonfinite = OnNonfinite::skip_step;
  TrainingMonitor guarded(config);
  guarded.watch(*net, optimizer);
  guarded.train_step(optimizer, [&] { return torch::mse_loss(net->forward(x), y); });
  nn::Linear late(3, 3);
  optimizer.add_param_group(torch::optim::OptimizerParamGroup(late->parameters()));
  const auto healthy = guarded.train_step(optimizer, [&] { return torch::mse_loss(late->forward(net->forward(x)), y); });
  EXPECT_EQ(healthy.verdict, Verdict::proceed);
  double squares = 0;
  for (const Tensor& parameter : net->parameters()) squares += parameter.grad().to(torch::kDouble).pow(2).sum().item<double>();
  for (const Tensor& parameter : late->parameters()) squares += parameter.grad().to(torch::kDouble).pow(2).sum().item<double>();
  EXPECT_NEAR(guarded.snapshot()->step.gradient_norm, std::sqrt(squares), 1e-6 * std::sqrt(squares));
  const Tensor loss = torch::mse_loss(late->forward(net->forward(x)), y);
  optimizer.zero_grad();
  loss.backward();
  late->bias.mutable_grad().fill_(kNaN);
  EXPECT_EQ(guarded.step(optimizer, loss), Verdict::skip);
  EXPECT_EQ(guarded.nonfinite_origin()->parameters, (std::vector<std::string>{"group 1 parameter 1"}));
}

TEST_F(Semantics, APhaseKeepsItsScalarsAndItsTimeApart) {
  watch();
  const auto start = std::chrono::steady_clock::now();
  monitor.train_step(optimizer, [&] { return torch::mse_loss(net->forward(x), y); });
  monitor.phase("validation");
  {
    const torch::NoGradGuard no_grad;
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(50)) net->forward(x);
    monitor.log("loss", 0.25);
    monitor.log("validation/accuracy", 0.5);
  }
  monitor.phase("train");
  monitor.log("loss_scale", 8);
  monitor.train_step(optimizer, [&] { return torch::mse_loss(net->forward(x), y); });
  EXPECT_EQ(record().step, 2U);
  const auto elapsed = static_cast<std::uint64_t>(std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count());
  EXPECT_LE(record().total_ns + 50'000'000U, elapsed) << "the phase is in no step";
  const auto latest = monitor.snapshot();
  std::vector<std::string> names;
  for (const auto& [name, value] : latest->user_scalars) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"validation/loss", "validation/accuracy", "loss_scale"}));
  EXPECT_EQ(record().totals.hook_errors[static_cast<std::size_t>(Hook::sequence)], 0U);
}

TEST_F(Semantics, NoGradientIsGuardedInAPhase) {
  watch();
  monitor.phase("test");
  EXPECT_EQ(monitor.after_backward(torch::tensor(kNaN)), Verdict::proceed);
  monitor.phase("train");
  monitor.train_step(optimizer, [&] { return torch::mse_loss(net->forward(x), y); });
  EXPECT_EQ(record().totals.nonfinite_steps, 0U);
  EXPECT_EQ(hook_errors(Hook::sequence), 1);
}

TEST_F(Semantics, LbfgsConvergesAsWithoutAMonitor) {
  const auto rosenbrock = [](const Tensor& p) { return (1 - p[0]).pow(2) + 100 * (p[1] - p[0].pow(2)).pow(2); };
  struct Point : nn::Module {
    Tensor p = register_parameter("p", torch::tensor({-1.2, 1.0}, torch::kDouble));
  };
  Point watched, plain;
  torch::optim::LBFGS with(watched.parameters(), torch::optim::LBFGSOptions(0.5).max_iter(10));
  torch::optim::LBFGS without(plain.parameters(), torch::optim::LBFGSOptions(0.5).max_iter(10));
  monitor.watch(watched, with);
  for (int i = 0; i < 20; ++i) {
    monitor.train_step(with, [&] { return rosenbrock(watched.p); });
    without.step([&] {
      without.zero_grad();
      Tensor loss = rosenbrock(plain.p);
      loss.backward();
      return loss;
    });
  }
  EXPECT_TRUE(torch::equal(watched.p, plain.p));
  EXPECT_LT(rosenbrock(watched.p).item<double>(), 1e-8);
  EXPECT_EQ(record().step, 20U);
}

TEST_F(Semantics, DoubleBackwardIsTheSameBitForBit) {
  const auto train = [&](bool watched) {
    torch::manual_seed(11);
    nn::Sequential critic(nn::Linear(3, 8), nn::Tanh(), nn::Linear(8, 1));
    torch::optim::Adam adam(critic->parameters(), 1e-2);
    TrainingMonitor wgan(quiet_config());
    if (watched) wgan.watch(*critic, adam);
    for (int i = 0; i < 12; ++i) {
      adam.zero_grad();
      const Tensor real = torch::randn({5, 3}).requires_grad_(true);
      const Tensor score = critic->forward(real).mean();
      const auto gradient = torch::autograd::grad({score}, {real}, {}, true, true);
      const Tensor loss = score + 10 * (gradient[0].norm(2, 1) - 1).pow(2).mean();
      loss.backward({}, true, true);  // gradients that have a graph themselves
      wgan.step(adam, loss);
    }
    return torch::nn::utils::parameters_to_vector(critic->parameters()).detach();
  };
  EXPECT_TRUE(torch::equal(train(true), train(false)));
}

TEST_F(Semantics, ExamplesAreWhatTheProgramSaysOrWhatTheFirstLayerGets) {
  watch();
  monitor.train_step(optimizer, [&] { return torch::mse_loss(net->forward(x), y); });
  EXPECT_EQ(record().examples, 6U);
  monitor.train_step(optimizer, [&] { return torch::mse_loss(net->forward(x), y); });
  EXPECT_EQ(record().totals.examples, 12U);
  monitor.examples(100);
  monitor.train_step(optimizer, [&] { return torch::mse_loss(net->forward(x), y); });
  EXPECT_EQ(record().totals.examples, 112U);
  // Forward and the weights' gradient: 6 x 4 x 3 each. The input needs none.
  EXPECT_EQ(record().multiply_accumulates, 2U * 6 * 4 * 3);
}

TEST_F(Semantics, NothingIsRegisteredWithLibtorchButOnObservedSteps) {
  Config config = quiet_config();
  config.sampling.activations_every_steps = 10;
  TrainingMonitor observing(config);
  observing.watch(*net, optimizer);
  std::vector<int> observed;
  for (int step = 1; step <= 30; ++step) {
    observing.train_step(optimizer, [&] {
      if (at::hasThreadLocalCallbacks() || at::hasGlobalCallbacks()) observed.push_back(step);
      return torch::mse_loss(net->forward(x), y);
    });
  }
  EXPECT_EQ(observed, (std::vector<int>{1, 10, 20, 30}));
}

TEST_F(Semantics, ActivationsOfAnEvaluationAreKeptApart) {
  watch();
  monitor.train_step(optimizer, [&] { return torch::mse_loss(net->forward(x), y); });
  const Tensor of_training = net->forward(x);
  monitor.phase("validation");
  {
    const torch::NoGradGuard no_grad;
    net->forward(x * 100);
    net->forward(x);  // the second batch
  }
  EXPECT_FALSE(at::hasThreadLocalCallbacks());
  monitor.phase("train");
  for (int step = 2; step <= 10; ++step) monitor.train_step(optimizer, [&] { return torch::mse_loss(net->forward(x), y); });
  const auto latest = monitor.snapshot();
  ASSERT_EQ(latest->layers->size(), latest->activations.size());
  std::vector<std::string> phases;
  double largest = 0, largest_in_validation = 0;
  for (std::size_t i = 0; i < latest->activations.size(); ++i) {
    const LayerLabel& label = (*latest->layers)[i];
    if (label.layer.find("mse_loss") != std::string::npos) continue;
    phases.push_back(label.phase);
    (label.phase == "train" ? largest : largest_in_validation) = latest->activations[i].moments.max;
  }
  EXPECT_EQ(phases, (std::vector<std::string>{"train", "validation"}));
  EXPECT_GT(largest_in_validation, 10 * largest);
}

TEST_F(Semantics, ClipRatioIsWhatLibtorchMultipliesBy) {
  watch();
  monitor.clip_norm(0.01);
  optimizer.zero_grad();
  const Tensor loss = torch::mse_loss(net->forward(x), y);
  loss.backward();
  monitor.after_backward(loss);
  const Tensor before = net->weight.grad().clone();
  torch::nn::utils::clip_grad_norm_(net->parameters(), 0.01);
  monitor.after_step();
  const double ratio = (net->weight.grad()[0][0] / before[0][0]).item<double>();
  EXPECT_NEAR(record().clip_ratio, ratio, 1e-5 * ratio);
}

TEST_F(Semantics, RollbackRestoresAndGoesOnUntilItsLimit) {
  Config config = quiet_config();
  config.guard.on_nonfinite = OnNonfinite::rollback;
  config.guard.max_rollbacks = 2;
  TrainingMonitor guarded(config);
  int calls = 0;
  const Tensor good = net->weight.detach().clone();
  guarded.set_rollback([&]() -> std::uint64_t {
    ++calls;
    const torch::NoGradGuard no_grad;
    net->weight.copy_(good);
    return 7;
  });
  guarded.watch(*net, optimizer);
  const auto broken = [&] { return torch::mse_loss(net->forward(x), y) * kNaN; };
  guarded.train_step(optimizer, [&] { return torch::mse_loss(net->forward(x), y); });
  EXPECT_FALSE(torch::equal(net->weight, good));
  EXPECT_EQ(guarded.train_step(optimizer, broken).verdict, Verdict::skip);
  EXPECT_TRUE(torch::equal(net->weight, good));
  EXPECT_EQ(guarded.train_step(optimizer, broken).verdict, Verdict::skip);
  EXPECT_EQ(guarded.train_step(optimizer, broken).verdict, Verdict::stop);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(guarded.snapshot()->step.totals.rollbacks, 2U);
}

TEST_F(Semantics, NoUpdateIsMeasuredAcrossARollback) {
  Config config = quiet_config();
  config.sampling.every_steps = 1;
  config.sampling.update_ratio = {"*"};
  config.guard.on_nonfinite = OnNonfinite::rollback;
  TrainingMonitor guarded(config);
  guarded.set_rollback([&]() -> std::uint64_t {
    const torch::NoGradGuard no_grad;
    net->weight.fill_(100);
    return 1;
  });
  guarded.watch(*net, optimizer);
  const auto update = [&] { return guarded.snapshot()->rows[0].update_norm; };
  const auto healthy = [&] { return torch::mse_loss(net->forward(x), y); };
  for (int step = 0; step < 2; ++step) guarded.train_step(optimizer, healthy);
  EXPECT_GT(update(), 0);
  guarded.train_step(optimizer, [&] { return healthy() * kNaN; });
  guarded.train_step(optimizer, healthy);
  EXPECT_TRUE(std::isnan(update())) << "the weights of the checkpoint are no update";
  guarded.train_step(optimizer, healthy);
  EXPECT_GT(update(), 0);
}

TEST_F(Semantics, RollbackWithoutAnythingToRestoreStops) {
  Config config = quiet_config();
  config.guard.on_nonfinite = OnNonfinite::rollback;
  for (const bool throws : {false, true}) {
    TrainingMonitor guarded(config);
    guarded.set_rollback([throws]() -> std::uint64_t {
      if (throws) throw std::runtime_error("disk is gone");
      return 0;
    });
    guarded.watch(*net, optimizer);
    EXPECT_EQ(guarded.after_backward(torch::tensor(kNaN)), Verdict::stop);
    EXPECT_EQ(guarded.snapshot()->step.totals.rollbacks, 0U);
  }
}

TEST_F(Semantics, SoManyNonFiniteStepsInARowStopWhateverThePolicy) {
  Config config = quiet_config();
  config.guard.stop_after_steps = 3;
  TrainingMonitor guarded(config);
  guarded.watch(*net, optimizer);
  std::vector<Verdict> verdicts;
  for (const double loss : {kNaN, kNaN, 1.0, kNaN, kNaN, kNaN}) {
    optimizer.zero_grad();
    verdicts.push_back(guarded.step(optimizer, torch::tensor(loss)));
  }
  EXPECT_EQ(verdicts, (std::vector<Verdict>{Verdict::proceed, Verdict::proceed, Verdict::proceed, Verdict::proceed, Verdict::proceed,
                                            Verdict::stop}));
}

}  // namespace
}  // namespace vigil
