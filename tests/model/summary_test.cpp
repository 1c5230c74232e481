// Summaries of models whose parameters and multiply-accumulates are known, and what they say of the modules.
#include "vigil/model/summary.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/torch.h>
#include <nlohmann/json.hpp>

#include "model/known_models.h"

namespace vigil {
namespace {

using Sizes = std::vector<std::int64_t>;

const ModuleSummary& summary_at(const ModelSummary& summary, const std::string& path) {
  for (const ModuleSummary& module : summary.modules) {
    if (module.count.path == path) return module;
  }
  throw std::out_of_range(path);
}

// A square convolution by the figures of its paper's table: in, out, kernel, side of the output.
std::uint64_t convolution_macs(std::uint64_t in, std::uint64_t out, std::uint64_t kernel, std::uint64_t side) {
  return in * out * kernel * kernel * side * side;
}

Sizes input_of(const ModelSummary& summary, const std::string& path) { return summary_at(summary, path).input.value_or(Sizes{-1}); }
Sizes output_of(const ModelSummary& summary, const std::string& path) { return summary_at(summary, path).output.value_or(Sizes{-1}); }
const Sizes kUnknown{-1};

TEST(ModelSummary, LeNet5) {
  test::LeNet5 net;
  const ModelSummary summary = model_summary(net, torch::zeros({1, 1, 32, 32}));
  EXPECT_EQ(summary.total.parameters(), 61706U);
  EXPECT_EQ(summary.macs, 1 * 6 * 25 * 28 * 28 + 6 * 16 * 25 * 10 * 10 + 400 * 120 + 120 * 84 + 84 * 10U);
  EXPECT_EQ(input_of(summary, ""), (Sizes{1, 1, 32, 32}));
  EXPECT_EQ(output_of(summary, "features.0"), (Sizes{1, 6, 28, 28}));
  EXPECT_EQ(summary_at(summary, "features.0").kernel, (Sizes{5, 5}));
  EXPECT_EQ(output_of(summary, "features.1"), (Sizes{1, 6, 28, 28}));
  EXPECT_EQ(output_of(summary, "features.2"), (Sizes{1, 6, 14, 14}));
  EXPECT_EQ(summary_at(summary, "features.2").kernel, (Sizes{2, 2}));
  EXPECT_EQ(input_of(summary, "features.5"), (Sizes{1, 16, 10, 10}));
  EXPECT_EQ(output_of(summary, "features"), (Sizes{1, 16, 5, 5}));
  EXPECT_EQ(input_of(summary, "classifier"), (Sizes{1, 400}));
  EXPECT_EQ(output_of(summary, ""), (Sizes{1, 10}));
  EXPECT_EQ(summary_at(summary, "classifier").own_macs, 0U);
  EXPECT_EQ(summary_at(summary, "classifier").macs, 400 * 120 + 120 * 84 + 84 * 10U);
  EXPECT_DOUBLE_EQ(summary_at(summary, "classifier.0").share, 48120.0 / 61706);
  // The outputs of five layers, as floats.
  EXPECT_EQ(summary.activation_bytes, (6 * 28 * 28 + 16 * 10 * 10 + 120 + 84 + 10) * 4U);
}

TEST(ModelSummary, ResNet18) {
  const auto net = test::resnet18();
  const ModelSummary summary = model_summary(net, torch::zeros({1, 3, 224, 224}));
  EXPECT_EQ(summary.total.parameters(), 11689512U);
  std::uint64_t macs = convolution_macs(3, 64, 7, 112) + 512 * 1000;
  for (std::uint64_t width = 64, side = 56; width <= 512; width *= 2, side /= 2) {
    macs += 3 * convolution_macs(width, width, 3, side);
    macs += width == 64 ? convolution_macs(64, 64, 3, 56)
                        : convolution_macs(width / 2, width, 3, side) + convolution_macs(width / 2, width, 1, side);
  }
  EXPECT_EQ(macs, 1814073344U);
  EXPECT_EQ(summary.macs, macs);
  EXPECT_EQ(input_of(summary, "layer2.0"), (Sizes{1, 64, 56, 56}));
  EXPECT_EQ(output_of(summary, "layer2.0"), (Sizes{1, 128, 28, 28}));
  EXPECT_EQ(output_of(summary, "layer2.0.downsample"), (Sizes{1, 128, 28, 28}));
}

TEST(ModelSummary, ResNet50) {
  const auto net = test::resnet50();
  const ModelSummary summary = model_summary(net, torch::zeros({1, 3, 224, 224}));
  EXPECT_EQ(summary.total.parameters(), 25557032U);
  EXPECT_EQ(summary.macs, 4087136256U + 2048000U);
  // A bottleneck of 56x56: 1x1 from 256 to 64, 3x3, 1x1 back.
  EXPECT_EQ(summary_at(summary, "layer1.1").macs, (256 * 64 + 64 * 64 * 9 + 64 * 256) * 56U * 56);
  EXPECT_EQ(summary.input_bytes, 602112U);
  EXPECT_EQ(summary.pass_bytes(), 177831744U);   // torchinfo: 177.83 MB
  EXPECT_EQ(summary.total_bytes(), 280661984U);  // 280.66 MB
  EXPECT_EQ(output_of(summary, "maxpool"), (Sizes{1, 64, 56, 56}));
  EXPECT_EQ(output_of(summary, "layer4"), (Sizes{1, 2048, 7, 7}));
  EXPECT_EQ(output_of(summary, "layer4.2"), (Sizes{1, 2048, 7, 7}));
  EXPECT_EQ(output_of(summary, "avgpool"), (Sizes{1, 2048, 1, 1}));
  EXPECT_EQ(input_of(summary, "fc"), (Sizes{1, 2048}));
  // Its one module is called three times; of the last time only likeness to other blocks tells that it is not the next block's.
  for (const char* path : {"layer1.0.relu", "layer1.1.relu", "layer2.0.relu", "layer3.5.relu", "layer4.2.relu"}) {
    EXPECT_EQ(summary_at(summary, path).calls, 3U) << path;
  }
  EXPECT_EQ(summary_at(summary, "relu").calls, 1U);
  EXPECT_EQ(output_of(summary, "relu"), (Sizes{1, 64, 112, 112}));
}

TEST(ModelSummary, Vgg16) {
  test::Vgg16 net;
  const ModelSummary summary = model_summary(net, torch::zeros({1, 3, 224, 224}));
  EXPECT_EQ(summary.total.parameters(), 138357544U);
  std::uint64_t macs = convolution_macs(3, 64, 3, 224) + convolution_macs(64, 64, 3, 224);
  macs += convolution_macs(64, 128, 3, 112) + convolution_macs(128, 128, 3, 112);
  macs += convolution_macs(128, 256, 3, 56) + 2 * convolution_macs(256, 256, 3, 56);
  macs += convolution_macs(256, 512, 3, 28) + 2 * convolution_macs(512, 512, 3, 28) + 3 * convolution_macs(512, 512, 3, 14);
  EXPECT_EQ(summary_at(summary, "features").macs, macs);
  EXPECT_EQ(summary_at(summary, "classifier").macs, 25088 * 4096 + 4096 * 4096 + 4096 * 1000U);
  EXPECT_EQ(summary.macs, 15470264320U);
  EXPECT_EQ(output_of(summary, "features"), (Sizes{1, 512, 7, 7}));
  EXPECT_EQ(output_of(summary, "classifier.2"), (Sizes{1, 4096}));
}

TEST(ModelSummary, Lstm) {
  constexpr std::int64_t kIn = 32, kHidden = 48, kSteps = 7, kBatch = 3;
  torch::nn::LSTM net(torch::nn::LSTMOptions(kIn, kHidden).num_layers(2).bidirectional(true));
  const ModelSummary summary = model_summary(net, torch::zeros({kSteps, kBatch, kIn}));
  // Four gates of each layer and direction; the second layer has both directions of the first as its input.
  constexpr std::uint64_t kWeights = 2 * 4 * kHidden * (kIn + kHidden) + 2 * 4 * kHidden * (2 * kHidden + kHidden);
  EXPECT_EQ(summary.total.parameters(), kWeights + 2 * 2 * 2 * 4 * kHidden);
  EXPECT_EQ(summary.macs, kSteps * kBatch * kWeights);
  EXPECT_EQ(output_of(summary, ""), (Sizes{kSteps, kBatch, 2 * kHidden}));
}

TEST(ModelSummary, Gpt2SmallCountsItsTiedEmbeddingOnceAndGivesAttentionItsProducts) {
  test::Gpt2 net;
  constexpr std::uint64_t kTokens = 64, kWidth = 768;
  const ModelSummary summary = model_summary(net, torch::zeros({1, kTokens}, torch::kLong));
  EXPECT_EQ(summary.total.parameters(), 124439808U);
  EXPECT_EQ(summary_at(summary, "lm_head").count.total.shared, 50257 * kWidth);
  const std::uint64_t products = 2 * kTokens * kTokens * kWidth;
  const std::uint64_t block = kTokens * 12 * kWidth * kWidth + products;
  EXPECT_EQ(summary_at(summary, "h.3.attn").own_macs, products);
  EXPECT_EQ(summary_at(summary, "h.3").own_macs, 0U);
  EXPECT_EQ(summary_at(summary, "h.3").macs, block);
  EXPECT_EQ(summary_at(summary, "wte").macs, 0U);
  EXPECT_EQ(summary_at(summary, "lm_head").macs, kTokens * kWidth * 50257);
  EXPECT_EQ(summary.macs, 12 * block + kTokens * kWidth * 50257);
  EXPECT_EQ(input_of(summary, "wte"), (Sizes{1, kTokens}));
  EXPECT_EQ(output_of(summary, "h.0.attn"), (Sizes{1, kTokens, kWidth}));
  EXPECT_EQ(output_of(summary, "h.0.mlp.act"), (Sizes{1, kTokens, 4 * kWidth}));
  EXPECT_EQ(output_of(summary, "h.11"), (Sizes{1, kTokens, kWidth}));
  EXPECT_EQ(output_of(summary, "h"), kUnknown) << "a list is not called";
}

TEST(ModelSummary, VitB16) {
  test::VitB16 net;
  const ModelSummary summary = model_summary(net, torch::zeros({1, 3, 224, 224}));
  EXPECT_EQ(summary.total.parameters(), 86567656U);
  EXPECT_EQ(summary_at(summary, "conv_proj").macs, 115605504U);
  EXPECT_EQ(summary_at(summary, "layers.5").macs, 1453954560U);
  EXPECT_EQ(summary_at(summary, "head").macs, 768000U);
  EXPECT_EQ(summary.macs, 115605504U + 12 * std::uint64_t{1453954560} + 768000);
  // The input's projection and the two products; the output's projection is a module of its own.
  EXPECT_EQ(summary_at(summary, "layers.5.self_attention").own_macs, 197 * 768 * 3 * 768 + 2 * 197 * 197 * 768U);
  EXPECT_EQ(summary_at(summary, "layers.5.self_attention.out_proj").own_macs, 197 * 768 * 768U);
  EXPECT_EQ(output_of(summary, "layers.5.self_attention"), (Sizes{197, 1, 768}));
  EXPECT_EQ(output_of(summary, "layers.5.mlp.2"), (Sizes{1, 197, 3072}));
  EXPECT_EQ(output_of(summary, "layers.5.mlp.4"), (Sizes{1, 197, 768}));
  EXPECT_EQ(output_of(summary, "layers.5.dropout"), (Sizes{1, 197, 768}));
  EXPECT_EQ(output_of(summary, "layers"), (Sizes{1, 197, 768}));
  EXPECT_EQ(input_of(summary, "head"), (Sizes{1, 768}));
}

// What only the program's text would tell: the pooling may be the block's, or that of who calls it.
struct PoolingBlockImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x) { return torch::max_pool2d(torch::relu(conv(x)), 2); }
  torch::nn::Conv2d conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(4, 4, 3).padding(1)));
};
TORCH_MODULE(PoolingBlock);

struct PoolingNetImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x) { return head(block(torch::relu(stem(x))).flatten(1)); }
  torch::nn::Conv2d stem = register_module("stem", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 4, 3).padding(1)));
  PoolingBlock block = register_module("block", PoolingBlock());
  torch::nn::Linear head = register_module("head", torch::nn::Linear(64, 2));
};
TORCH_MODULE(PoolingNet);

TEST(ModelSummary, SizesThatCannotBeToldAreLeftOut) {
  PoolingNet net;
  const ModelSummary summary = model_summary(net, torch::zeros({1, 1, 8, 8}));
  EXPECT_EQ(output_of(summary, "block"), kUnknown);
  EXPECT_EQ(input_of(summary, "block"), (Sizes{1, 4, 8, 8})) << "with and without the relu in front";
  EXPECT_EQ(output_of(summary, "block.conv"), (Sizes{1, 4, 8, 8}));
  EXPECT_NE(summary_text(summary, {}).find("block   PoolingBlock  [1, 4, 8, 8]  -"), std::string::npos) << summary_text(summary, {});
}

TEST(ModelSummary, ModulesThatAreCalledAgainHaveTheCostOfAllCalls) {
  struct TwiceImpl : torch::nn::Module {
    torch::Tensor forward(const torch::Tensor& x) { return unused->is_training() ? x : layer(torch::relu(layer(x)).slice(0, 0, 2)); }
    torch::nn::Linear layer = register_module("layer", torch::nn::Linear(6, 6));
    torch::nn::Linear unused = register_module("unused", torch::nn::Linear(6, 6));
  };
  const auto net = std::make_shared<TwiceImpl>();
  for (torch::Tensor& parameter : net->unused->parameters()) parameter.requires_grad_(false);
  net->train();
  net->layer->eval();
  const ModelSummary summary = model_summary(net, torch::zeros({5, 6}));
  const ModuleSummary layer = summary_at(summary, "layer");
  EXPECT_EQ(layer.calls, 2U);
  EXPECT_EQ(layer.macs, (5 + 2) * 36U);
  EXPECT_EQ(layer.input, (Sizes{5, 6}));
  EXPECT_EQ(layer.activation_bytes, (5 + 2) * 6 * 4U);
  EXPECT_EQ(summary_at(summary, "unused").calls, 0U);
  EXPECT_EQ(output_of(summary, "unused"), kUnknown);
  EXPECT_EQ(summary.total.trainable, 42U);
  EXPECT_EQ(summary.total.frozen, 42U);
  // As they were.
  EXPECT_TRUE(net->is_training());
  EXPECT_TRUE(net->unused->is_training());
  EXPECT_FALSE(net->layer->is_training());
}

TEST(ModelSummary, LayersWithTwoInputsHaveTheFirstOnesSizes) {
  torch::nn::Bilinear net(torch::nn::BilinearOptions(3, 4, 5));
  const ModelSummary summary = model_summary(net, torch::zeros({2, 3}), torch::zeros({2, 4}));
  EXPECT_EQ(summary.macs, 2U * 5 * (3 * 4 + 4)) << "for each output a matrix, and what comes of it times the second input";
  EXPECT_EQ(input_of(summary, ""), (Sizes{2, 3}));
  EXPECT_EQ(output_of(summary, ""), (Sizes{2, 5}));
  EXPECT_EQ(summary.input_bytes, (6 + 8) * 4U);
}

struct HeadsImpl : torch::nn::Module {
  std::tuple<torch::Tensor, torch::Tensor> forward(const torch::Tensor& x) { return {policy(x), value(x)}; }
  torch::nn::Linear policy = register_module("policy", torch::nn::Linear(8, 4));
  torch::nn::Linear value = register_module("value", torch::nn::Linear(8, 1));
};
struct FilmImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& c) { return gain(c) * body(x); }
  torch::nn::Linear gain = register_module("gain", torch::nn::Linear(3, 8));
  torch::nn::Linear body = register_module("body", torch::nn::Linear(8, 8));
};
struct TwoEndsImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& c) {
    const auto [policy, value] = heads->forward(film->forward(x, c));
    return policy.softmax(1) * value;
  }
  std::shared_ptr<FilmImpl> film = register_module("film", std::make_shared<FilmImpl>());
  std::shared_ptr<HeadsImpl> heads = register_module("heads", std::make_shared<HeadsImpl>());
};

TEST(ModelSummary, OfSeveralInputsOrOutputsOfOtherSizesTheFirstIsNotTold) {
  auto net = std::make_shared<TwoEndsImpl>();
  const ModelSummary summary = model_summary(net, torch::zeros({2, 8}), torch::zeros({2, 3}));
  EXPECT_EQ(input_of(summary, "film"), kUnknown);
  EXPECT_EQ(output_of(summary, "film"), (Sizes{2, 8}));
  EXPECT_EQ(input_of(summary, "heads"), (Sizes{2, 8}));
  EXPECT_EQ(output_of(summary, "heads"), kUnknown);
  EXPECT_EQ(output_of(summary, "heads.policy"), (Sizes{2, 4}));
}

struct RowImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x) { return second->forward(first->forward(x)); }
  torch::nn::Sequential first = nullptr, second = nullptr;
};

TEST(ModelSummary, SequentialsThatShareALayerHaveTheirOwnSizes) {
  for (const bool other_first : {false, true}) {
    const std::int64_t width = other_first ? 16 : 4;
    const torch::nn::MaxPool1d pool(2);
    auto net = std::make_shared<RowImpl>();
    const torch::nn::Sequential a(torch::nn::Linear(8, 8), pool), b(torch::nn::Linear(width, width), pool);
    net->first = net->register_module("0", other_first ? b : a);
    net->second = net->register_module("1", other_first ? a : b);
    const ModelSummary summary = model_summary(net, torch::zeros({2, 1, other_first ? 16 : 8}));
    EXPECT_EQ(output_of(summary, "1"), kUnknown) << "the second's pooling is in the first in the tree";
    EXPECT_EQ(output_of(summary, "0"), (Sizes{2, 1, other_first ? 8 : 4}));
    EXPECT_EQ(input_of(summary, "1"), (Sizes{2, 1, other_first ? 8 : 4}));
  }
}

struct TiedImpl : torch::nn::Module {
  explicit TiedImpl(bool bias) : a(torch::nn::LinearOptions(8, 8).bias(bias)), b(torch::nn::LinearOptions(8, 8).bias(bias)) {
    b->weight.set_data(a->weight.detach());
    register_module("a", a);
    register_module("b", b);
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return a->bias.defined() ? a(b(b(x.slice(0, 0, 2)))) : b(a(x));  // a bias tells whose the weight is, whatever the order
  }
  torch::nn::Linear a, b;
};

TEST(ModelSummary, TiedLayersOfOneKindHaveTheirOwnCalls) {
  auto net = std::make_shared<TiedImpl>(false);
  ModelSummary summary = model_summary(net, torch::zeros({2, 8}));
  EXPECT_EQ(summary_at(summary, "a").macs, 2 * 64U);
  EXPECT_EQ(summary_at(summary, "b").macs, 2 * 64U);
  EXPECT_EQ(output_of(summary, "b"), (Sizes{2, 8}));
  net = std::make_shared<TiedImpl>(true);
  summary = model_summary(net, torch::zeros({2, 8}));
  EXPECT_EQ(summary_at(summary, "a").calls, 1U);
  EXPECT_EQ(summary_at(summary, "b").calls, 2U);
}

TEST(ModelSummary, WhatFollowsASequentialThatIsDoneIsNotItsOwn) {
  struct ResidualImpl : torch::nn::Module {
    torch::Tensor forward(const torch::Tensor& x) { return torch::relu(x + body->forward(x)); }
    torch::nn::Sequential body = register_module("body", torch::nn::Sequential(torch::nn::Linear(4, 4), torch::nn::ReLU()));
  };
  auto net = std::make_shared<ResidualImpl>();
  const ModelSummary summary = model_summary(net, torch::zeros({2, 4}));
  EXPECT_EQ(summary_at(summary, "body.1").calls, 1U);
}

TEST(ModelSummary, PaddingsAreKnownByTheirKind) {
  torch::nn::Sequential net(torch::nn::ZeroPad2d(1), torch::nn::Conv2d(1, 1, 3), torch::nn::ReflectionPad2d(2));
  const ModelSummary summary = model_summary(net, torch::zeros({1, 1, 4, 4}));
  EXPECT_EQ(output_of(summary, "0"), (Sizes{1, 1, 6, 6}));
  EXPECT_EQ(output_of(summary, "2"), (Sizes{1, 1, 8, 8}));
}

TEST(ModelSummary, AnEmbeddingThatIsRenormedIsCalledOnce) {
  torch::nn::Sequential net(torch::nn::Embedding(torch::nn::EmbeddingOptions(5, 3).max_norm(1.0)), torch::nn::Linear(3, 2));
  const ModelSummary summary = model_summary(net, torch::zeros({2, 7}, torch::kLong));
  EXPECT_EQ(summary_at(summary, "0").calls, 1U);
  EXPECT_EQ(output_of(summary, "0"), (Sizes{2, 7, 3}));
}

TEST(ModelSummary, ModesAreRestoredWhenAModuleRefusesEvaluation) {
  struct RefusingImpl : torch::nn::Module {
    void train(bool on) override {
      torch::nn::Module::train(on);
      if (!on) throw std::runtime_error("no");
    }
  };
  struct NetImpl : torch::nn::Module {
    torch::Tensor forward(const torch::Tensor& x) { return x; }
    torch::nn::Dropout dropout = register_module("dropout", torch::nn::Dropout());
    std::shared_ptr<RefusingImpl> refusing = register_module("refusing", std::make_shared<RefusingImpl>());
  };
  const auto net = std::make_shared<NetImpl>();
  EXPECT_THROW(model_summary(net, torch::zeros({1})), std::runtime_error);
  EXPECT_TRUE(net->is_training());
  EXPECT_TRUE(net->dropout->is_training());
  EXPECT_TRUE(net->refusing->is_training());
}

TEST(ModelSummary, LeavesTheModelAsItIsWhenItCannotRun) {
  torch::nn::Sequential net(torch::nn::Linear(4, 4), torch::nn::BatchNorm1d(4), torch::nn::Dropout(0.5));
  net->ptr(2)->eval();
  EXPECT_THROW(model_summary(net, torch::zeros({2, 5})), std::exception);
  EXPECT_TRUE(net->is_training());
  EXPECT_FALSE(net->ptr(2)->is_training());
  for (int i = 0; i < 20; ++i) model_summary(net, torch::zeros({1, 4}));  // each gives its observer back
  EXPECT_EQ(net->ptr(1)->as<torch::nn::BatchNorm1d>()->num_batches_tracked.item<std::int64_t>(), 0);
  EXPECT_EQ(output_of(model_summary(net, torch::zeros({1, 4})), "2"), (Sizes{1, 4}));
}

TEST(ModelSummary, TorchScriptTellsWhoIsCalled) {
  torch::jit::Module conv("__torch__.torch.nn.modules.conv.Conv2d"), block("Block"), root("Net");
  conv.register_parameter("weight", torch::zeros({4, 1, 3, 3}), false);
  conv.register_attribute("training", c10::BoolType::get(), true);
  conv.define("def forward(self, x):\n  return torch.conv2d(x, self.weight, None, [1, 1], [1, 1])\n");
  block.register_module("conv", conv);
  block.define("def forward(self, x):\n  return torch.max_pool2d(torch.relu(self.conv.forward(x)), [2, 2])\n");
  root.register_module("block", block);
  root.register_parameter("head", torch::zeros({64, 2}), false);
  root.define("def forward(self, x):\n  y = self.block.forward(x).flatten(1)\n  return y @ self.head, y\n");
  const ModelSummary summary = model_summary(root, {torch::zeros({3, 1, 8, 8})});
  EXPECT_EQ(output_of(summary, "block.conv"), (Sizes{3, 4, 8, 8}));
  EXPECT_EQ(summary_at(summary, "block.conv").kernel, (Sizes{3, 3}));
  EXPECT_EQ(input_of(summary, "block"), (Sizes{3, 1, 8, 8}));
  EXPECT_EQ(output_of(summary, "block"), (Sizes{3, 4, 4, 4}));
  EXPECT_EQ(summary_at(summary, "block").macs, 3 * 36 * 64U);
  EXPECT_EQ(summary_at(summary, "").own_macs, 3 * 64 * 2U);
  EXPECT_EQ(output_of(summary, ""), (Sizes{3, 2}));
  EXPECT_EQ(summary_at(summary, "block.conv").activation_bytes, 3 * 4 * 64 * 4U);
  EXPECT_TRUE(conv.attr("training").toBool());
}

torch::jit::Module script_net(const std::string& forward) {
  torch::jit::Module net("Net");
  net.define("def forward(self, x):\n" + forward);
  return net;
}

TEST(ModelSummary, SumsInTorchScriptHideNothingOfTheirSecondTerm) {
  torch::jit::Module linear("Net"), pooled = script_net("  return torch.mean(x) + torch.max_pool2d(x, [2, 2])\n");
  linear.register_parameter("w", torch::zeros({4, 5}), false);
  linear.register_parameter("b", torch::zeros({5}), false);
  linear.define("def forward(self, x):\n  return self.b + torch.mm(x, self.w)\n");
  EXPECT_EQ(model_summary(linear, {torch::zeros({3, 4})}).macs, 3 * 4 * 5U);
  torch::jit::Module residual("Net");
  residual.register_parameter("w", torch::zeros({4, 4, 3, 3}), false);
  residual.define(
      "def forward(self, x):\n  return x + torch._convolution(x, self.w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, False, False, "
      "False, False)\n");
  EXPECT_EQ(model_summary(residual, {torch::zeros({1, 4, 4, 4})}).macs, 4 * 4 * 9 * 16U);
  EXPECT_EQ(summary_at(model_summary(pooled, {torch::zeros({1, 1, 4, 4})}), "").kernel, (Sizes{2, 2}));
}

torch::jit::Module script_layer() {
  torch::jit::Module layer("Layer");
  layer.register_parameter("w", torch::zeros({4, 5}), false);
  layer.register_attribute("training", c10::BoolType::get(), true);
  layer.register_attribute("stat", c10::TensorType::get(), torch::zeros({2}));
  layer.define(
      "def forward(self, x):\n  y = torch.relu(x @ self.w)\n  if self.training:\n    y = y * 0\n  self.stat = y.mean()\n  return y\n");
  return layer;
}

TEST(ModelSummary, OfTorchScriptHasWhatModulesGiveAndNotWhatTheyComputeLast) {
  const torch::jit::Module layer = script_layer();
  torch::jit::Module net("Net");
  net.register_module("layer", layer);
  net.register_parameter("head", torch::zeros({5, 2}), false);
  net.define("def forward(self, x):\n  return self.layer.forward(x) @ self.head\n");
  const ModelSummary summary = model_summary(net, {torch::zeros({3, 4})});
  EXPECT_EQ(output_of(summary, "layer"), (Sizes{3, 5}));
  EXPECT_EQ(summary_at(summary, "layer").activation_bytes, 3 * 5 * 4U);
  EXPECT_EQ(summary.activation_bytes, (3 * 5 + 3 * 2) * 4U) << "the root's own parameter, too";
  EXPECT_EQ(layer.attr("stat").toTensor().dim(), 1) << "the module's own are as they were";
  torch::jit::Module wrapper("Net");
  wrapper.register_module("layer", layer);
  wrapper.define("def forward(self, x):\n  return self.layer.forward(x)\n");
  EXPECT_EQ(output_of(model_summary(wrapper, {torch::zeros({3, 4})}), "layer"), (Sizes{3, 5})) << "that of the pass";
}

TEST(ModelSummary, OfTorchScriptThatHasRunOptimisedIsTheSame) {
  torch::jit::Module layer = script_layer(), net("Net");
  net.register_module("first", layer);
  net.register_module("again", layer);
  net.define("def forward(self, x):\n  return self.again.forward(self.first.forward(x)[:, :4])\n");
  const ModelSummary before = model_summary(net, {torch::zeros({3, 4})});
  EXPECT_EQ(summary_at(before, "first").calls, 2U) << "one module in two places";
  for (int i = 0; i < 3; ++i) net.forward({torch::zeros({3, 4})});
  const ModelSummary summary = model_summary(net, {torch::zeros({3, 4})});
  EXPECT_EQ(summary_at(summary, "first").calls, 2U);
  EXPECT_EQ(summary_at(summary, "first").macs, 2 * 3 * 4 * 5U);
  EXPECT_EQ(summary_text(summary, {}), summary_text(before, {}));
}

TEST(ModelSummary, TorchScriptThatThrowsIsLeftAsItWas) {
  for (const bool is_optimised : {true, false}) {
    const torch::jit::GraphOptimizerEnabledGuard guard(is_optimised);
    torch::jit::Module layer = script_layer();
    EXPECT_THROW(model_summary(layer, {torch::zeros({3, 5})}), std::exception);
    EXPECT_EQ(torch::jit::getGraphExecutorOptimize(), is_optimised);
    EXPECT_TRUE(layer.attr("training").toBool());
  }
}

TEST(ModelSummary, AModeThatIsAConstantIsNotSet) {
  torch::jit::Module net("Net"), layer = script_layer();
  net.register_module("layer", layer);
  net.type()->addConstant("training", true);
  net.define("def forward(self, x):\n  return self.layer.forward(x)\n");
  EXPECT_EQ(model_summary(net, {torch::zeros({3, 4})}).macs, 3 * 4 * 5U);
  EXPECT_TRUE(layer.attr("training").toBool());
}

TEST(ModelSummary, TextHasTheWantedDepthAndTheTotals) {
  test::LeNet5 net;
  const std::string text = summary_text(model_summary(net, torch::zeros({1, 1, 32, 32})), {}, {1});
  EXPECT_EQ(text,
            "module      type        input           output         kernel  parameters     share     MACs  activations\n"
            "(all)       LeNet5      [1, 1, 32, 32]  [1, 10]        -           61,706  100.00 %  416,520     25.5 KiB\n"
            "features    Sequential  [1, 1, 32, 32]  [1, 16, 5, 5]  -            2,572    4.17 %  357,600     24.6 KiB\n"
            "classifier  Sequential  [1, 400]        [1, 10]        -           59,134   95.83 %   58,920    856 bytes\n"
            "\n"
            "Parameters                           61,706\n"
            "  trainable                          61,706\n"
            "  frozen                                  0\n"
            "Multiply-accumulates                416,520\n"
            "Bytes of parameters                 246,824\n"
            "Bytes of inputs                       4,096\n"
            "Bytes of forward and backward pass   52,144\n"
            "Bytes in total, estimated           303,064\n");
  const std::string narrow = summary_text(model_summary(net, torch::zeros({1, 1, 32, 32})), {false, false, 60, 0}, {1});
  EXPECT_EQ(narrow.find("kernel"), std::string::npos);
  EXPECT_NE(narrow.find("416,520"), std::string::npos);
  EXPECT_NE(summary_text(model_summary(*net), {}).find("The parameters alone: no forward pass was run."), std::string::npos);
}

TEST(ModelSummary, JsonHasAllModulesAndNullForWhatIsNotKnown) {
  PoolingNet net;
  const auto json = nlohmann::json::parse(summary_json(model_summary(net, torch::zeros({1, 1, 8, 8}))));
  EXPECT_EQ(json["modules"].size(), 5U);
  EXPECT_EQ(json["modules"][1]["path"], "stem");
  EXPECT_EQ(json["modules"][1]["output"], (Sizes{1, 4, 8, 8}));
  EXPECT_EQ(json["modules"][1]["kernel"], (Sizes{3, 3}));
  EXPECT_EQ(json["modules"][1]["with_children"]["parameters"], 40);
  EXPECT_EQ(json["modules"][2]["path"], "block");
  EXPECT_TRUE(json["modules"][2]["output"].is_null());
  EXPECT_EQ(json["total"]["macs"], 36 * 64 + 4 * 36 * 64 + 128);
  EXPECT_EQ(json["total"]["lost_operators"], 0);
  EXPECT_TRUE(nlohmann::json::parse(summary_json(model_summary(*net)))["total"]["macs"].is_null());
}

}  // namespace
}  // namespace vigil
