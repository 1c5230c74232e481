// Schedules of pruning against their formulas, and what they do to weights.
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "model/pruning_net.h"
#include "vigil/model/pruning.h"
#include "vigil/model/pruning_schedule.h"

namespace vigil {
namespace {

using test::message_of;
using test::SmallNet;
using test::zeros_in;

TEST(PruningSchedule, FollowsTheFormulas) {
  const auto schedule_of = [](PruningSchedule::Shape shape) {
    PruningSchedule schedule;
    schedule.shape = shape;
    schedule.initial_sparsity = 0.1;
    schedule.final_sparsity = 0.9;
    schedule.begin = 100;
    schedule.end = 500;
    schedule.interval = 50;
    return schedule;
  };
  using Shape = PruningSchedule::Shape;
  for (std::uint64_t step = 0; step < 600; ++step) {
    const double k = step < 100 ? 0 : std::min<double>(8, static_cast<double>((step - 100) / 50));
    const auto expect = [&](Shape shape, double expected) {
      EXPECT_NEAR(schedule_of(shape).target(step), step < 100 ? 0 : expected, 1e-12) << step << " " << static_cast<int>(shape);
    };
    expect(Shape::one_shot, 0.9);
    expect(Shape::linear, 0.1 + 0.8 * k / 8);
    expect(Shape::cubic, 0.9 + (0.1 - 0.9) * std::pow(1 - k * 50 / (8 * 50), 3));
    expect(Shape::exponential, 1 - std::exp(std::log(0.9) * (1 - k / 8) + std::log(0.1) * k / 8));
  }
  // An end that is no multiple of the interval is a pruning of its own.
  PruningSchedule uneven = schedule_of(Shape::linear);
  uneven.end = 120;
  EXPECT_EQ(uneven.target(119), 0.1);
  EXPECT_EQ(uneven.target(120), 0.9);
  uneven.end = uneven.begin;
  EXPECT_EQ(uneven.target(100), 0.9);
}

TEST(PruningSchedule, SaysWhatIsWrongWithIt) {
  const auto message = [](auto change) {
    PruningSchedule schedule;
    change(schedule);
    return message_of<std::invalid_argument>([&] { require_valid(schedule); });
  };
  EXPECT_EQ(message([](auto& s) { s.final_sparsity = 1.1; }), "the final sparsity of a schedule is from 0 to 1");
  EXPECT_EQ(message([](auto& s) { s.final_sparsity = std::nan(""); }), "the final sparsity of a schedule is from 0 to 1");
  EXPECT_EQ(message([](auto& s) { s.initial_sparsity = 0.9; }), "the initial sparsity of a schedule is from 0 to its final one");
  EXPECT_EQ(message([](auto& s) { s.begin = 1; }), "a schedule does not end before it begins");
  EXPECT_EQ(message([](auto& s) { s.interval = 0; }), "the interval of a schedule is at least 1 step");
  EXPECT_EQ(message([](auto& s) { s.shape = PruningSchedule::Shape::exponential, s.final_sparsity = 1; }),
            "an exponential schedule never gets to a sparsity of 1; choose another shape");
  EXPECT_EQ(message([](auto&) {}), "nothing was thrown");
}

TEST(ScheduledPruning, RaisesTheSparsityWhenItIsTimeAndNothingGrowsBack) {
  torch::manual_seed(9);
  SmallNet net;
  PruningMasks masks(*net);  // 1197 weights
  PruningSchedule schedule;
  schedule.final_sparsity = 0.8;
  schedule.begin = 10;
  schedule.end = 30;
  schedule.interval = 5;
  ScheduledPruning pruning(masks, schedule);
  using Outcome = ScheduledPruning::Outcome;
  std::vector<torch::Tensor> kept{masks.kept(0), masks.kept(1), masks.kept(2)};
  for (std::uint64_t step = 1; step <= 40; ++step) {
    {
      const torch::NoGradGuard no_grad;
      for (auto& tensor : net->parameters()) tensor.add_(torch::randn_like(tensor) * 0.01);
    }
    const bool prunes = step == 15 || step == 20 || step == 25 || step == 30;
    EXPECT_EQ(pruning.step(step), prunes ? Outcome::pruned : Outcome::kept) << step;
    EXPECT_EQ(masks.pruned_count(), static_cast<std::uint64_t>(std::nearbyint(schedule.target(step) * 1197))) << step;
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_FALSE(masks.kept(i).logical_and(kept[i].logical_not()).any().item<bool>()) << "something has grown back";
      kept[i] = masks.kept(i);
      EXPECT_TRUE(torch::equal(masks.parameters()[i].tensor.ne(0), kept[i])) << step;
    }
  }
  // What is above the schedule stays above it.
  PruningMasks dense(*net);
  dense.prune_to(0.9);
  dense.prune_to(0.5);
  EXPECT_EQ(dense.pruned_count(), 1077u);
}

TEST(ScheduledPruning, CatchesUpWithStepsThatWereLeftOutAndPrunesLayersAndChannels) {
  SmallNet net;
  PruningSchedule schedule;
  schedule.final_sparsity = 0.5;
  schedule.begin = 10, schedule.end = 20, schedule.interval = 5;
  PruningMethod method;
  method.scope = PruningMethod::Scope::layer;
  PruningMasks masks(*net);
  ScheduledPruning pruning(masks, schedule, method);
  EXPECT_EQ(pruning.step(7), ScheduledPruning::Outcome::kept);
  EXPECT_EQ(pruning.step(1000), ScheduledPruning::Outcome::pruned);
  EXPECT_EQ(zeros_in(net->conv->weight), 54);
  EXPECT_EQ(zeros_in(net->first->weight), 528);
  EXPECT_EQ(zeros_in(net->last->weight), 16);  // 16.5

  SmallNet by_channel;
  method.kind = PruningMethod::Kind::ln_channels;
  PruningMasks channels(*by_channel, {{}, {"last.*"}});
  ScheduledPruning(channels, schedule, method).step(20);
  EXPECT_EQ(zeros_in(by_channel->conv->weight.detach().abs().sum(at::IntArrayRef{1, 2, 3})), 3);
  EXPECT_EQ(zeros_in(by_channel->first->weight.detach().abs().sum(1)), 6);  // 5.5
}

TEST(ScheduledPruning, ThrowsNothingWhenWeightsAreNotFiniteAndGoesOnWhenTheyAre) {
  SmallNet net;
  PruningMasks masks(*net);
  PruningSchedule schedule;
  schedule.shape = PruningSchedule::Shape::one_shot;
  schedule.begin = schedule.end = 1;
  schedule.final_sparsity = 0.5;
  ScheduledPruning pruning(masks, schedule);
  const torch::Tensor before = net->first->weight.detach().clone();
  {
    const torch::NoGradGuard no_grad;
    net->first->weight.fill_(std::nan(""));
  }
  EXPECT_EQ(pruning.step(1), ScheduledPruning::Outcome::failed);
  EXPECT_EQ(pruning.message(), "weights that are not finite have no order to prune them by: first.weight (1056 NaN, 0 Inf of 1056)");
  EXPECT_EQ(masks.pruned_count(), 0u);
  {
    const torch::NoGradGuard no_grad;
    net->first->weight.copy_(before);
  }
  EXPECT_EQ(pruning.step(2), ScheduledPruning::Outcome::pruned);
  EXPECT_EQ(masks.pruned_count(), 598u);
}

}  // namespace
}  // namespace vigil
