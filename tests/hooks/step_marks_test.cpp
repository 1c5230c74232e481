// What a step's record tells of the time before it: phases and checkpoints.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "hooks/test_model.h"
#include "vigil/hooks/training_monitor.h"

namespace vigil {
namespace {

TEST(StepMarks, TheNextRecordTellsOfPhasesAndCheckpointsBeforeIt) {
  torch::nn::Linear net(4, 3);
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  const torch::Tensor x = torch::randn({6, 4}), y = torch::randn({6, 3});
  TrainingMonitor monitor{quiet_config()};
  monitor.watch(*net, optimizer);
  const auto train = [&] { monitor.train_step(optimizer, [&] { return torch::mse_loss(net->forward(x), y); }); };
  const auto record = [&] { return monitor.snapshot()->step; };
  train();
  EXPECT_EQ(record().phase_before(), 0U);
  EXPECT_FALSE(record().has(StepRecord::saved_checkpoint));
  monitor.phase("validation");
  monitor.phase("train");
  monitor.checkpoint_saved();
  train();
  EXPECT_EQ(record().phase_before(), 1U);
  EXPECT_TRUE(record().has(StepRecord::saved_checkpoint));
  train();
  EXPECT_EQ(record().phase_before(), 0U);
  EXPECT_FALSE(record().has(StepRecord::saved_checkpoint));
  // Behind the last step there is no next record: the last one comes again.
  monitor.phase("test");
  monitor.finish();
  EXPECT_EQ(record().step, 3U);
  EXPECT_TRUE(record().has(StepRecord::again));
  EXPECT_EQ(record().phase_before(), 2U);
}

}  // namespace
}  // namespace vigil
