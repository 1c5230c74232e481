// The guard and the checkpoints together: a run that goes NaN is back at its last good state, and goes on.
#include <cmath>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "files.h"
#include "hooks/test_model.h"
#include "vigil/hooks/training_monitor.h"
#include "vigil/model/checkpointer.h"

namespace vigil {
namespace {

TEST(Rollback, RestoresModelAndOptimizerFromTheLastCheckpointAndTrainingGoesOn) {
  torch::manual_seed(2);
  const test::TemporaryFolder folder;
  torch::nn::Linear net(4, 2);
  torch::optim::Adam optimizer(net->parameters(), 1e-2);
  CheckpointOptions options;
  options.directory = folder.path() / "checkpoints";
  Checkpointer checkpoints(options);
  Config config = quiet_config();
  config.guard.on_nonfinite = OnNonfinite::rollback;
  TrainingMonitor monitor(config);
  monitor.set_rollback(checkpoints.restorer(*net, optimizer));
  monitor.watch(*net, optimizer);
  const torch::Tensor x = torch::randn({8, 4}), y = torch::randn({8, 2});
  const auto exp_avg = [&] {
    std::vector<torch::Tensor> states;
    for (const auto& [key, state] : optimizer.state())
      states.push_back(static_cast<torch::optim::AdamParamState&>(*state).exp_avg().clone());
    return states;
  };
  torch::Tensor good_weight;
  double good_momentum = 0;
  const auto momentum = [&] {
    double sum = 0;
    for (const torch::Tensor& state : exp_avg()) sum += state.abs().sum().item<double>();
    return sum;
  };
  std::vector<Verdict> verdicts;
  for (std::uint64_t step = 1; step <= 30; ++step) {
    const bool breaks = step == 13 || step == 21;
    const auto made = monitor.train_step(optimizer, [&] {
      const torch::Tensor h = net->forward(x);
      return torch::mse_loss(breaks ? torch::log(h * 0) : h, y);
    });
    if (made.verdict != Verdict::proceed) {
      EXPECT_TRUE(breaks);
      EXPECT_EQ(made.verdict, Verdict::skip);
      EXPECT_TRUE(torch::equal(net->weight, good_weight)) << step;
      EXPECT_EQ(momentum(), good_momentum) << step;
    } else if (step % 5 == 0) {
      ASSERT_TRUE(checkpoints.save(*net, optimizer, step).ok());
      good_weight = net->weight.detach().clone();
      good_momentum = momentum();
    }
  }
  EXPECT_EQ(monitor.snapshot()->step.totals.rollbacks, 2U);
  EXPECT_EQ(monitor.nonfinite_origin()->operation, "aten::log") << "named before it was rolled back";
  EXPECT_TRUE(net->weight.isfinite().all().item<bool>());
}

TEST(Rollback, WithoutACheckpointEndsTheRun) {
  const test::TemporaryFolder folder;
  torch::nn::Linear net(4, 2);
  torch::optim::Adam optimizer(net->parameters(), 1e-2);
  CheckpointOptions options;
  options.directory = folder.path() / "checkpoints";
  Checkpointer checkpoints(options);
  Config config = quiet_config();
  config.guard.on_nonfinite = OnNonfinite::rollback;
  TrainingMonitor monitor(config);
  monitor.set_rollback(checkpoints.restorer(*net, optimizer));
  monitor.watch(*net, optimizer);
  EXPECT_EQ(monitor.train_step(optimizer, [&] { return net->forward(torch::ones({1, 4})).mean() * std::nan(""); }).verdict, Verdict::stop);
}

}  // namespace
}  // namespace vigil
