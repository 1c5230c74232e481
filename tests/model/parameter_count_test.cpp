#include "vigil/model/parameter_count.h"

#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/torch.h>

namespace vigil {
namespace {

// LeCun et al. 1998 as it is built today: full connections in the second convolution.
struct LeNet5Impl : torch::nn::Module {
  LeNet5Impl() {
    register_module("features", torch::nn::Sequential(torch::nn::Conv2d(1, 6, 5), torch::nn::ReLU(), torch::nn::MaxPool2d(2),
                                                      torch::nn::Conv2d(6, 16, 5), torch::nn::ReLU(), torch::nn::MaxPool2d(2)));
    register_module("classifier", torch::nn::Sequential(torch::nn::Linear(400, 120), torch::nn::ReLU(), torch::nn::Linear(120, 84),
                                                        torch::nn::ReLU(), torch::nn::Linear(84, 10)));
  }
};

const ModuleCount& module_at(const ParameterCount& count, const std::string& path) {
  for (const ModuleCount& module : count.modules) {
    if (module.path == path) return module;
  }
  throw std::out_of_range(path);
}

TEST(ParameterCount, LeNet5HasTheKnownNumberInEachLayerAndAbove) {
  LeNet5Impl net;
  const ParameterCount count = count_parameters(net);
  EXPECT_EQ(count.total.parameters(), 61706U);
  EXPECT_EQ(count.total.parameter_bytes, 61706U * 4);
  EXPECT_EQ(module_at(count, "features.0").own.parameters(), 6U * (25 + 1));
  EXPECT_EQ(module_at(count, "features.0").type, "Conv2d");
  EXPECT_EQ(module_at(count, "features.0").depth, 2);
  EXPECT_EQ(module_at(count, "features").total.parameters(), 156U + 16 * (6 * 25 + 1));
  EXPECT_EQ(module_at(count, "features").own.parameters(), 0U);
  EXPECT_EQ(module_at(count, "").type, "LeNet5");
  ASSERT_EQ(count.by_type.size(), 1U);
  EXPECT_EQ(count.by_type[0].type, "float32");
}

TEST(ParameterCount, TiedWeightsRepeatedModulesAndViewsCountOnce) {
  torch::nn::Module net("Net");
  const torch::nn::Embedding table(50, 8);
  const torch::nn::Linear twice(8, 8);
  struct Head : torch::nn::Module {
    explicit Head(const torch::Tensor& weight) { register_parameter("weight", weight); }
  };
  net.register_module("wte", table.ptr());
  net.register_module("head", std::make_shared<Head>(table->weight));
  net.register_module("a", twice.ptr());
  net.register_module("b", twice.ptr());
  net.register_module("view", std::make_shared<Head>(table->weight.detach().t()));
  net.register_buffer("half", table->weight.detach().slice(0, 0, 25));
  const ParameterCount count = count_parameters(net);
  EXPECT_EQ(count.total.parameters(), 50U * 8 + 8 * 8 + 8);
  EXPECT_EQ(count.total.buffers, 0U);
  EXPECT_EQ(module_at(count, "head").own.parameters(), 0U);
  EXPECT_EQ(module_at(count, "head").own.shared, 400U);
  EXPECT_EQ(module_at(count, "view").own.shared, 400U);
  EXPECT_EQ(module_at(count, "").own.shared, 200U);
  EXPECT_FALSE(module_at(count, "a").is_repeated);
  EXPECT_TRUE(module_at(count, "b").is_repeated);
}

TEST(ParameterCount, MemoryThatOverlapsCountsItsPartOnce) {
  const torch::Tensor memory = torch::zeros({10});
  torch::nn::Module net("Net");
  net.register_buffer("first", memory.slice(0, 0, 6));
  net.register_buffer("second", memory.slice(0, 4, 10));
  net.register_buffer("apart", torch::zeros({3}, torch::kLong));
  net.register_buffer("none", torch::zeros({0}));
  const ParameterCount count = count_parameters(net);
  EXPECT_EQ(count.total.buffers, 13U);
  EXPECT_EQ(count.total.shared, 2U);
  EXPECT_EQ(count.total.buffer_bytes, 10U * 4 + 3 * 8);
}

TEST(ParameterCount, FrozenAndTypesAreToldApart) {
  torch::nn::Sequential net(torch::nn::Linear(4, 3), torch::nn::BatchNorm1d(3));
  net->ptr(0)->to(torch::kHalf);
  for (torch::Tensor& parameter : net->ptr(0)->parameters()) parameter.requires_grad_(false);
  const ParameterCount count = count_parameters(*net);
  EXPECT_EQ(count.total.frozen, 15U);
  EXPECT_EQ(count.total.trainable, 6U);
  EXPECT_EQ(count.total.buffers, 3U + 3 + 1);  // running mean and variance, batches
  ASSERT_EQ(count.by_type.size(), 3U);
  EXPECT_EQ(count.by_type[0].type, "float16");
  EXPECT_EQ(count.by_type[0].count.parameter_bytes, 15U * 2);
  EXPECT_EQ(count.by_type[2].type, "int64");
  EXPECT_EQ(count.by_type[2].count.buffer_bytes, 8U);
}

TEST(ParameterCount, AModelWithoutAnythingIsARow) {
  const ParameterCount count = count_parameters(torch::nn::Module("Empty"));
  ASSERT_EQ(count.modules.size(), 1U);
  EXPECT_EQ(count.total.parameters() + count.total.buffers, 0U);
  EXPECT_NE(parameter_count_text(count, 3, {}).find("Empty"), std::string::npos);
}

TEST(ParameterCount, TorchScriptModulesCountAlike) {
  torch::jit::Module leaf("Leaf"), root("Net");
  const torch::Tensor weight = torch::zeros({4, 4}, torch::requires_grad());
  leaf.register_parameter("weight", weight, false);
  root.register_module("leaf", leaf);
  root.register_parameter("tied", weight, false);
  root.register_buffer("mask", torch::zeros({5}, torch::kBool));
  const ParameterCount count = count_parameters(root);
  EXPECT_EQ(count.total.trainable, 16U);
  EXPECT_EQ(count.total.shared, 16U);
  EXPECT_EQ(count.total.buffer_bytes, 5U);
  EXPECT_EQ(module_at(count, "leaf").type, "Leaf");
}

}  // namespace
}  // namespace vigil
