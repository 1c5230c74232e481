// What a sample holds when histograms and update ratios are asked for, through the whole monitor, against libtorch's own functions.
#include <cmath>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "hooks/test_model.h"
#include "vigil/hooks/training_monitor.h"
#include "vigil/hooks/watched_model.h"
#include "vigil/monitor/reduction.h"

namespace vigil {
namespace {

// A row of the latest frame and its histogram, if it has one.
struct Seen {
  TensorRow row;
  std::optional<MagnitudeHistogram> histogram;
};

Seen seen(const TrainingMonitor& monitor, TensorKind kind, const std::string& name) {
  const auto snapshot = monitor.snapshot();
  for (std::size_t i = 0; i < snapshot->rows.size(); ++i) {
    const RowSchema& schema = snapshot->schema->rows[i];
    if (schema.kind != kind || schema.name != name) continue;
    Seen found{snapshot->rows[i], {}};
    if (schema.histogram != RowSchema::kNone) found.histogram = snapshot->histograms[static_cast<std::size_t>(schema.histogram)];
    return found;
  }
  ADD_FAILURE() << "no row " << name;
  return {};
}

// Elements with 2^exponent < |x| <= 2^(exponent + 1), by libtorch.
std::uint64_t count_between(const torch::Tensor& tensor, int exponent) {
  const auto magnitude = tensor.detach().abs();
  const auto inside = (magnitude > std::ldexp(1.0, exponent)).logical_and(magnitude <= std::ldexp(1.0, exponent + 1));
  return static_cast<std::uint64_t>(inside.sum().item<std::int64_t>());
}

void expect_histogram_of(const torch::Tensor& tensor, const std::optional<MagnitudeHistogram>& histogram) {
  ASSERT_TRUE(histogram);
  for (std::size_t i = 0; i < MagnitudeHistogram::kBuckets; ++i) {
    EXPECT_EQ(histogram->buckets[i], count_between(tensor, MagnitudeHistogram::kLowestExponent + static_cast<int>(i))) << i;
  }
}

class Sampling : public testing::Test {
 public:
  Sampling() {
    torch::manual_seed(4);
    config.sampling.every_steps = 1;
  }

  // One whole step. What happens between the verdict and the optimizer is the caller's.
  template <class Between>
  void step(Between between) {
    const auto loss = backward_pass(net, optimizer);
    between();
    monitor->after_backward(loss);
    optimizer.step();
    monitor->after_step();
  }
  void step() {
    step([] {});
  }
  void watch() {
    monitor.emplace(config);
    monitor->watch(*net, optimizer);
  }

  SmallNet net;
  torch::optim::SGD optimizer{net->parameters(), 0.1};
  Config config = quiet_config();
  std::optional<TrainingMonitor> monitor;
};

TEST_F(Sampling, HistogramsAreOfTheTensorsThatThePatternsName) {
  config.sampling.histogram = {"fc.*", "norm.running_var"};
  watch();
  torch::Tensor weight, gradient, variance;
  step([&] {
    weight = net->fc->weight.detach().clone();
    gradient = net->fc->weight.grad().clone();
    variance = net->norm->running_var.clone();
  });
  expect_histogram_of(weight, seen(*monitor, TensorKind::parameter, "fc.weight").histogram);
  expect_histogram_of(gradient, seen(*monitor, TensorKind::gradient, "fc.weight").histogram);
  expect_histogram_of(variance, seen(*monitor, TensorKind::buffer, "norm.running_var").histogram);
  EXPECT_FALSE(seen(*monitor, TensorKind::parameter, "conv.weight").histogram);
  EXPECT_EQ(monitor->snapshot()->schema->histograms, 5u);
}

TEST_F(Sampling, HistogramsOfTensorsThatDoNotLieTogetherCountTheSame) {
  config.sampling.histogram = {"fc.weight"};
  watch();
  torch::Tensor gradient;
  for (int i = 0; i < 2; ++i) {  // the second does not add to the first
    step([&] {
      gradient = torch::empty_strided({3, 144}, {300, 2}).normal_();
      net->fc->weight.mutable_grad() = gradient;
    });
  }
  expect_histogram_of(gradient, seen(*monitor, TensorKind::gradient, "fc.weight").histogram);
  step([&] {
    gradient = torch::randn({3, 144});
    net->fc->weight.mutable_grad() = gradient.to_sparse();
  });
  expect_histogram_of(gradient, seen(*monitor, TensorKind::gradient, "fc.weight").histogram);
}

TEST_F(Sampling, UpdateIsTheDifferenceThatTheLastOptimizerStepMade) {
  config.sampling.update_ratio = {"fc.weight", "conv.*"};
  for (const std::int64_t every : {1, 3}) {
    SCOPED_TRACE(every);
    config.sampling.every_steps = every;
    watch();
    torch::Tensor before, now = net->fc->weight.detach().clone();
    for (int i = 1; i <= 6; ++i) {
      step([&] {
        before = now;
        now = net->fc->weight.detach().clone();
      });
      if (i % every != 0) continue;
      const Seen weight = seen(*monitor, TensorKind::parameter, "fc.weight");
      if (i == 1) {
        EXPECT_TRUE(std::isnan(weight.row.update_norm));  // nothing was before
        continue;
      }
      const double expected = (now - before).norm().item<double>();
      EXPECT_GT(expected, 0);
      EXPECT_NEAR(weight.row.update_norm, expected, 1e-5 * expected);
      EXPECT_TRUE(std::isnan(seen(*monitor, TensorKind::parameter, "fc.bias").row.update_norm));
      EXPECT_TRUE(std::isnan(seen(*monitor, TensorKind::gradient, "fc.weight").row.update_norm));
    }
    monitor.reset();
  }
}

TEST_F(Sampling, UpdateOfASkippedStepIsZero) {
  config.sampling.update_ratio = {"*"};
  config.guard.on_nonfinite = OnNonfinite::skip_step;
  watch();
  step();
  const auto loss = backward_pass(net, optimizer);
  net->fc->weight.mutable_grad().view({-1})[0] = std::nanf("");
  ASSERT_EQ(monitor->after_backward(loss), Verdict::skip);
  monitor->after_step();
  step();
  EXPECT_EQ(seen(*monitor, TensorKind::parameter, "fc.weight").row.update_norm, 0);
}

TEST_F(Sampling, CopiesForUpdatesStopAtTheirBound) {
  config.sampling.update_ratio = {"*"};
  config.sampling.update_ratio_bytes = 4 * (4 * 9 + 4 + 4 + 4);  // conv and norm, not fc
  torch::optim::SGD three({net->conv->weight, net->fc->weight, net->fc->bias}, 0.1);
  WatchedModel model =
      watch_tensors({{"", {{"conv.weight", net->conv->weight}, {"fc.weight", net->fc->weight}, {"fc.bias", net->fc->bias}}, {}, &three}},
                    config.sampling);
  EXPECT_TRUE(model.parameters[0].has_update);
  EXPECT_FALSE(model.parameters[1].has_update);
  EXPECT_THAT(model.without_update, testing::ElementsAre("fc.weight"));
  EXPECT_TRUE(model.parameters[2].has_update);  // small enough for what is left
}

TEST_F(Sampling, ForcedKernelIsTheOneInUse) {
  struct KernelChoice {
    ~KernelChoice() { use_kernel("auto"); }
  } restored;
  config.sampling.kernel = Kernel::portable;
  watch();
  EXPECT_EQ(kernel_in_use(), "portable");
}

TEST_F(Sampling, AKernelThatTheMachineCannotRunIsRefusedWithTheOnesThatItCan) {
  const auto available = available_kernels();
  const std::pair<Kernel, std::string> kernels[] = {
      {Kernel::vector128, "vector128"}, {Kernel::avx2, "avx2"}, {Kernel::avx512, "avx512"}, {Kernel::avx512_bf16, "avx512_bf16"}};
  for (const auto& [kernel, name] : kernels) {
    if (std::find(available.begin(), available.end(), name) != available.end()) continue;
    config.sampling.kernel = kernel;
    try {
      watch();
      ADD_FAILURE() << name << " was taken";
    } catch (const std::invalid_argument& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("this machine cannot run " + name + ", only portable"));
    }
  }
}

}  // namespace
}  // namespace vigil
