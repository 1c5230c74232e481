// Observers, fake quantisation, training with it, and calibrated activations, against definitions and libtorch's own functions.
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "files.h"
#include "pruning_net.h"
#include "vigil/model/activation_calibration.h"
#include "vigil/model/quantisation.h"
#include "vigil/model/quantisation_training.h"

namespace vigil {
namespace {

using test::message_of;
using test::SmallNet;

constexpr QuantisationGrid kWeightGrid{}, kByChannel{8, true, true, true};

void expect_same(const QuantisationParameters& found, const QuantisationParameters& expected) {
  EXPECT_TRUE(torch::equal(found.scale, expected.scale)) << found.scale << expected.scale;
  EXPECT_TRUE(torch::equal(found.zero_point, expected.zero_point)) << found.zero_point << expected.zero_point;
}

class QuantisationTraining : public testing::Test {
 protected:
  QuantisationTraining() { torch::manual_seed(11); }
};

TEST_F(QuantisationTraining, MinMaxIsTheRangeOfAllThatWasSeen) {
  const torch::Tensor all = torch::randn({3, 8, 20}) + 0.5;
  for (const QuantisationGrid& grid : {kWeightGrid, kActivationGrid, kByChannel}) {
    MinMaxObserver observer(grid, 1);
    for (std::int64_t i = 0; i < 3; ++i) observer.observe(all.slice(0, i, i + 1));
    expect_same(observer.parameters(), parameters_for(all, grid, 1));
    EXPECT_EQ(observer.least(), all.min().item<float>());
    EXPECT_EQ(observer.most(), all.max().item<float>());
    EXPECT_EQ(observer.observed(), 480u);
  }
}

TEST_F(QuantisationTraining, MovingAverageIsThatOfTorchAo) {
  MinMaxObserver observer(kActivationGrid, 0, 0.25);
  float least = 0, most = 0;
  for (int i = 0; i < 5; ++i) {
    const torch::Tensor values = torch::randn({50});
    observer.observe(values);
    const float low = values.min().item<float>(), high = values.max().item<float>();
    least = i == 0 ? low : least + 0.25f * (low - least);
    most = i == 0 ? high : most + 0.25f * (high - most);
  }
  expect_same(observer.parameters(), parameters_for_range(torch::tensor({least}), torch::tensor({most}), kActivationGrid));
  EXPECT_THROW(MinMaxObserver(kActivationGrid, 0, 1.5), std::invalid_argument);
}

TEST_F(QuantisationTraining, ObserversCountWhatIsNotFiniteAndLeaveItOut) {
  for (const ObserverKind kind : {ObserverKind::min_max, ObserverKind::moving_average, ObserverKind::histogram}) {
    const auto observer = make_observer(kind, kActivationGrid);
    EXPECT_EQ(message_of<std::logic_error>([&] { observer->parameters(); }), "nothing finite was observed: there is no range yet");
    torch::Tensor values = torch::rand({10});
    values[2] = std::numeric_limits<float>::quiet_NaN();
    values[3] = -std::numeric_limits<float>::infinity();
    observer->observe(values.slice(0, 2, 4));
    EXPECT_THROW(observer->parameters(), std::logic_error);
    observer->observe(torch::zeros({0}));
    observer->observe(values);
    EXPECT_EQ(observer->nan(), 2u);
    EXPECT_EQ(observer->inf(), 2u);
    EXPECT_EQ(observer->observed(), 12u);
    EXPECT_LE(observer->parameters().scale.item<float>(), 1.0f / 255);
    EXPECT_THROW(observer->observe(torch::zeros({2}, torch::kLong)), std::invalid_argument);
  }
  MinMaxObserver by_channel(kByChannel, 0);
  by_channel.observe(torch::randn({3, 4}));
  EXPECT_EQ(message_of<std::invalid_argument>([&] {
              by_channel.observe(torch::randn({5, 4}));
            }),
            "a tensor of 5 channels, after such of 3");
}

TEST_F(QuantisationTraining, HistogramsGrowWithoutLosingACount) {
  GrowingHistogram histogram(64);
  std::vector<float> all;
  std::mt19937 generator(1);
  for (const float spread : {0.1f, 1.0f, 30.0f, 0.01f}) {
    std::normal_distribution<float> normal(spread, spread);
    std::vector<float> values(500);
    for (float& value : values) value = normal(generator);
    histogram.add(values);
    all.insert(all.end(), values.begin(), values.end());
  }
  EXPECT_EQ(histogram.total(), all.size());
  EXPECT_EQ(histogram.least(), *std::min_element(all.begin(), all.end()));
  EXPECT_EQ(histogram.most(), *std::max_element(all.begin(), all.end()));
  std::uint64_t below = 0;
  for (std::size_t bin = 0; bin < histogram.counts().size(); ++bin) {
    below += histogram.counts()[bin];
    const double edge = histogram.low() + histogram.width() * static_cast<double>(bin + 1);
    const auto expected = std::count_if(all.begin(), all.end(), [&](float value) { return static_cast<double>(value) < edge; });
    EXPECT_NEAR(static_cast<double>(below), static_cast<double>(expected), 1) << "up to the edge of bin " << bin;
  }
  EXPECT_EQ(below, all.size());
  GrowingHistogram constant(4);
  constant.add({2, 2, 2});
  constant.add({2});
  EXPECT_EQ(constant.counts()[0], 4u);
}

TEST_F(QuantisationTraining, ExpectedNoiseIsThatOfValuesSpreadOverTheirBins) {
  GrowingHistogram histogram(16);
  std::vector<float> values(400);
  std::mt19937 generator(2);
  std::normal_distribution<float> normal(0.3f, 1);
  for (float& value : values) value = normal(generator);
  histogram.add(values);
  for (const float range : {0.5f, 1.5f, 4.0f}) {
    const QuantisationGrid grid{4, false, false, false};
    const QuantisationParameters parameters = parameters_for_range(torch::tensor({-range}), torch::tensor({range}), grid);
    const double scale = static_cast<double>(parameters.scale.item<float>()), zero_point = parameters.zero_point.item<double>();
    long double noise = 0;
    constexpr int kSamples = 2000;
    for (std::size_t bin = 0; bin < 16; ++bin) {
      for (int i = 0; i < kSamples; ++i) {
        const double x = histogram.low() + histogram.width() * (static_cast<double>(bin) + (i + 0.5) / kSamples);
        const double q = std::clamp(std::nearbyint(x / scale) + zero_point, 0.0, 15.0);
        const long double error = x - scale * (q - zero_point);
        noise += error * error * static_cast<long double>(histogram.counts()[bin]) / kSamples;
      }
    }
    EXPECT_NEAR(expected_noise(histogram, parameters), static_cast<double>(noise), 1e-4 * static_cast<double>(noise));
  }
}

TEST_F(QuantisationTraining, TheHistogramObserverFindsTheRangeOfLeastNoise) {
  torch::Tensor values = torch::randn({20000});
  values[17] = 40;  // an outlier that min and max would give nearly all the grid to
  values[18] = -25;
  for (const QuantisationGrid& grid : {QuantisationGrid{4, true, true, false}, QuantisationGrid{4, false, false, false}}) {
    HistogramObserver observer(grid);
    observer.observe(values.slice(0, 0, 5000));
    observer.observe(values.slice(0, 5000));
    const GrowingHistogram& histogram = observer.histograms()[0];
    const double found = expected_noise(histogram, observer.parameters());
    double least = std::numeric_limits<double>::infinity();
    for (int low = 1; low <= 100; ++low) {
      for (int high = 1; high <= 100; ++high) {
        const torch::Tensor from = torch::tensor({-0.25f * static_cast<float>(low)}), to = torch::tensor({0.4f * static_cast<float>(high)});
        least = std::min(least, expected_noise(histogram, parameters_for_range(from, to, grid)));
      }
    }
    EXPECT_LE(found, least * 1.01);
    // In the values themselves, too: less than with the extremes.
    EXPECT_LT(quantisation_error(values, observer.parameters()).noise, quantisation_error(values, parameters_for(values, grid)).noise);
  }
  HistogramObserver by_channel(kByChannel, 0);
  by_channel.observe(torch::randn({3, 100}) * torch::tensor({1.f, 10.f, 100.f}).unsqueeze(1));
  const torch::Tensor scale = by_channel.parameters().scale;
  ASSERT_EQ(scale.numel(), 3);
  EXPECT_GT(scale[2].item<float>(), 5 * scale[1].item<float>());
  EXPECT_THROW(HistogramObserver(kActivationGrid, 0, 1), std::invalid_argument);
}

TEST_F(QuantisationTraining, FakeQuantisationIsLibtorchsWithItsGradient) {
  for (const bool per_channel : {false, true}) {
    const QuantisationGrid grid{4, true, false, per_channel};
    const torch::Tensor values = torch::randn({3, 40});
    // A range that clips a part.
    const torch::Tensor ends = per_channel ? torch::tensor({0.5f, 1.0f, 2.0f}) : torch::tensor({0.8f});
    const QuantisationParameters parameters = parameters_for_range(-ends, ends, grid, 0);
    torch::Tensor ours = values.clone().requires_grad_(true), theirs = values.clone().requires_grad_(true);
    const torch::Tensor weights = torch::randn({3, 40});
    const torch::Tensor found = fake_quantise(ours, parameters);
    const torch::Tensor expected =
        per_channel
            ? at::fake_quantize_per_channel_affine(theirs, parameters.scale, parameters.zero_point, 0, -8, 7)
            : at::fake_quantize_per_tensor_affine(theirs, parameters.scale.item<double>(), parameters.zero_point.item<int>(), -8, 7);
    EXPECT_TRUE(torch::equal(found, expected));
    EXPECT_TRUE(torch::equal(found, quantised(values, parameters).dequantize()));
    (found * weights).sum().backward();
    (expected * weights).sum().backward();
    EXPECT_TRUE(torch::equal(ours.grad(), theirs.grad()));
    // Straight through within the grid, nothing outside.
    const torch::Tensor scale = parameters.scale.reshape({-1, 1}), zero_point = parameters.zero_point.reshape({-1, 1});
    const torch::Tensor integers = torch::round(values / scale) + zero_point;
    const torch::Tensor is_within = integers.ge(-8).logical_and(integers.le(7));
    EXPECT_TRUE(torch::equal(ours.grad(), torch::where(is_within, weights, torch::zeros_like(weights))));
    EXPECT_GT(is_within.logical_not().sum().item<int>(), 5);
  }
  torch::Tensor hurt = torch::randn({4}, torch::kDouble);
  hurt[1] = std::numeric_limits<double>::quiet_NaN();
  hurt[2] = std::numeric_limits<double>::infinity();
  const torch::Tensor found = fake_quantise(hurt, parameters_for(torch::randn({9}), kActivationGrid));
  EXPECT_EQ(found.scalar_type(), torch::kDouble);
  EXPECT_TRUE(std::isnan(found[1].item<double>()) && std::isinf(found[2].item<double>())) << "what is not finite stays in sight";
}

TEST_F(QuantisationTraining, FakeQuantiseObservesInTrainingOnlyAndIsSaved) {
  FakeQuantise fake(ObserverKind::min_max);
  const torch::Tensor small = torch::rand({100}), large = 10 * torch::rand({100});
  EXPECT_FALSE(fake->has_range());
  EXPECT_EQ(message_of<std::logic_error>([&] { fake->parameters(); }), "no range was observed yet");
  fake->eval();
  EXPECT_TRUE(torch::equal(fake->forward(large), large));
  fake->train();
  EXPECT_TRUE(torch::equal(fake->forward(small), fake_quantise(small, parameters_for(small, kActivationGrid))));
  fake->eval();
  fake->forward(large);
  expect_same(fake->parameters(), parameters_for(small, kActivationGrid));
  fake->train();
  fake->observe(false);
  fake->forward(large);
  expect_same(fake->parameters(), parameters_for(small, kActivationGrid));
  fake->enable(false);
  EXPECT_TRUE(torch::equal(fake->forward(large), large));
  const test::TemporaryFolder folder;
  FakeQuantise loaded(ObserverKind::min_max);
  torch::save(fake, folder.file("fake.pt"));
  torch::load(loaded, folder.file("fake.pt"));
  loaded->eval();
  EXPECT_TRUE(torch::equal(loaded->forward(small), fake_quantise(small, parameters_for(small, kActivationGrid))));
}

double loss_of(const std::function<torch::Tensor(torch::Tensor)>& forward, const torch::Tensor& x, const torch::Tensor& y) {
  const torch::NoGradGuard no_grad;
  return torch::mse_loss(forward(x), y).item<double>();
}

TEST_F(QuantisationTraining, LearnsWhatRoundingAfterwardsLosesAndConvertsToTheSameIntegers) {
  const torch::Tensor x = torch::randn({256, 6}), y = torch::tanh(x.matmul(torch::randn({6, 3})));
  TrainingQuantisation how;
  how.weights = {3, true, true, true};
  const auto trained = [&](bool is_aware) {
    torch::manual_seed(4);
    torch::nn::Linear first(6, 24), last(24, 3);
    QuantisationAwareLinear aware_first(first, how), aware_last(last, how);
    EXPECT_TRUE(aware_first->parameters()[0].is_same(first->weight)) << "optimizers stay as they are";
    std::vector<torch::Tensor> parameters = first->parameters();
    for (const torch::Tensor& parameter : last->parameters()) parameters.push_back(parameter);
    torch::optim::Adam optimizer(parameters, torch::optim::AdamOptions(0.01));
    for (int step = 0; step < 400; ++step) {
      optimizer.zero_grad();
      const torch::Tensor hidden = torch::relu(is_aware ? aware_first(x) : first(x));
      torch::mse_loss(is_aware ? aware_last(hidden) : last(hidden), y).backward();
      optimizer.step();
    }
    if (is_aware) {
      aware_first->eval();
      aware_last->eval();
    }
    QuantisedLinear int_first = quantise(aware_first), int_last = quantise(aware_last);
    EXPECT_TRUE(torch::equal(int_first->dequantised_weight(), fake_quantise(first->weight, parameters_for(first->weight, how.weights))));
    EXPECT_LE(int_first->weight.max().item<int>(), 3);
    EXPECT_GE(int_first->weight.min().item<int>(), -4);
    const double loss = loss_of([&](const torch::Tensor& in) { return int_last(torch::relu(int_first(in))); }, x, y);
    if (is_aware) {
      // What training computed with is what the integers compute, but for how activations are rounded.
      const double of_training = loss_of([&](const torch::Tensor& in) { return aware_last(torch::relu(aware_first(in))); }, x, y);
      EXPECT_NEAR(of_training, loss, 0.1 * loss);
    }
    return loss;
  };
  const double aware = trained(true), afterwards = trained(false);
  EXPECT_LT(aware, 0.7 * afterwards);
}

TEST_F(QuantisationTraining, ConvolutionsAndWeightsThatAreNotFinite) {
  torch::nn::Conv2d conv(torch::nn::Conv2dOptions(2, 3, 3).stride(2).padding(1));
  QuantisationAwareConv2d aware(conv);
  const torch::Tensor x = torch::randn({4, 2, 7, 7});
  const torch::Tensor found = aware(x);
  const torch::Tensor rounded_x = fake_quantise(x, parameters_for(x, kActivationGrid));
  const torch::Tensor rounded_weight = fake_quantise(conv->weight, parameters_for(conv->weight, kWeightGrid));
  EXPECT_TRUE(torch::allclose(found, torch::conv2d(rounded_x, rounded_weight, conv->bias, 2, 1)));
  found.sum().backward();
  EXPECT_GT(conv->weight.grad().abs().sum().item<float>(), 0);
  conv->weight.detach()[0][0][0][0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(torch::isnan(aware(x)).any().item<bool>()) << "the loss is to show it";
  torch::nn::Conv2d reflecting(torch::nn::Conv2dOptions(2, 3, 3).padding(1).padding_mode(torch::kReflect));
  EXPECT_THROW(QuantisationAwareConv2d{reflecting}, std::invalid_argument);
}

TEST_F(QuantisationTraining, CalibratesWhatEachLayerTakesAndMakes) {
  SmallNet net;
  net->eval();
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> batches{torch::randn({8, 2, 6, 6}), 2 * torch::randn({8, 2, 6, 6})};
  batches[1][0][0][0][0] = std::numeric_limits<float>::quiet_NaN();
  CalibrationOptions options;
  options.observer = ObserverKind::min_max;
  const Calibration calibration = calibrate(
      *net,
      [&] {
        for (const torch::Tensor& batch : batches) net->forward(batch);
      },
      options);
  std::map<std::string, const CalibratedActivation*> found;
  for (const CalibratedActivation& one : calibration) found[one.name + (one.is_input ? " in" : "")] = &one;
  std::vector<std::string> names;
  for (const CalibratedActivation& one : calibration) names.push_back(one.name + (one.is_input ? " in" : ""));
  EXPECT_EQ(names, (std::vector<std::string>{"conv in", "conv", "conv/relu", "norm in", "norm", "first in", "first", "first/relu",
                                             "last in", "last"}));
  EXPECT_EQ(found.at("conv in")->observed, 2u * 8 * 72);
  EXPECT_EQ(found.at("conv in")->nan, 1u);
  batches[1] = torch::nan_to_num(batches[1]);
  const torch::Tensor all = torch::cat(batches), hidden = net->conv(all);
  EXPECT_EQ(found.at("conv in")->most, all.max().item<float>());
  expect_same(calibrate(
                  *net, [&] { net->forward(all); }, options)[1]
                  .parameters,
              parameters_for(hidden, kActivationGrid));
  EXPECT_TRUE(calibration_table(calibration, {}).find("first/relu") != std::string::npos);

  // Rounded on their way, as by hand.
  const Calibration clean = calibrate(
      *net, [&] { net->forward(all); }, options);
  const auto rounded = [&](const torch::Tensor& values, std::size_t i) { return fake_quantise(values, clean[i].parameters); };
  torch::Tensor output;
  with_quantised_activations(
      *net, [&] { output = net->forward(all); }, clean);
  torch::Tensor expected = rounded(net->norm(rounded(torch::relu(rounded(net->conv(all), 1)), 2)), 4);
  expected = rounded(net->last(rounded(torch::relu(rounded(net->first(expected.flatten(1)), 6)), 7)), 9);
  EXPECT_TRUE(torch::allclose(output, expected));
  EXPECT_FALSE(torch::allclose(output, net->forward(all), 1e-6, 1e-6));
  options.grid.per_channel = true;
  EXPECT_THROW(calibrate(
                   *net, [] {}, options),
               std::invalid_argument);
}

}  // namespace
}  // namespace vigil
