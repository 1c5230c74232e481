// Layers with int8 weights, against libtorch's own quantised operators and against the definition in integers.
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "files.h"
#include "pruning_net.h"
#include "vigil/model/quantisation.h"
#include "vigil/model/quantised_layers.h"

namespace vigil {
namespace {

using test::message_of;

LayerQuantisation layer_grid(bool per_channel, bool is_symmetric = true) {
  LayerQuantisation how;
  how.grid.per_channel = per_channel;
  how.grid.is_symmetric = is_symmetric;
  return how;
}

torch::jit::Stack call_operator(const char* name, const char* overload, torch::jit::Stack arguments) {
  c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).callBoxed(&arguments);
  return arguments;
}

// For as long as it lives.
class EngineOfTest {
 public:
  explicit EngineOfTest(at::QEngine engine) { at::globalContext().setQEngine(engine); }
  ~EngineOfTest() { at::globalContext().setQEngine(before_); }

 private:
  const at::QEngine before_ = at::globalContext().qEngine();
};

std::vector<at::QEngine> real_engines() {
  std::vector<at::QEngine> engines;
  for (const at::QEngine engine : at::globalContext().supportedQEngines()) {
    if (engine != at::QEngine::NoQEngine) engines.push_back(engine);
  }
  return engines;
}

// Activations as libtorch's dynamic kernels quantise them: a range of the whole tensor, 255 or 127 steps.
torch::Tensor rounded_activations(const torch::Tensor& x, bool reduce_range) {
  const auto [scale, zero_point] = at::_choose_qparams_per_tensor(x.contiguous(), reduce_range);
  const torch::Tensor integers = at::quantize_per_tensor(x, scale, zero_point, torch::kQUInt8).int_repr().to(torch::kDouble);
  return (integers - static_cast<double>(zero_point)) * scale;
}
torch::Tensor rounded_weight_of(const torch::Tensor& weight, const QuantisationGrid& grid) {
  return quantised(weight, parameters_for(weight, grid)).dequantize().to(torch::kDouble);
}
// x·Wᵀ + b of what was rounded, in double: all products and sums of 8-bit integers are exact in it but for the scales.
torch::Tensor linear_in_double(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, const LayerQuantisation& how,
                               bool reduce_range) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor product = rounded_activations(x, reduce_range).matmul(rounded_weight_of(weight, how.grid).t());
  return bias.defined() ? product + bias.to(torch::kDouble) : product;
}
void expect_close(const torch::Tensor& found, const torch::Tensor& reference, double relative = 1e-6) {
  ASSERT_EQ(found.sizes(), reference.sizes());
  EXPECT_LE((found.to(torch::kDouble) - reference).abs().max().item<double>(),
            relative * std::max(1.0, reference.abs().max().item<double>()));
}

class QuantisedLayers : public testing::Test {
 protected:
  QuantisedLayers() { torch::manual_seed(5); }
};

TEST_F(QuantisedLayers, LinearIsLibtorchsOwnOperatorAndTheDefinition) {
  for (const at::QEngine engine : real_engines()) {
    for (const bool per_channel : {false, true}) {
      for (const auto& [rows, in, out] : {std::tuple<int, int, int>{1, 1, 1}, {7, 5, 3}, {33, 130, 65}, {64, 512, 128}}) {
        LayerQuantisation how = layer_grid(per_channel);
        how.engine = engine;
        torch::nn::Linear linear(in, out);
        linear->weight.detach()[0] *= 100;  // channels that differ
        const torch::Tensor x = 3 * torch::randn({rows, in}) + 0.5;
        QuantisedLinear layer = quantise(linear, how);
        SCOPED_TRACE(layer->execution());
        ASSERT_TRUE(layer->uses_kernel());
        const bool reduce_range = quantised_kernels(how).reduce_range;
        expect_close(layer->forward(x), linear_in_double(x, linear->weight, linear->bias, how, reduce_range));

        const EngineOfTest now(engine);
        const torch::NoGradGuard no_grad;
        const QuantisationParameters chosen = parameters_for(linear->weight, how.grid);
        const c10::IValue packed = call_operator("quantized::linear_prepack", "", {quantised(linear->weight, chosen), linear->bias})[0];
        const torch::Tensor theirs = call_operator("quantized::linear_dynamic", "", {x, packed, reduce_range})[0].toTensor();
        EXPECT_TRUE(torch::equal(layer->forward(x), theirs));
      }
    }
  }
}

TEST_F(QuantisedLayers, LargestProductsDoNotSaturate) {
  for (const at::QEngine engine : real_engines()) {
    LayerQuantisation how;
    how.engine = engine;
    torch::nn::Linear linear(torch::nn::LinearOptions(256, 4).bias(false));
    linear->weight.detach().fill_(1);
    QuantisedLinear layer = quantise(linear, how);
    SCOPED_TRACE(layer->execution());
    expect_close(layer->forward(torch::ones({2, 256})),
                 linear_in_double(torch::ones({2, 256}), linear->weight, {}, how, quantised_kernels(how).reduce_range));
  }
}

TEST_F(QuantisedLayers, WithoutKernelsTheArithmeticIsFloatOnTheSameIntegers) {
  for (const bool is_symmetric : {true, false}) {
    LayerQuantisation how = layer_grid(true, is_symmetric);
    how.use_kernels = false;
    torch::nn::Linear linear(40, 12);
    QuantisedLinear layer = quantise(linear, how);
    EXPECT_EQ(layer->execution(), "int8 weights, float arithmetic: the program wants no kernels");
    const torch::Tensor x = torch::randn({9, 40});
    expect_close(layer->forward(x), linear_in_double(x, linear->weight, linear->bias, how, false));
  }
}

TEST_F(QuantisedLayers, AnEngineThatIsNotThereIsSaidAndDoneWithout) {
  torch::nn::Linear linear(4, 3);
  const std::vector<at::QEngine>& supported = at::globalContext().supportedQEngines();
  for (const at::QEngine engine : {at::QEngine::NoQEngine, at::QEngine::FBGEMM, at::QEngine::QNNPACK, at::QEngine::ONEDNN}) {
    if (engine != at::QEngine::NoQEngine && std::find(supported.begin(), supported.end(), engine) != supported.end()) continue;
    LayerQuantisation how;
    how.engine = engine;
    const QuantisedKernels kernels = quantised_kernels(how);
    EXPECT_FALSE(kernels.engine);
    EXPECT_EQ(kernels.unavailable, "this libtorch has no engine " + engine_name(engine));
    QuantisedLinear layer = quantise(linear, how);
    EXPECT_FALSE(layer->uses_kernel());
    EXPECT_EQ(layer->execution(), "int8 weights, float arithmetic: this libtorch has no engine " + engine_name(engine));
    const torch::Tensor x = torch::randn({2, 4});
    expect_close(layer->forward(x), linear_in_double(x, linear->weight, linear->bias, how, false));
    QuantisedLSTM lstm = quantise(torch::nn::LSTM(4, 3), how);
    EXPECT_FALSE(lstm->uses_kernel());
    EXPECT_EQ(std::get<0>(lstm->forward(torch::randn({5, 2, 4}))).sizes(), (std::vector<std::int64_t>{5, 2, 3}));
  }
  // Where none is set, the first that there is; what was set stays set.
  const EngineOfTest none(at::QEngine::NoQEngine);
  EXPECT_EQ(quantised_kernels().engine.has_value(), !real_engines().empty());
  EXPECT_EQ(quantise(linear)->uses_kernel(), !real_engines().empty());
  EXPECT_EQ(at::globalContext().qEngine(), at::QEngine::NoQEngine);
}

TEST_F(QuantisedLayers, AffineWeightsAreDoneWithoutWhereAnEngineTakesNone) {
  for (const at::QEngine engine : real_engines()) {
    LayerQuantisation how = layer_grid(false, false);
    how.engine = engine;
    torch::nn::Linear linear(20, 10);
    linear->weight.detach().abs_();
    QuantisedLinear layer = quantise(linear, how);
    SCOPED_TRACE(layer->execution());
    EXPECT_NE(layer->parameters().zero_point.item<int>(), 0);
    const torch::Tensor x = torch::randn({4, 20});
    const bool reduce_range = layer->uses_kernel() && quantised_kernels(how).reduce_range;
    expect_close(layer->forward(x), linear_in_double(x, linear->weight, linear->bias, how, reduce_range));
  }
}

TEST_F(QuantisedLayers, LinearTakesAllShapesTypesAndViews) {
  torch::nn::Linear linear(6, 5);
  QuantisedLinear layer = quantise(linear);
  const torch::Tensor rows = torch::randn({24, 6}), y = layer->forward(rows);
  EXPECT_FALSE(y.requires_grad());
  EXPECT_TRUE(torch::equal(layer->forward(rows.reshape({2, 3, 4, 6})), y.reshape({2, 3, 4, 5})));
  EXPECT_TRUE(torch::equal(layer->forward(rows.t().contiguous().t()), y));
  EXPECT_EQ(layer->forward(rows[0]).sizes(), (std::vector<std::int64_t>{5}));
  EXPECT_EQ(layer->forward(torch::zeros({0, 6})).sizes(), (std::vector<std::int64_t>{0, 5}));
  EXPECT_TRUE(torch::equal(layer->forward(rows.to(torch::kDouble)), y.to(torch::kDouble)));
  EXPECT_EQ(layer->forward(rows.to(torch::kBFloat16)).scalar_type(), torch::kBFloat16);
  EXPECT_TRUE(torch::allclose(layer->forward(torch::zeros({2, 6})), linear->bias.expand({2, 5})));

  EXPECT_EQ(message_of<std::invalid_argument>([&] {
              layer->forward(torch::zeros({2, 7}));
            }),
            "the input of a quantised Linear is to be floating point, with 6 features in its last dimension");
  EXPECT_THROW(layer->forward(torch::zeros({2, 6}, torch::kLong)), std::invalid_argument);
  torch::Tensor hurt = rows.clone();
  hurt[3][2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(message_of<std::invalid_argument>([&] { layer->forward(hurt); }),
            "the input of a quantised Linear holds 1 NaN and 0 Inf of 144 values: what is not finite has no place on a grid of integers");
  linear->weight.detach()[0][0] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(message_of<std::invalid_argument>([&] { quantise(linear); }),
            "the weight holds 0 NaN and 1 Inf of 30 values: what is not finite has no place on a grid of integers");
  LayerQuantisation unsigned_grid;
  unsigned_grid.grid.is_signed = false;
  EXPECT_EQ(message_of<std::invalid_argument>([&] { quantise(torch::nn::Linear(2, 2), unsigned_grid); }),
            "weights are quantised to signed integers");
}

TEST_F(QuantisedLayers, DegenerateLayersComputeWhatTheyAre) {
  torch::nn::Linear zeros(8, 4), one(1, 1), doubles(8, 4);
  zeros->weight.detach().zero_();
  const torch::Tensor x = torch::randn({3, 8});
  EXPECT_TRUE(torch::allclose(quantise(zeros)->forward(x), zeros->bias.expand({3, 4})));
  expect_close(quantise(one)->forward(x.slice(1, 0, 1)),
               linear_in_double(x.slice(1, 0, 1), one->weight, one->bias, {}, quantised_kernels().reduce_range));
  torch::nn::Linear no_inputs(1, 4), no_outputs(4, 1);
  no_inputs->weight.set_data(torch::zeros({4, 0}));
  no_outputs->weight.set_data(torch::zeros({0, 4}));
  no_outputs->bias.set_data(torch::zeros({0}));
  EXPECT_TRUE(torch::equal(quantise(no_inputs)->forward(torch::zeros({3, 0})), no_inputs->bias.detach().expand({3, 4})));
  EXPECT_EQ(quantise(no_outputs)->forward(torch::zeros({3, 4})).sizes(), (std::vector<std::int64_t>{3, 0}));
  doubles->to(torch::kDouble);
  expect_close(quantise(doubles)->forward(x), linear_in_double(x, doubles->weight, doubles->bias, {}, quantised_kernels().reduce_range));
}

TEST_F(QuantisedLayers, ByChannelSmallChannelsSurviveLargeOnes) {
  torch::nn::Linear linear(torch::nn::LinearOptions(64, 2).bias(false));
  linear->weight.detach()[0] *= 1e4;
  const torch::Tensor x = torch::randn({32, 64}), y = linear->forward(x).detach().select(1, 1);
  const auto sqnr_of_the_small = [&](bool per_channel) {
    const torch::Tensor found = quantise(linear, layer_grid(per_channel))->forward(x).select(1, 1);
    return 10 * std::log10(y.square().sum().item<double>() / (y - found).square().sum().item<double>());
  };
  EXPECT_LT(sqnr_of_the_small(false), 1);
  EXPECT_GT(sqnr_of_the_small(true), 25);
}

TEST_F(QuantisedLayers, AreSavedLoadedAndCloned) {
  const test::TemporaryFolder folder;
  const std::string file = folder.file("layer.pt");
  torch::nn::Linear linear(6, 5);
  const LayerQuantisation how = layer_grid(true);
  QuantisedLinear layer = quantise(linear, how), loaded(6, 5, true, how), narrow(6, 4, true, how);
  const torch::Tensor x = torch::randn({3, 6}), y = layer->forward(x);
  EXPECT_EQ(layer->bytes(), 30u + 5 * 4 * 3);
  torch::save(layer, file);
  torch::load(loaded, file);
  EXPECT_TRUE(torch::equal(loaded->forward(x), y));
  EXPECT_EQ(message_of<std::runtime_error>([&] { torch::load(narrow, file); }), "the file's Linear is not one of 6 to 4");
  EXPECT_EQ(narrow->weight.sizes(), (std::vector<std::int64_t>{4, 6})) << "as it was";
  EXPECT_EQ(narrow->forward(x).abs().sum().item<float>(), 0);
  auto clone = std::dynamic_pointer_cast<QuantisedLinearImpl>(layer->clone());
  EXPECT_TRUE(torch::equal(clone->forward(x), y));
  clone->weight.zero_();
  EXPECT_GT(layer->weight.abs().sum().item<std::int64_t>(), 0) << "the clone's integers are its own";
  // The float layer may change, and layers may go with their model to another type.
  linear->weight.detach().zero_();
  layer->to(torch::kDouble);
  EXPECT_TRUE(torch::equal(layer->forward(x), y));

  torch::nn::LSTM lstm(torch::nn::LSTMOptions(4, 3).num_layers(2));
  QuantisedLSTM cells = quantise(lstm, how), read(lstm->options, how);
  const torch::Tensor steps = torch::randn({5, 2, 4}), output = std::get<0>(cells->forward(steps));
  torch::save(cells, file);
  torch::load(read, file);
  EXPECT_TRUE(torch::equal(std::get<0>(read->forward(steps)), output));
  auto twin = std::dynamic_pointer_cast<QuantisedLSTMImpl>(cells->clone());
  EXPECT_TRUE(torch::equal(std::get<0>(twin->forward(steps)), output));
}

TEST_F(QuantisedLayers, LstmIsLibtorchsOwnOperator) {
  for (const at::QEngine engine : real_engines()) {
    LayerQuantisation how = layer_grid(true);
    how.engine = engine;
    torch::nn::LSTM lstm(torch::nn::LSTMOptions(7, 6).num_layers(2).bidirectional(true).batch_first(true));
    lstm->eval();
    QuantisedLSTM layer = quantise(lstm, how);
    layer->eval();
    SCOPED_TRACE(layer->execution());
    ASSERT_TRUE(layer->uses_kernel());
    const torch::Tensor x = torch::randn({3, 10, 7}), h = torch::randn({4, 3, 6}), c = torch::randn({4, 3, 6});
    const auto [output, state] = layer->forward(x, std::make_tuple(h, c));

    const torch::NoGradGuard no_grad;
    const EngineOfTest now(engine);
    const bool reduce_range = quantised_kernels(how).reduce_range;
    const auto named = lstm->named_parameters();
    std::vector<c10::IValue> cells;
    for (const char* suffix : {"l0", "l0_reverse", "l1", "l1_reverse"}) {
      std::vector<c10::IValue> packed;
      for (const char* kind : {"ih_", "hh_"}) {
        const torch::Tensor& weight = named[std::string("weight_") + kind + suffix];
        packed.push_back(
            call_operator("quantized::linear_prepack", "",
                          {quantised(weight, parameters_for(weight, how.grid)), named[std::string("bias_") + kind + suffix]})[0]);
      }
      cells.push_back(call_operator(
          "quantized::make_quantized_cell_params_dynamic", "",
          {packed[0], packed[1], named[std::string("bias_ih_") + suffix], named[std::string("bias_hh_") + suffix], reduce_range})[0]);
    }
    c10::impl::GenericList list(cells[0].type());
    for (const c10::IValue& cell : cells) list.push_back(cell);
    const torch::jit::Stack theirs = call_operator(
        "aten::quantized_lstm", "input",
        {x, c10::List<at::Tensor>({h, c}), list, true, 2, 0.0, false, true, true, static_cast<std::int64_t>(torch::kChar), true});
    EXPECT_TRUE(torch::equal(output, theirs[0].toTensor()));
    EXPECT_TRUE(torch::equal(std::get<0>(state), theirs[1].toTensor()));
    EXPECT_TRUE(torch::equal(std::get<1>(state), theirs[2].toTensor()));
    // And near the float one, whose state it shares in shape.
    const auto [reference, reference_state] = lstm->forward(x, std::make_tuple(h, c));
    EXPECT_GT(agreement(reference, output).sqnr_db(), 25);
    EXPECT_EQ(std::get<0>(state).sizes(), std::get<0>(reference_state).sizes());
  }
}

TEST_F(QuantisedLayers, LstmIsWhatItsDefinitionSays) {
  for (const at::QEngine engine : real_engines()) {
    LayerQuantisation how = layer_grid(false);
    how.engine = engine;
    const bool reduce_range = quantised_kernels(how).reduce_range;
    torch::nn::LSTM lstm(5, 4);
    QuantisedLSTM layer = quantise(lstm, how);
    const torch::Tensor x = torch::randn({6, 2, 5});
    const auto named = lstm->named_parameters();
    // The input's product is of the whole sequence at once, the state's of each step.
    const torch::Tensor inputs =
        linear_in_double(x.reshape({12, 5}), named["weight_ih_l0"], named["bias_ih_l0"], how, reduce_range).reshape({6, 2, 16});
    torch::Tensor h = torch::zeros({2, 4}, torch::kDouble), c = h;
    std::vector<torch::Tensor> outputs;
    for (std::int64_t t = 0; t < 6; ++t) {
      const torch::Tensor gates =
          inputs[t] + linear_in_double(h.to(torch::kFloat), named["weight_hh_l0"], named["bias_hh_l0"], how, reduce_range);
      const std::vector<torch::Tensor> part = gates.chunk(4, 1);
      c = part[1].sigmoid() * c + part[0].sigmoid() * part[2].tanh();
      h = part[3].sigmoid() * c.tanh();
      outputs.push_back(h);
    }
    expect_close(std::get<0>(layer->forward(x)), torch::stack(outputs), 1e-5);
  }
}

TEST_F(QuantisedLayers, LstmTakesTheShapesOfLibtorchsAndRefusesOthers) {
  torch::nn::LSTM lstm(torch::nn::LSTMOptions(4, 3).bias(false)), projected(torch::nn::LSTMOptions(4, 3).proj_size(2));
  QuantisedLSTM layer = quantise(lstm);
  const torch::Tensor x = torch::randn({6, 4});
  EXPECT_TRUE(torch::allclose(std::get<0>(layer->forward(x)), std::get<0>(layer->forward(x.unsqueeze(1))).squeeze(1)));
  EXPECT_EQ(std::get<0>(layer->forward(x.to(torch::kDouble))).scalar_type(), torch::kDouble);
  EXPECT_EQ(std::get<0>(layer->forward(torch::zeros({6, 0, 4}))).sizes(), (std::vector<std::int64_t>{6, 0, 3}));
  LayerQuantisation by_hand;
  by_hand.use_kernels = false;
  EXPECT_GT(agreement(std::get<0>(lstm->forward(x.unsqueeze(1))), std::get<0>(quantise(lstm, by_hand)->forward(x.unsqueeze(1)))).sqnr_db(),
            30);
  EXPECT_THROW(layer->forward(torch::zeros({6, 1, 5})), std::invalid_argument);
  EXPECT_THROW(layer->forward(x, std::make_tuple(torch::zeros({2, 3}), torch::zeros({2, 3}))), std::invalid_argument);
  EXPECT_EQ(message_of<std::invalid_argument>([&] { quantise(projected); }),
            "an LSTM with projections (proj_size) has no quantised kernel");
  // In a Sequential it is called with the input alone.
  torch::nn::Sequential net(torch::nn::LSTM(4, 3));
  const QuantisationReport report = quantise_dynamic(*net);
  EXPECT_EQ(report.weights.size(), 2u);
  EXPECT_TRUE(report.weights[1].uses_kernel == !real_engines().empty());
  const auto output = net->forward<std::tuple<torch::Tensor, std::tuple<torch::Tensor, torch::Tensor>>>(x.unsqueeze(1));
  EXPECT_EQ(std::get<0>(output).sizes(), (std::vector<std::int64_t>{6, 1, 3}));
}

TEST_F(QuantisedLayers, DropoutOfAnLstmIsForTrainingOnly) {
  torch::nn::LSTM lstm(torch::nn::LSTMOptions(4, 8).num_layers(2).dropout(0.5));
  QuantisedLSTM layer = quantise(lstm);
  const torch::Tensor x = torch::randn({6, 2, 4});
  layer->eval();
  EXPECT_TRUE(torch::equal(std::get<0>(layer->forward(x)), std::get<0>(layer->forward(x))));
  layer->train();
  EXPECT_FALSE(torch::equal(std::get<0>(layer->forward(x)), std::get<0>(layer->forward(x))));
}

}  // namespace
}  // namespace vigil
