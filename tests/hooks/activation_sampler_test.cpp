// The layers of real models and what comes out of them, against libtorch's own figures of tensors that the test holds.
#include "vigil/hooks/activation_sampler.h"

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/torch.h>

#include "hooks/test_model.h"
#include "vigil/monitor/moments.h"
#include "vigil/monitor/statistics.h"

namespace vigil {
namespace {

namespace nn = torch::nn;
using torch::Tensor;

// A sampler over the tensors of a module.
class Sampled {
 public:
  template <class Module>
  explicit Sampled(Module& module, std::size_t capacity = 64)
      : channel_(schema_with(capacity), ChannelBounds{16, 1 << 16}),
        places_(list(module.named_parameters()), list(module.named_buffers())),
        sampler_(channel_, places_) {}

  // Rows by name after `body` has run under observation.
  template <class Body>
  std::map<std::string, ActivationRow> run(Body body, std::uint32_t phase = 0, bool once = false) {
    sampler_.begin(++step_, phase, once);
    body();
    sampler_.end();
    std::map<std::string, ActivationRow> rows;
    for (std::size_t i = 0; i < sampler_.layers(); ++i) {
      if (sampler_.rows()[i].step == step_) rows[std::string(channel_.layer_names().at(i))] = sampler_.rows()[i];
    }
    return rows;
  }
  ActivationSampler& sampler() { return sampler_; }
  RunChannel& channel() { return channel_; }

 private:
  static Schema schema_with(std::size_t capacity) {
    Schema schema;
    schema.activations = capacity;
    return schema;
  }
  static TensorPlaces::NamedTensors list(const torch::OrderedDict<std::string, Tensor>& tensors) {
    TensorPlaces::NamedTensors named;
    for (const auto& item : tensors) named.emplace_back(item.key(), item.value());
    return named;
  }
  template <class JitList>
  static TensorPlaces::NamedTensors list(const JitList& tensors) {
    TensorPlaces::NamedTensors named;
    for (const auto& item : tensors) named.emplace_back(item.name, item.value);
    return named;
  }

  RunChannel channel_;
  TensorPlaces places_;
  ActivationSampler sampler_;
  std::uint64_t step_ = 0;
};

std::vector<std::string> names(const std::map<std::string, ActivationRow>& rows) {
  std::vector<std::string> list;
  for (const auto& [name, row] : rows) list.push_back(name);
  return list;
}

void expect_figures_of(const ActivationRow& row, const Tensor& tensor) {
  const Tensor values = tensor.detach().to(torch::kDouble);
  EXPECT_EQ(row.moments.count, static_cast<std::uint64_t>(values.numel()));
  EXPECT_NEAR(row.moments.mean, values.mean().item<double>(), 1e-6);
  EXPECT_NEAR(standard_deviation(row.moments), values.std(false).item<double>(), 1e-6);
  EXPECT_EQ(row.moments.min, values.min().item<double>());
  EXPECT_EQ(row.moments.max, values.max().item<double>());
  EXPECT_EQ(row.moments.zero_count, static_cast<std::uint64_t>((values == 0).sum().item<std::int64_t>()));
}

TEST(Activations, OfASequentialAreThoseOfItsModules) {
  nn::Sequential net(nn::Conv2d(1, 4, 3), nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(), nn::Linear(36, 5), nn::Tanh());
  Sampled sampled(*net);
  const Tensor x = torch::randn({7, 1, 8, 8});
  Tensor after_conv = net[0]->as<nn::Conv2d>()->forward(x), after_relu = torch::relu(after_conv);
  Tensor after_linear = net[4]->as<nn::Linear>()->forward(torch::max_pool2d(after_relu, 2).flatten(1));
  const auto rows = sampled.run([&] { net->forward(x).sum().backward(); });
  EXPECT_EQ(names(rows), (std::vector<std::string>{"0", "0/max_pool2d", "0/relu", "4", "4/sum", "4/tanh"}));
  expect_figures_of(rows.at("0"), after_conv);
  expect_figures_of(rows.at("0/relu"), after_relu);
  expect_figures_of(rows.at("4"), after_linear);
  expect_figures_of(rows.at("4/tanh"), after_linear.tanh());
  EXPECT_EQ(sampled.sampler().examples(), 7U);
  EXPECT_GT(sampled.sampler().multiply_accumulates(), 0U);
}

TEST(Activations, OfOperatorsInPlaceAreWhatTheyLeave) {
  nn::Sequential net(nn::Linear(6, 6), nn::ReLU(nn::ReLUOptions().inplace(true)), nn::Linear(6, 2));
  Sampled sampled(*net);
  const Tensor x = torch::randn({9, 6});
  const Tensor linear = net[0]->as<nn::Linear>()->forward(x);
  const auto rows = sampled.run([&] { net->forward(x); });
  expect_figures_of(rows.at("0"), linear);
  expect_figures_of(rows.at("0/relu"), torch::relu(linear));
}

struct TwiceImpl : nn::Module {
  Tensor forward(const Tensor& x) { return fc->forward(torch::relu(fc->forward(x))); }
  nn::Linear fc = register_module("fc", nn::Linear(5, 5));
};
TORCH_MODULE(Twice);

TEST(Activations, OfAModuleThatRunsTwiceAreThoseOfBothRuns) {
  Twice net;
  Sampled sampled(*net);
  const Tensor x = torch::randn({3, 5});
  const Tensor first = net->fc->forward(x), second = net->fc->forward(torch::relu(first));
  const auto rows = sampled.run([&] { net->forward(x); });
  EXPECT_EQ(names(rows), (std::vector<std::string>{"fc", "fc/relu"}));
  expect_figures_of(rows.at("fc"), torch::cat({first, second}));
}

TEST(Activations, OfALinearOnSequencesIncludeItsBias) {
  // A product, and then the bias in place: the module goes on with its own result.
  nn::Linear linear(4, 6);
  Sampled sampled(*linear);
  nn::Sequential net(linear);
  Sampled in_net(*net);
  const Tensor x = torch::randn({2, 3, 4});
  const Tensor expected = linear->forward(x);
  const auto rows = in_net.run([&] { net->forward(x); });
  EXPECT_EQ(names(rows), (std::vector<std::string>{"0"}));
  expect_figures_of(rows.at("0"), expected);
}

struct RecurrentImpl : nn::Module {
  Tensor forward(const Tensor& tokens) {
    const auto [states, last] = lstm->forward(embedding->forward(tokens));
    const auto [more, final] = gru->forward(states);
    return head->forward(more);
  }
  nn::Embedding embedding = register_module("embedding", nn::Embedding(11, 6));
  nn::LSTM lstm = register_module("lstm", nn::LSTM(nn::LSTMOptions(6, 5).batch_first(true).num_layers(2)));
  nn::GRU gru = register_module("gru", nn::GRU(nn::GRUOptions(5, 4).batch_first(true)));
  nn::Linear head = register_module("head", nn::Linear(4, 11));
};
TORCH_MODULE(Recurrent);

TEST(Activations, OfRecurrentLayersAreTheirOutputs) {
  Recurrent net;
  Sampled sampled(*net);
  const Tensor tokens = torch::randint(0, 11, {3, 7});
  const Tensor embedded = net->embedding->forward(tokens);
  const Tensor states = std::get<0>(net->lstm->forward(embedded));
  const auto rows = sampled.run([&] { net->forward(tokens); });
  EXPECT_EQ(names(rows), (std::vector<std::string>{"embedding", "gru", "head", "lstm"}));
  expect_figures_of(rows.at("embedding"), embedded);
  expect_figures_of(rows.at("lstm"), states);
  EXPECT_EQ(sampled.sampler().examples(), 3U);
}

TEST(Activations, OfATransformerNameEveryLayer) {
  struct Block : nn::Module {
    Tensor forward(const Tensor& x) { return encoder->forward(x); }
    nn::TransformerEncoderLayer encoder =
        register_module("encoder", nn::TransformerEncoderLayer(nn::TransformerEncoderLayerOptions(8, 2).dim_feedforward(16).dropout(0)));
  };
  Block net;
  Sampled sampled(net, 256);
  Tensor output;
  const auto rows = sampled.run([&] { output = net.forward(torch::randn({5, 2, 8})); });
  for (const char* layer : {"encoder.self_attn", "encoder.self_attn.out_proj", "encoder.linear1", "encoder.linear1/relu", "encoder.linear2",
                            "encoder.norm1", "encoder.norm2"}) {
    EXPECT_EQ(rows.count(layer), 1U) << layer;
  }
  expect_figures_of(rows.at("encoder.norm2"), output);
}

TEST(Activations, OfAScriptedModuleAreNamedAsItsParameters) {
  torch::jit::Module net("Net");
  torch::jit::Module fc("Fc");
  fc.register_parameter("weight", torch::randn({3, 4}), false);
  fc.register_parameter("bias", torch::randn({3}), false);
  net.register_module("fc", fc);
  net.define("def forward(self, x):\n    return torch.sigmoid(torch.linear(x, self.fc.weight, self.fc.bias))\n");
  Sampled sampled(net);
  const Tensor x = torch::randn({6, 4});
  const Tensor linear = torch::linear(x, fc.attr("weight").toTensor(), fc.attr("bias").toTensor());
  for (int run = 0; run < 4; ++run) {  // the interpreter profiles, then optimises
    const auto rows = sampled.run([&] { net.forward({x}); });
    ASSERT_EQ(rows.count("fc"), 1U) << run;
    expect_figures_of(rows.at("fc"), linear);
    EXPECT_EQ(rows.count("fc/sigmoid"), 1U) << run;
  }
}

TEST(Activations, KnowSaturatedAndDeadShares) {
  nn::Sequential net(nn::Linear(4, 6));
  Sampled sampled(*net);
  Tensor linear;
  const auto rows = sampled.run([&] {
    linear = net->forward(torch::randn({50, 4}) * 30);
    torch::tanh(linear);
    torch::sigmoid(linear);
    torch::relu(linear - torch::tensor({1000.0, 0.0, 0.0, 1000.0, 0.0, 0.0}));
  });
  const auto share = [&](const Tensor& outside) { return outside.to(torch::kDouble).mean().item<double>(); };
  const double tanh = share((linear < -9.4999) | (linear > 9.4999)), sigmoid = share((linear < -23) | (linear > 17));
  ASSERT_GT(tanh, sigmoid);
  ASSERT_GT(sigmoid, 0);
  EXPECT_DOUBLE_EQ(rows.at("0/tanh").saturated_ratio, tanh);
  EXPECT_DOUBLE_EQ(rows.at("0/sigmoid").saturated_ratio, sigmoid);
  EXPECT_DOUBLE_EQ(rows.at("0/relu").dead_ratio, 2.0 / 6);
  EXPECT_TRUE(std::isnan(rows.at("0").saturated_ratio));
  EXPECT_TRUE(std::isnan(rows.at("0/tanh").dead_ratio));
}

TEST(Activations, SayNothingOfDeadUnitsOfAFewExamples) {
  nn::Sequential net(nn::Linear(4, 6));
  Sampled sampled(*net);
  const auto share_of = [&](std::int64_t examples) {
    return sampled.run([&] { torch::relu(net->forward(torch::randn({examples, 4})) * 0); }).at("0/relu").dead_ratio;
  };
  EXPECT_TRUE(std::isnan(share_of(7)));
  EXPECT_EQ(share_of(8), 1);
}

TEST(Activations, OfUnitsThatAreChannelsAreDeadByChannel) {
  nn::Sequential net(nn::Conv1d(2, 5, 3));
  Sampled sampled(*net);
  {
    const torch::NoGradGuard no_grad;
    net[0]->as<nn::Conv1d>()->bias.select(0, 2).fill_(-1000);
  }
  const auto rows = sampled.run([&] { torch::relu(net->forward(torch::randn({4, 2, 9}))); });
  EXPECT_DOUBLE_EQ(rows.at("0/relu").dead_ratio, 1.0 / 5);
}

TEST(Activations, BeyondTheCapacityAreCountedAndLeftOut) {
  SmallNet net;
  Sampled sampled(*net, 2);
  const auto rows = sampled.run([&] { net->forward(torch::randn({2, 1, 8, 8})); });
  EXPECT_EQ(names(rows), (std::vector<std::string>{"conv", "norm"}));
  EXPECT_EQ(sampled.sampler().layers_dropped(), 2U);  // norm/relu, fc
  sampled.run([&] { net->forward(torch::randn({2, 1, 8, 8})); });
  EXPECT_EQ(sampled.sampler().layers_dropped(), 2U);
}

TEST(Activations, AreSeenOnlyBetweenBeginAndEnd) {
  SmallNet net;
  Sampled sampled(*net);
  sampled.run([&] { net->forward(torch::randn({2, 1, 8, 8})); });
  EXPECT_FALSE(at::hasThreadLocalCallbacks());
  const std::uint64_t products = sampled.sampler().multiply_accumulates();
  net->forward(torch::randn({2, 1, 8, 8})).sum().backward();
  EXPECT_EQ(sampled.sampler().multiply_accumulates(), products);
}

TEST(Activations, OfOneBatchOnlyEndWhenTheFirstLayerRunsAgain) {
  SmallNet net;
  Sampled sampled(*net);
  const Tensor x = torch::randn({2, 1, 8, 8});
  const Tensor first = net->conv->forward(x);
  const auto rows = sampled.run(
      [&] {
        net->forward(x);
        net->forward(x * 100);
        EXPECT_FALSE(at::hasThreadLocalCallbacks());
      },
      0, true);
  expect_figures_of(rows.at("conv"), first);
}

TEST(Activations, FollowAModelThatHasMoved) {
  nn::Sequential net(nn::Linear(4, 3));
  Sampled sampled(*net);
  net->to(torch::kDouble);  // other memory
  const Tensor x = torch::randn({2, 4}, torch::kDouble);
  const auto rows = sampled.run([&] { net->forward(x); });
  ASSERT_EQ(rows.count("0"), 1U);
  expect_figures_of(rows.at("0"), net->forward(x));
}

TEST(Activations, ThatAreNotFiniteAreCounted) {
  nn::Sequential net(nn::Linear(4, 3));
  Sampled sampled(*net);
  const auto rows = sampled.run([&] { net->forward(torch::full({2, 4}, std::numeric_limits<float>::quiet_NaN())); });
  EXPECT_EQ(rows.at("0").moments.nan_count, 6U);
  EXPECT_EQ(sampled.sampler().nonfinite().nan, 6U);
}

}  // namespace
}  // namespace vigil
