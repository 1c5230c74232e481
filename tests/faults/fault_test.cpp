// Trainings that break, and trainings that do not: the origin that a replay names is the true one, and nothing is reported of the healthy.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "faults/fault_cases.h"
#include "faults/healthy_cases.h"
#include "hooks/test_model.h"
#include "vigil/hooks/training_monitor.h"

namespace vigil {
namespace {

std::string text_of(const NonfiniteOrigin& origin) {
  std::string text = origin.operation + (origin.forward_operation.empty() ? "" : " of " + origin.forward_operation);
  return text + (origin.layer.empty() ? "" : " in " + origin.layer);
}

std::string text_of(const Origin& expected) {
  NonfiniteOrigin origin;
  origin.operation = expected.operation;
  origin.forward_operation = expected.forward_operation;
  origin.layer = expected.layer;
  return text_of(origin);
}

// Tensors that a replay might change, as they are.
struct Copies {
  explicit Copies(const torch::nn::Module& model) {
    for (const auto& item : model.named_parameters()) {
      tensors.push_back(item.value().detach().clone());
      const torch::Tensor& gradient = item.value().grad();
      tensors.push_back(gradient.defined() ? gradient.clone() : torch::Tensor());
    }
    for (const auto& item : model.named_buffers()) tensors.push_back(item.value().detach().clone());
    tensors.push_back(at::detail::getDefaultCPUGenerator().get_state());
  }
  bool operator==(const Copies& other) const {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const torch::Tensor &a = tensors[i], &b = other.tensors[i];
      if (a.defined() != b.defined()) return false;
      // Bit for bit, NaN too.
      if (a.defined() && (a.nbytes() != b.nbytes() || std::memcmp(a.contiguous().data_ptr(), b.contiguous().data_ptr(), a.nbytes()) != 0)) {
        return false;
      }
    }
    return true;
  }
  std::vector<torch::Tensor> tensors;
};

Config config_of_faults() {
  Config config = quiet_config();
  config.guard.on_nonfinite = OnNonfinite::skip_step;
  return config;
}

struct Outcome {
  std::optional<NonfiniteOrigin> origin;
  Copies after;
};

// Two healthy steps, then the one that breaks.
Outcome run(const FaultCase& fault, bool replay) {
  torch::manual_seed(20);
  Training training = fault.make();
  torch::optim::SGD optimizer(training.model->parameters(), training.learning_rate);
  Config config = config_of_faults();
  config.guard.replay = replay;
  TrainingMonitor monitor(config);
  monitor.watch(*training.model, optimizer);
  for (int step = 0; step < 2; ++step) {
    if (monitor.train_step(optimizer, [&] { return training.loss(false); }).verdict != Verdict::proceed) break;
  }
  if (!monitor.nonfinite_origin()) {
    training.break_model();
    monitor.train_step(optimizer, [&] { return training.loss(true); });
  }
  return {monitor.nonfinite_origin(), Copies(*training.model)};
}

TEST(Faults, AreNamedExactly) {
  std::printf("\n| fault | where | named |\n|---|---|---|\n");
  int right = 0;
  const std::vector<FaultCase> cases = all_fault_cases();
  for (const FaultCase& fault : cases) {
    const auto origin = run(fault, true).origin;
    ASSERT_TRUE(origin) << fault.name << ": no non-finite step was seen";
    std::printf("| %s | %s | %s |\n", fault.name.c_str(), fault.place.c_str(), text_of(*origin).c_str());
    const bool is_right =
        origin->found_by == FoundBy::replay && text_of(*origin) == text_of(fault.origin) && origin->backward == fault.backward &&
        (fault.origin.tensor.empty() || fault.origin.operation.substr(0, 4) == "aten" || origin->parameter == fault.origin.tensor);
    EXPECT_TRUE(is_right) << fault.name << " (" << fault.place << ") is " << text_of(fault.origin) << ", not " << origin->message;
    right += is_right;
  }
  std::printf("\n%d of %zu faults named exactly\n\n", right, cases.size());
  EXPECT_GE(cases.size(), 40U);
}

TEST(Faults, AReplayChangesNothing) {
  for (const FaultCase& fault : all_fault_cases()) {
    const Outcome with = run(fault, true), without = run(fault, false);
    EXPECT_TRUE(with.after == without.after) << fault.name << " (" << fault.place << ")";
    EXPECT_EQ(without.origin->found_by, FoundBy::bracket);
  }
}

TEST(Healthy, RunsHaveNoReport) {
  std::printf("\n| training | steps | non-finite steps | reports |\n|---|---|---|---|\n");
  const std::vector<HealthyCase> cases = all_healthy_cases();
  for (const HealthyCase& healthy : cases) {
    torch::manual_seed(healthy.seed);
    const HealthyTraining training = healthy.make();
    Config config = config_of_faults();
    config.sampling.activations_every_steps = 10;
    TrainingMonitor monitor(config);
    monitor.watch(*training.model, *training.optimizer);
    for (int step = 0; step < healthy.steps; ++step) monitor.train_step(*training.optimizer, training.loss);
    const auto latest = monitor.snapshot();
    const bool reported = monitor.nonfinite_origin().has_value();
    std::printf("| %s, seed %llu | %d | %llu | %d |\n", healthy.name.c_str(), static_cast<unsigned long long>(healthy.seed), healthy.steps,
                static_cast<unsigned long long>(latest->step.totals.nonfinite_steps), reported ? 1 : 0);
    EXPECT_FALSE(reported) << healthy.name << ": " << monitor.nonfinite_origin()->message;
    EXPECT_EQ(latest->step.step, static_cast<std::uint64_t>(healthy.steps));
    for (const std::uint64_t errors : latest->step.totals.hook_errors) EXPECT_EQ(errors, 0U) << healthy.name;
  }
  std::printf("\n%zu healthy runs, no report\n\n", cases.size());
  EXPECT_GE(cases.size(), 20U);
}

TEST(Trace, NamesTheOperationWithoutAClosure) {
  torch::manual_seed(4);
  torch::nn::Sequential net(torch::nn::Linear(4, 4), torch::nn::Linear(4, 1));
  torch::optim::SGD optimizer(net->parameters(), 0.01);
  Config config = config_of_faults();
  config.guard.trace_next_steps = 2;
  TrainingMonitor monitor(config);
  monitor.watch(*net, optimizer);
  const torch::Tensor x = torch::randn({5, 4});
  const auto step = [&](bool broken) {
    optimizer.zero_grad();
    torch::Tensor h = net[0]->as<torch::nn::Linear>()->forward(x);
    if (broken) h = torch::sqrt(-h.abs() - 1);
    const torch::Tensor loss = net[1]->as<torch::nn::Linear>()->forward(h).mean();
    loss.backward();
    monitor.step(optimizer, loss);
  };
  step(false);
  EXPECT_FALSE(at::hasThreadLocalCallbacks());
  step(true);
  ASSERT_TRUE(monitor.nonfinite_origin());
  EXPECT_EQ(monitor.nonfinite_origin()->found_by, FoundBy::bracket);
  EXPECT_TRUE(at::hasThreadLocalCallbacks()) << "the next step is watched";
  step(true);
  EXPECT_FALSE(at::hasThreadLocalCallbacks());
  const auto origin = monitor.nonfinite_origin();
  EXPECT_EQ(origin->found_by, FoundBy::trace);
  EXPECT_EQ(origin->operation, "aten::sqrt");
  EXPECT_EQ(origin->layer, "0/sqrt");
  EXPECT_EQ(origin->step, 3U);
}

TEST(Replay, SaysSoWhenTheBatchIsFiniteTheSecondTime) {
  torch::nn::Linear net(3, 1);
  torch::optim::SGD optimizer(net->parameters(), 0.01);
  TrainingMonitor monitor(config_of_faults());
  monitor.watch(*net, optimizer);
  int calls = 0;
  monitor.train_step(optimizer, [&] { return net->forward(torch::ones({2, 3})).mean() * (++calls == 1 ? std::nan("") : 1.0); });
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(monitor.nonfinite_origin()->found_by, FoundBy::replay);
  EXPECT_EQ(monitor.nonfinite_origin()->operation, "");
  EXPECT_NE(monitor.nonfinite_origin()->message.find("finite values when it was run again"), std::string::npos);
}

TEST(Replay, IsOfTheFirstStepOfAStreakOnlyAndIgnoresTheClosuresOwnCalls) {
  torch::nn::Linear net(3, 1);
  torch::optim::SGD optimizer(net->parameters(), 0.01);
  TrainingMonitor monitor(config_of_faults());
  monitor.watch(*net, optimizer);
  int calls = 0;
  for (int step = 0; step < 3; ++step) {
    monitor.train_step(optimizer, [&] {
      monitor.log("calls", ++calls);
      return (net->forward(torch::ones({2, 3})) * 0).log().mean();
    });
  }
  EXPECT_EQ(calls, 4);
  EXPECT_EQ(monitor.nonfinite_origin()->operation, "aten::log");
}

TEST(Replay, GivesTheSameRandomNumbersAgain) {
  torch::nn::Linear net(3, 1);
  torch::optim::SGD optimizer(net->parameters(), 0.01);
  TrainingMonitor monitor(config_of_faults());
  monitor.watch(*net, optimizer);
  torch::randn({});  // leaves half of a pair of normal numbers in the generator
  std::vector<torch::Tensor> noise;
  monitor.train_step(optimizer, [&] {
    noise.push_back(torch::cat({torch::randn({5}), torch::rand({20}), torch::dropout(torch::ones({20}), 0.5, true)}));
    return net->forward(torch::ones({2, 3})).mean() * std::nan("");
  });
  ASSERT_EQ(noise.size(), 2U);
  EXPECT_TRUE(torch::equal(noise[0], noise[1]));
}

TEST(Replay, LeavesTheGeneratorWhereTheStepDidWhateverItDraws) {
  const auto after = [](bool replay) {
    torch::manual_seed(8);
    torch::nn::Linear net(3, 1);
    torch::optim::SGD optimizer(net->parameters(), 0.01);
    Config config = config_of_faults();
    config.guard.replay = replay;
    TrainingMonitor monitor(config);
    monitor.watch(*net, optimizer);
    int calls = 0;
    monitor.train_step(optimizer, [&] {
      torch::randn({++calls * 3});  // more of them the second time
      return net->forward(torch::ones({2, 3})).mean() * std::nan("");
    });
    EXPECT_EQ(calls, replay ? 2 : 1);
    return torch::randn({5});
  };
  EXPECT_TRUE(torch::equal(after(true), after(false)));
}

TEST(Replay, BuffersOfAnySizeAreWhatTheStepLeftThem) {
  struct NetImpl : torch::nn::Module {
    torch::Tensor forward(const torch::Tensor& x) {
      small.data_ptr<float>()[0] += 1;  // as a kernel does it: the version counter does not know
      large.add_(1);
      return fc->forward(x) * (small[0] + large[0]);
    }
    torch::nn::Linear fc = register_module("fc", torch::nn::Linear(3, 1));
    torch::Tensor small = register_buffer("small", torch::zeros({2}));
    torch::Tensor large = register_buffer("large", torch::zeros({100'000}));
  };
  NetImpl net;
  torch::optim::SGD optimizer(net.parameters(), 0.01);
  TrainingMonitor monitor(config_of_faults());
  monitor.watch(net, optimizer);
  std::vector<double> seen;
  for (int step = 1; step <= 4; ++step) {
    monitor.train_step(optimizer, [&] {
      const torch::Tensor loss = net.forward(torch::ones({2, 3})).mean() * (step == 3 ? std::nan("") : 1.0);
      seen.push_back(net.small[0].item<double>() + net.large[99'999].item<double>());
      return loss;
    });
  }
  EXPECT_EQ(seen, (std::vector<double>{2, 4, 6, 6, 8})) << "the third step twice from the same place";
  EXPECT_EQ(net.large[5].item<double>(), 4);
}

TEST(Replay, WhatItsClosureThrowsIsCountedAndTrainingGoesOn) {
  torch::nn::Linear net(3, 1);
  torch::optim::SGD optimizer(net->parameters(), 0.01);
  TrainingMonitor monitor(config_of_faults());
  monitor.watch(*net, optimizer);
  int calls = 0;
  const auto made = monitor.train_step(optimizer, [&] {
    if (++calls == 2) throw std::runtime_error("the loader is at its end");
    return net->forward(torch::ones({2, 3})).mean() * std::nan("");
  });
  EXPECT_EQ(made.verdict, Verdict::skip);
  EXPECT_TRUE(net->weight.grad().defined());
  EXPECT_EQ(monitor.snapshot()->step.totals.hook_errors[static_cast<std::size_t>(Hook::provenance)], 1U);
  EXPECT_EQ(monitor.nonfinite_origin()->found_by, FoundBy::bracket);
}

TEST(Bracket, NamesTheNearestFiniteParameterTowardsTheLoss) {
  torch::nn::Sequential net(torch::nn::Linear(3, 3), torch::nn::Linear(3, 3), torch::nn::Linear(3, 1));
  torch::optim::SGD optimizer(net->parameters(), 0.01);
  TrainingMonitor monitor(config_of_faults());
  monitor.watch(*net, optimizer);
  const torch::Tensor loss = net->forward(torch::ones({2, 3})).mean();
  loss.backward();
  net[1]->as<torch::nn::Linear>()->weight.mutable_grad().fill_(std::nan(""));
  net[0]->as<torch::nn::Linear>()->bias.mutable_grad().fill_(std::nan(""));
  monitor.step(optimizer, loss);
  const auto origin = monitor.nonfinite_origin();
  EXPECT_EQ(origin->parameter, "1.weight");
  EXPECT_EQ(origin->nearest_finite, "1.bias");
  EXPECT_EQ(origin->parameters, (std::vector<std::string>{"0.bias", "1.weight"}));
}

}  // namespace
}  // namespace vigil
