// What quantisation met in odd models, values and files.
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <ATen/Context.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "files.h"
#include "pruning_net.h"
#include "vigil/model/activation_calibration.h"
#include "vigil/model/quantisation.h"
#include "vigil/model/quantisation_sensitivity.h"
#include "vigil/model/quantisation_training.h"

namespace vigil {
namespace {

using test::message_of;

constexpr QuantisationGrid kEachChannel{8, true, true, true};

class QuantisationExtremes : public testing::Test {
 protected:
  QuantisationExtremes() { torch::manual_seed(7); }
  const test::TemporaryFolder folder;
  const std::string file = folder.file("model.pt");
};

struct PositionedImpl : torch::nn::Module {
  torch::Tensor forward(torch::Tensor x) {
    x = first(x);
    x = x + position.type_as(x);
    return last(torch::relu(x + offset.expand_as(x)));
  }
  torch::nn::Linear first = register_module("first", torch::nn::Linear(4, 5)), last = register_module("last", torch::nn::Linear(5, 3));
  torch::Tensor position = register_buffer("position", torch::randn({6, 5}));
  torch::Tensor offset = register_parameter("offset", torch::randn({1, 5}));
};
TORCH_MODULE(Positioned);

TEST_F(QuantisationExtremes, RoundedActivationsLeaveParametersAndBuffersAsTheyAre) {
  Positioned net;
  net->eval();
  const torch::NoGradGuard no_grad;
  const torch::Tensor x = torch::randn({6, 4}), in_float = net->forward(x);
  std::vector<torch::Tensor> before;
  for (const torch::Tensor& tensor : net->parameters()) before.push_back(tensor.clone());
  for (const torch::Tensor& tensor : net->buffers()) before.push_back(tensor.clone());
  CalibrationOptions options;
  options.grid.bits = 3;
  const Calibration calibration = calibrate(
      *net, [&] { net->forward(x); }, options);
  torch::Tensor output;
  with_quantised_activations(
      *net, [&] { output = net->forward(x); }, calibration);
  EXPECT_FALSE(torch::allclose(output, in_float, 1e-3, 1e-3));
  std::vector<torch::Tensor> after = net->parameters();
  for (const torch::Tensor& tensor : net->buffers()) after.push_back(tensor);
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(torch::equal(after[i], before[i])) << i;
  EXPECT_TRUE(torch::equal(net->forward(x), in_float));
}

struct MaskedImpl : torch::nn::Module {
  torch::nn::Linear layer = register_module("layer", torch::nn::Linear(4, 5));
  torch::Tensor mask = register_buffer("mask", torch::full({3, 3}, -std::numeric_limits<float>::infinity()).triu(1));
};
TORCH_MODULE(Masked);

TEST_F(QuantisationExtremes, AMaskOfInfinitiesIsSavedAndLoadedAndAWeightOfThemIsRefused) {
  Masked net, loaded;
  const torch::Tensor mask = net->mask.clone();
  save_quantised(*net, file);
  loaded->mask.zero_();
  load_quantised(*loaded, file);
  EXPECT_TRUE(torch::equal(loaded->mask, mask));
  EXPECT_TRUE(torch::isinf(mask).any().item<bool>());
  const torch::Tensor weight = loaded->layer->weight.detach().clone();
  net->layer->weight.detach()[0][0] = std::numeric_limits<float>::quiet_NaN();
  torch::save(net, file);
  EXPECT_NE(message_of<std::runtime_error>([&] { load_quantised(*loaded, file); }).find("'layer.weight' holds 1 NaN and 0 Inf of 20"),
            std::string::npos);
  EXPECT_TRUE(torch::equal(loaded->layer->weight, weight));
}

TEST_F(QuantisationExtremes, FilesAreNotLoadedIntoLayersThatHavePackedIntegers) {
  torch::nn::Sequential net(torch::nn::Linear(4, 5), torch::nn::ReLU());
  quantise_dynamic(*net);
  const torch::Tensor weight = net[0]->as<QuantisedLinear>()->weight.clone();
  torch::save(net, file);
  net[0]->as<QuantisedLinear>()->weight.zero_();
  EXPECT_EQ(message_of<std::runtime_error>([&] { load_quantised(*net, file); }),
            file + " cannot be loaded: the model's '0' has int8 weights; load_quantised() fills float layers, torch::load() these");
  EXPECT_EQ(test::zeros_in(net[0]->as<QuantisedLinear>()->weight), 20);
  torch::load(net, file);
  EXPECT_TRUE(torch::equal(net[0]->as<QuantisedLinear>()->weight, weight));
}

TEST_F(QuantisationExtremes, AgreementGivesBothModelsTheSameInputs) {
  const torch::Tensor input = torch::randn({5, 4}), before = input.clone();
  const Forward doubles = [](torch::Tensor x) { return x.mul_(2); };
  const Agreement found = agreement(doubles, doubles, {input});
  EXPECT_EQ(found.agreeing, 5u);
  EXPECT_EQ(found.noise, 0);
  EXPECT_NEAR(found.signal, before.mul(2).to(torch::kDouble).square().sum().item<double>(), 1e-9);
  EXPECT_TRUE(torch::equal(input, before));
}

struct SidedImpl : torch::nn::SequentialImpl {
  SidedImpl() {
    side = register_module("side", torch::nn::Linear(4, 4));
    push_back(torch::nn::Linear(4, 6));
    push_back(torch::nn::ReLU());
    push_back(torch::nn::Linear(6, 2));
  }
  torch::nn::Linear side{nullptr};
};

TEST_F(QuantisationExtremes, ChildrenThatASequentialDoesNotCallAreNotExchanged) {
  const auto net = std::make_shared<SidedImpl>();
  const torch::NoGradGuard no_grad;
  const torch::Tensor x = torch::randn({40, 4}), y = net->forward(x);
  const QuantisationReport report = quantise_dynamic(*net);
  ASSERT_EQ(report.weights.size(), 3u);
  EXPECT_EQ(report.weights[0].name, "side.weight");
  EXPECT_EQ(report.weights[0].execution, "rounded in place, float arithmetic");
  EXPECT_NE(net->ptr(0)->as<QuantisedLinear>(), nullptr);
  EXPECT_NE(net->ptr(1)->as<torch::nn::ReLU>(), nullptr);
  EXPECT_NE(net->ptr(2)->as<QuantisedLinear>(), nullptr);
  EXPECT_GT(agreement(y, net->forward(x)).sqnr_db(), 20);
}

TEST_F(QuantisationExtremes, ANegativeDimensionIsCountedFromTheEnd) {
  const torch::Tensor values = torch::randn({5, 3}) * torch::tensor({1.f, 10.f, 100.f});
  const QuantisationParameters expected = parameters_for(values, kEachChannel, 1);
  MinMaxObserver observer(kEachChannel, -1);
  observer.observe(values);
  EXPECT_EQ(observer.parameters().axis, 1);
  EXPECT_TRUE(torch::equal(observer.parameters().scale, expected.scale));
  EXPECT_TRUE(torch::equal(fake_quantise(values, observer.parameters()), fake_quantise(values, expected)));
  FakeQuantise fake(ObserverKind::min_max, kEachChannel, -1), loaded(ObserverKind::min_max, kEachChannel, -1);
  EXPECT_TRUE(torch::equal(fake->forward(values), fake_quantise(values, expected)));
  EXPECT_EQ(fake->parameters().axis, 1);
  torch::save(fake, file);
  torch::load(loaded, file);
  loaded->eval();
  EXPECT_THROW(loaded->parameters(), std::logic_error) << "of how many dimensions";
  EXPECT_TRUE(torch::equal(loaded->forward(values), fake_quantise(values, expected)));
  EXPECT_THROW(loaded->forward(torch::tensor(1.0f)), std::invalid_argument);
  EXPECT_EQ(message_of<std::invalid_argument>([] { parameters_for_range(torch::zeros({3}), torch::ones({3}), kEachChannel, -1); }),
            "dimension -1 of a range: give it from the front");
}

TEST_F(QuantisationExtremes, ValuesFarBeyondTheGridKeepTheirSign) {
  const float most = std::numeric_limits<float>::max();
  for (const bool per_channel : {false, true}) {
    for (const bool is_signed : {false, true}) {
      const QuantisationGrid grid{8, is_signed, false, per_channel};
      const torch::Tensor ends = per_channel ? torch::tensor({1.f, 1e-3f}) : torch::tensor({1.f});
      const QuantisationParameters parameters = parameters_for_range(-ends, ends, grid);
      torch::Tensor values = torch::tensor({1e17f, -1e17f, most, -most, 1e25f, 0.f, 2e9f, -3e10f, 1e19f}).repeat({2, 1});
      values.requires_grad_(true);
      const torch::Tensor scale = parameters.scale.unsqueeze(1), zero_point = parameters.zero_point.unsqueeze(1);
      const torch::Tensor high = (parameters.most - zero_point) * scale, low = (parameters.least - zero_point) * scale;
      const torch::Tensor expected = torch::where(values.gt(0), high, torch::where(values.lt(0), low, torch::zeros_like(values)));
      const torch::Tensor found = fake_quantise(values, parameters);
      EXPECT_TRUE(torch::equal(found, expected.detach())) << found;
      EXPECT_TRUE(torch::equal(quantised(values, parameters).dequantize(), expected.detach()));
      found.sum().backward();
      EXPECT_TRUE(torch::equal(values.grad(), values.detach().eq(0).to(torch::kFloat)));
    }
  }
  EXPECT_EQ(fake_quantise(torch::tensor(1e17f), parameters_for(torch::ones({2}), {})).dim(), 0);
  const torch::Tensor none = torch::zeros({0, 4});
  EXPECT_EQ(fake_quantise(none, parameters_for(none, kEachChannel)).sizes(), none.sizes());
  EXPECT_THROW(fake_quantise(torch::ones({3, 2}), parameters_for(torch::ones({2, 2}), kEachChannel)), std::invalid_argument);
}

TEST_F(QuantisationExtremes, NothingIsExactThatHasAnError) {
  const torch::Tensor tiny = torch::full({4, 4}, 1e-200, torch::kDouble);
  const QuantisationError all_lost = quantisation_error(tiny, parameters_for(tiny, {}));
  EXPECT_EQ(all_lost.zeroed, 16u);
  EXPECT_EQ(all_lost.largest_error, 1e-200);
  EXPECT_EQ(all_lost.sqnr_db(), 0) << "the noise is the signal";
  torch::Tensor one = torch::tensor({0.0, 127.5, 1e-200}, torch::kDouble);
  one[1] = -127.0;
  const QuantisationParameters steps_of_one = parameters_for_range(torch::tensor({-127.5f}), torch::tensor({127.5f}), {});
  EXPECT_NEAR(quantisation_error(one, steps_of_one).sqnr_db(), 20 * std::log10(127.0) + 4000, 1e-6);
  EXPECT_TRUE(std::isinf(quantisation_error(one.slice(0, 0, 2), steps_of_one).sqnr_db()));
  EXPECT_EQ(agreement(tiny, 2 * tiny).sqnr_db(), 0);
}

struct CountingImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x) {
    calls.add_(1);
    return last(torch::relu(first(x + calls)));
  }
  torch::nn::Linear first = register_module("first", torch::nn::Linear(6, 16)), last = register_module("last", torch::nn::Linear(16, 5));
  torch::Tensor calls = register_buffer("calls", torch::zeros({1}));
  torch::Tensor everywhere = register_buffer("everywhere", torch::zeros({1}).expand({3}));
};
TORCH_MODULE(Counting);

TEST_F(QuantisationExtremes, SensitivityRoundsOneWeightAtATimeAndPutsAllBack) {
  Counting net;
  net->eval();
  const torch::NoGradGuard no_grad;
  const torch::Tensor x = torch::randn({200, 6});
  ModelQuantisation how;
  how.layer.grid.bits = 3;
  std::vector<std::size_t> told;
  const QuantisationReport report = quantisation_sensitivity(
      *net, [&] { return net->forward(x); }, how,
      [&](std::size_t done, std::size_t all) {
        told.insert(told.end(), {done, all});
      });
  EXPECT_EQ(told, (std::vector<std::size_t>{0, 2, 1, 2}));
  EXPECT_EQ(net->calls.item<float>(), 0);
  const torch::Tensor first = net->first->weight.clone(), last = net->last->weight.clone();
  const auto output = [&](const torch::Tensor& a, const torch::Tensor& b) {
    return torch::linear(torch::relu(torch::linear(x + 1, a, net->first->bias)), b, net->last->bias);
  };
  const auto rounded = [&](const torch::Tensor& weight) { return quantised(weight, parameters_for(weight, how.layer.grid)).dequantize(); };
  ASSERT_EQ(report.weights.size(), 2u);
  const Agreement of_first = agreement(output(first, last), output(rounded(first), last));
  const Agreement of_last = agreement(output(first, last), output(first, rounded(last)));
  ASSERT_TRUE(report.weights[0].outputs && report.weights[1].outputs);
  EXPECT_EQ(report.weights[0].outputs->agreeing, of_first.agreeing);
  EXPECT_LT(of_first.agreeing, 200u);
  EXPECT_NEAR(report.weights[0].outputs->sqnr_db(), of_first.sqnr_db(), 1e-3);
  EXPECT_EQ(report.weights[1].outputs->agreeing, of_last.agreeing);
  EXPECT_NEAR(report.weights[1].outputs->sqnr_db(), of_last.sqnr_db(), 1e-3);
  EXPECT_NE(quantisation_table(report, {}).find("top-1"), std::string::npos);
  int runs = 0;
  const auto failing = [&]() -> torch::Tensor {
    if (++runs == 2) throw std::runtime_error("no more");
    return net->forward(x);
  };
  EXPECT_EQ(message_of<std::runtime_error>([&] { quantisation_sensitivity(*net, failing, how); }), "no more");
  EXPECT_TRUE(torch::equal(net->first->weight, first));
  EXPECT_TRUE(torch::equal(net->last->weight, last));
  EXPECT_EQ(net->calls.item<float>(), 0);
  how.exclude = {"last.*"};
  EXPECT_FALSE(quantisation_sensitivity(
                   *net, [&] { return net->forward(x); }, how)
                   .weights[1]
                   .outputs);
}

TEST_F(QuantisationExtremes, ThreadsShareALayer) {
  const torch::nn::Linear linear(32, 16);
  QuantisedLinear layer = quantise(linear);
  std::vector<torch::Tensor> inputs, expected, found(4);
  for (int i = 0; i < 4; ++i) inputs.push_back(torch::randn({8, 32}) * (i + 1));
  for (const torch::Tensor& input : inputs) expected.push_back(layer->forward(input));
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int turn = 0; turn < 50; ++turn) {
        found[i] = layer->forward(inputs[i]);
        if (!torch::equal(found[i], expected[i])) return;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(torch::equal(found[i], expected[i])) << i;
}

TEST_F(QuantisationExtremes, PackingLeavesLibtorchsEngineAsItWas) {
  const at::QEngine before = at::globalContext().qEngine();
  for (const at::QEngine engine : at::globalContext().supportedQEngines()) {
    if (engine == at::QEngine::NoQEngine) continue;
    LayerQuantisation how;
    how.engine = engine;
    const QuantisedLinear layer = quantise(torch::nn::Linear(4, 4), how);
    const QuantisedLSTM lstm = quantise(torch::nn::LSTM(4, 4), how);
    EXPECT_EQ(at::globalContext().qEngine(), before) << engine_name(engine);
  }
}

}  // namespace
}  // namespace vigil
