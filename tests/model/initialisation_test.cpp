// First values: against torch::nn::init where it has the scheme, else against the definition of the distribution.
#include "vigil/model/initialisation.h"

#include <torch/csrc/jit/serialization/import.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "vigil/config/config_reader.h"

namespace vigil {
namespace {

namespace init = torch::nn::init;
using Scheme = InitialisationScheme;

InitialisationRule rule_of(Scheme scheme, const std::string& parameter = "weight") {
  InitialisationRule rule;
  rule.scheme = scheme;
  rule.parameter = parameter;
  return rule;
}

InitialisationPolicy policy_of(std::vector<InitialisationRule> rules, std::uint64_t seed = 7) {
  InitialisationPolicy policy;
  policy.seed = seed;
  policy.rules = std::move(rules);
  return policy;
}

const InitialisedTensor& told_of(const InitialisationReport& report, const std::string& path) {
  for (const InitialisedTensor& tensor : report.tensors) {
    if (tensor.path == path) return tensor;
  }
  throw std::runtime_error("not in the report: " + path);
}

// With a seed and, from the same state, libtorch's function: bit by bit.
void expect_as_libtorch(torch::nn::Module& module, const torch::Tensor& weight, InitialisationRule rule,
                        const std::function<void(torch::Tensor)>& reference) {
  initialise(module, policy_of({std::move(rule)}, 11));
  torch::Tensor expected = torch::empty_like(weight);
  torch::manual_seed(11);
  reference(expected);
  EXPECT_TRUE(torch::equal(weight, expected)) << module.name();
}

TEST(Initialisation, DrawsTheVeryNumbersOfLibtorch) {
  torch::nn::Linear linear(48, 30);
  torch::nn::Conv2d convolution(torch::nn::Conv2dOptions(6, 10, 3));
  const auto with_both = [&](const InitialisationRule& rule, const std::function<void(torch::Tensor)>& reference) {
    expect_as_libtorch(*linear, linear->weight, rule, reference);
    expect_as_libtorch(*convolution, convolution->weight, rule, reference);
  };
  InitialisationRule rule = rule_of(Scheme::xavier_normal);
  rule.gain = 1;
  with_both(rule, [](torch::Tensor t) { init::xavier_normal_(t); });
  rule.scheme = Scheme::xavier_uniform;
  rule.gain = 1.5;
  with_both(rule, [](torch::Tensor t) { init::xavier_uniform_(t, 1.5); });
  rule = rule_of(Scheme::orthogonal);
  rule.gain = 2;
  with_both(rule, [](torch::Tensor t) { init::orthogonal_(t, 2); });
  for (const bool out : {false, true}) {
    const init::FanModeType mode = out ? init::FanModeType(torch::kFanOut) : init::FanModeType(torch::kFanIn);
    rule = rule_of(Scheme::kaiming_normal);
    rule.fan = out ? FanMode::out : FanMode::in;
    rule.activation = Activation::relu;
    with_both(rule, [&](torch::Tensor t) { init::kaiming_normal_(t, 0, mode, torch::kReLU); });
    rule.scheme = Scheme::kaiming_uniform;
    rule.activation = Activation::leaky_relu;
    rule.slope = 0.2;
    with_both(rule, [&](torch::Tensor t) { init::kaiming_uniform_(t, 0.2, mode, torch::kLeakyReLU); });
    rule.slope.reset();
    rule.activation = Activation::tanh;
    with_both(rule, [&](torch::Tensor t) { init::kaiming_uniform_(t, 0, mode, torch::kTanh); });
  }
  rule = rule_of(Scheme::normal);
  rule.mean = 0.5;
  rule.std = 0.02;
  with_both(rule, [](torch::Tensor t) { init::normal_(t, 0.5, 0.02); });
  rule = rule_of(Scheme::uniform);
  rule.lower = -0.3;
  rule.upper = 0.1;
  with_both(rule, [](torch::Tensor t) { init::uniform_(t, -0.3, 0.1); });
  rule = rule_of(Scheme::sparse);
  rule.sparsity = 0.25;
  rule.std = 0.1;
  expect_as_libtorch(*linear, linear->weight, rule, [](torch::Tensor t) { init::sparse_(t, 0.25, 0.1); });
  expect_as_libtorch(*linear, linear->weight, rule_of(Scheme::identity), [](torch::Tensor t) { init::eye_(t); });
  expect_as_libtorch(*convolution, convolution->weight, rule_of(Scheme::identity), [](torch::Tensor t) { init::dirac_(t); });
}

TEST(Initialisation, DrawsFromLibtorchsGeneratorWithoutASeed) {
  torch::nn::Linear linear(20, 20);
  InitialisationPolicy policy = policy_of({rule_of(Scheme::xavier_normal)});
  policy.rules[0].gain = 1;
  policy.seed.reset();
  torch::manual_seed(3);
  initialise(*linear, policy);
  const torch::Tensor next = torch::rand({4});
  torch::Tensor expected = torch::empty({20, 20});
  torch::manual_seed(3);
  init::xavier_normal_(expected);
  EXPECT_TRUE(torch::equal(linear->weight, expected));
  EXPECT_TRUE(torch::equal(next, torch::rand({4})));

  torch::manual_seed(3);
  policy.seed = 5;
  initialise(*linear, policy);
  torch::Tensor untouched = torch::rand({4});
  torch::manual_seed(3);
  EXPECT_TRUE(torch::equal(untouched, torch::rand({4}))) << "a seed has a generator of its own";
}

template <class Module>
void expect_reset(Module module) {
  initialise(*module, policy_of(initialisation_preset("torch").rules, 21));
  std::map<std::string, torch::Tensor> ours;
  for (const auto& item : module->named_parameters()) ours[item.key()] = item.value().detach().clone();
  torch::manual_seed(21);
  module->reset_parameters();
  for (const auto& item : module->named_parameters()) {
    EXPECT_TRUE(torch::equal(ours[item.key()], item.value())) << module->name() << " " << item.key();
  }
}

TEST(Initialisation, PresetTorchIsWhatLibtorchsModulesBeginWith) {
  expect_reset(torch::nn::Linear(40, 12));
  expect_reset(torch::nn::Conv1d(torch::nn::Conv1dOptions(4, 6, 3).groups(2)));
  expect_reset(torch::nn::Conv2d(torch::nn::Conv2dOptions(4, 6, 3)));
  expect_reset(torch::nn::Conv3d(torch::nn::Conv3dOptions(2, 3, 2).bias(false)));
  expect_reset(torch::nn::ConvTranspose2d(torch::nn::ConvTranspose2dOptions(4, 6, 3)));
  expect_reset(torch::nn::Bilinear(torch::nn::BilinearOptions(5, 7, 6)));
  expect_reset(torch::nn::BatchNorm2d(8));
  expect_reset(torch::nn::LayerNorm(torch::nn::LayerNormOptions({8})));
  expect_reset(torch::nn::LSTM(torch::nn::LSTMOptions(6, 5).num_layers(2).bidirectional(true)));
  expect_reset(torch::nn::GRU(torch::nn::GRUOptions(6, 5)));
  expect_reset(torch::nn::LSTMCell(6, 5));
  torch::nn::Embedding table(torch::nn::EmbeddingOptions(30, 8).padding_idx(3));
  expect_reset(table);
  EXPECT_EQ(table->weight[3].abs().max().item<float>(), 0);
}

// Mean and standard deviation of n values, each within 5 standard errors: missed by chance with a probability below 1e-6.
void expect_moments(const torch::Tensor& tensor, double mean, double std, double kurtosis) {
  const torch::Tensor values = tensor.detach().to(torch::kDouble).flatten();
  const auto n = static_cast<double>(values.numel());
  EXPECT_NEAR(values.mean().item<double>(), mean, 5 * std / std::sqrt(n));
  EXPECT_NEAR(values.std(/*unbiased=*/false).item<double>() / std, 1, 5 * std::sqrt((kurtosis - 1) / (4 * n)));
}

TEST(Initialisation, CountsTheFansOfEachKindOfLayer) {
  struct Case {
    std::shared_ptr<torch::nn::Module> module;
    std::string parameter;
    std::int64_t in, out;
  };
  using namespace torch::nn;
  const std::vector<Case> cases{
      {Linear(7, 5).ptr(), "weight", 7, 5},
      {Bilinear(BilinearOptions(3, 4, 5)).ptr(), "weight", 12, 5},
      {Conv1d(Conv1dOptions(6, 8, 3)).ptr(), "weight", 18, 24},
      {Conv2d(Conv2dOptions(6, 8, {3, 5})).ptr(), "weight", 90, 120},
      {Conv3d(Conv3dOptions(2, 4, 2)).ptr(), "weight", 16, 32},
      {Conv2d(Conv2dOptions(6, 12, 3).groups(3)).ptr(), "weight", 18, 36},
      {Conv2d(Conv2dOptions(8, 8, 3).groups(8)).ptr(), "weight", 9, 9},
      {ConvTranspose2d(ConvTranspose2dOptions(6, 8, 3)).ptr(), "weight", 54, 72},
      {ConvTranspose1d(ConvTranspose1dOptions(6, 9, 2).groups(3)).ptr(), "weight", 4, 6},
      {Embedding(50, 16).ptr(), "weight", 1, 16},
      {LSTM(LSTMOptions(7, 5)).ptr(), "weight_ih_l0", 7, 5},
      {LSTM(LSTMOptions(7, 5)).ptr(), "weight_hh_l0", 5, 5},
      {LSTM(LSTMOptions(7, 5).proj_size(3)).ptr(), "weight_hh_l0", 3, 5},
      {LSTM(LSTMOptions(7, 5).proj_size(3)).ptr(), "weight_hr_l0", 5, 3},
      {GRU(GRUOptions(7, 5)).ptr(), "weight_ih_l0", 7, 5},
      {GRUCell(7, 5).ptr(), "weight_hh", 5, 5},
      {MultiheadAttention(MultiheadAttentionOptions(12, 3)).ptr(), "in_proj_weight", 12, 12},
  };
  for (const Case& one : cases) {
    InitialisationRule rule = rule_of(Scheme::xavier_normal, one.parameter);
    rule.gain = 1;
    const InitialisationReport report = initialise(*one.module, policy_of({rule}));
    const InitialisedTensor& told = told_of(report, one.parameter);
    ASSERT_TRUE(told.fans) << one.module->name();
    EXPECT_EQ(told.fans->in, one.in) << one.module->name() << " " << one.parameter;
    EXPECT_EQ(told.fans->out, one.out) << one.module->name() << " " << one.parameter;
    EXPECT_DOUBLE_EQ(told.std, std::sqrt(2.0 / static_cast<double>(one.in + one.out)));
    EXPECT_EQ(report.unmatched.size() + 1, one.module->parameters().size()) << one.module->name();
  }
}

TEST(Initialisation, HasTheMomentsOfItsScheme) {
  torch::nn::Linear linear(400, 500);
  for (const auto activation : {Activation::linear, Activation::relu, Activation::tanh, Activation::sigmoid, Activation::selu}) {
    const std::map<Activation, double> gains{{Activation::linear, 1},
                                             {Activation::relu, std::sqrt(2)},
                                             {Activation::tanh, 5.0 / 3},
                                             {Activation::sigmoid, 1},
                                             {Activation::selu, 0.75}};
    InitialisationRule rule = rule_of(Scheme::kaiming_normal);
    rule.activation = activation;
    initialise(*linear, policy_of({rule}));
    expect_moments(linear->weight, 0, gains.at(activation) / std::sqrt(400), 3);
    rule.scheme = Scheme::xavier_uniform;
    initialise(*linear, policy_of({rule}));
    expect_moments(linear->weight, 0, gains.at(activation) * std::sqrt(2.0 / 900), 1.8);
  }
}

// Kolmogorov-Smirnov: P(sup |F_n - F| > 2.7/sqrt(n)) < 2 exp(-2 * 2.7^2) = 1e-6 (Massart 1990).
void expect_distribution(const torch::Tensor& tensor, const std::function<double(double)>& cumulative) {
  const torch::Tensor sorted = std::get<0>(tensor.detach().to(torch::kDouble).flatten().sort()).contiguous();
  const auto n = static_cast<double>(sorted.numel());
  double largest = 0;
  for (std::int64_t i = 0; i < sorted.numel(); ++i) {
    const double there = cumulative(sorted.data_ptr<double>()[i]);
    largest = std::max({largest, there - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - there});
  }
  EXPECT_LT(largest, 2.7 / std::sqrt(n));
}

TEST(Initialisation, TruncatesANormalDistributionExactly) {
  struct Case {
    double mean, std, lower, upper;
  };
  for (const Case& one : std::vector<Case>{{0, 1, -2, 2}, {0.1, 0.02, 0.09, 0.2}, {0, 1, 1.5, 3}, {-3, 0.5, -10, -3}}) {
    torch::nn::Linear linear(400, 300);
    InitialisationRule rule = rule_of(Scheme::truncated_normal);
    rule.mean = one.mean;
    rule.std = one.std;
    rule.lower = one.lower;
    rule.upper = one.upper;
    const InitialisationReport report = initialise(*linear, policy_of({rule}));
    EXPECT_GE(linear->weight.min().item<double>(), static_cast<float>(one.lower));
    EXPECT_LE(linear->weight.max().item<double>(), static_cast<float>(one.upper));
    // The moments by integration, with Simpson's rule.
    const int steps = 20000;
    const double from = std::max(one.lower, one.mean - 12 * one.std), to = std::min(one.upper, one.mean + 12 * one.std);
    double mass = 0, first = 0, second = 0;
    for (int i = 0; i <= steps; ++i) {
      const double x = from + (to - from) * i / steps, z = (x - one.mean) / one.std;
      const double weight = (i == 0 || i == steps ? 1 : i % 2 == 1 ? 4 : 2) * std::exp(-z * z / 2);
      mass += weight;
      first += weight * x;
      second += weight * x * x;
    }
    const double mean = first / mass, std = std::sqrt(second / mass - mean * mean);
    const InitialisedTensor told = told_of(report, "weight");
    EXPECT_NEAR(told.mean, mean, 1e-6 * std::max(1.0, std::abs(mean)));
    EXPECT_NEAR(told.std / std, 1, 1e-6);
    expect_moments(linear->weight, mean, std, 3);
    const auto phi = [&](double x) { return std::erf((x - one.mean) / one.std / std::sqrt(2.0)); };
    expect_distribution(linear->weight, [&](double x) {
      return (phi(std::clamp(x, one.lower, one.upper)) - phi(one.lower)) / (phi(one.upper) - phi(one.lower));
    });
  }
}

void expect_orthogonal(const torch::Tensor& matrix, double gain) {
  const torch::Tensor m = matrix.detach().flatten(1).to(torch::kDouble);
  const torch::Tensor product = m.size(0) <= m.size(1) ? m.mm(m.t()) : m.t().mm(m);
  EXPECT_LT((product - gain * gain * torch::eye(product.size(0), torch::kDouble)).abs().max().item<double>(), 1e-5);
}

TEST(Initialisation, MakesMatricesOrthogonal) {
  for (const auto& [out, in] : {std::pair(40, 40), std::pair(20, 60), std::pair(60, 20)}) {
    torch::nn::Linear linear(in, out);
    InitialisationRule rule = rule_of(Scheme::orthogonal);
    rule.gain = 1;
    const InitialisationReport report = initialise(*linear, policy_of({rule}));
    expect_orthogonal(linear->weight, 1);
    EXPECT_NEAR(linear->weight.square().mean().sqrt().item<double>() / told_of(report, "weight").std, 1, 1e-5);
  }
  torch::nn::LSTM lstm(torch::nn::LSTMOptions(6, 8));
  InitialisationRule rule = rule_of(Scheme::orthogonal, "weight_hh*");
  rule.gain = 1;
  initialise(*lstm, policy_of({rule}));
  for (const torch::Tensor& gate : lstm->named_parameters()["weight_hh_l0"].chunk(4)) expect_orthogonal(gate, 1);
}

TEST(Initialisation, OpensTheForgetGateOfAnLstm) {
  torch::nn::LSTM lstm(torch::nn::LSTMOptions(6, 8).num_layers(2));
  initialise(*lstm, policy_of(initialisation_preset("default").rules));
  auto parameters = lstm->named_parameters();
  for (const char* layer : {"l0", "l1"}) {
    const torch::Tensor sum = parameters[std::string("bias_ih_") + layer] + parameters[std::string("bias_hh_") + layer];
    const auto gates = sum.detach().chunk(4);  // input, forget, cell, output
    EXPECT_TRUE(torch::equal(gates[1], torch::ones(8)));
    for (const int i : {0, 2, 3}) EXPECT_TRUE(torch::equal(gates[static_cast<std::size_t>(i)], torch::zeros(8)));
  }
}

struct TiedNetImpl : torch::nn::Module {
  TiedNetImpl() {
    frozen->weight.set_requires_grad(false);
    register_parameter("tied", table->weight);
    decoder->bias.mutable_grad() = torch::full({10}, 2.0F);
    register_buffer("mask", torch::ones({3}));
    register_parameter("count", torch::zeros({2}, torch::kLong), /*requires_grad=*/false);
  }
  torch::nn::Embedding table = register_module("table", torch::nn::Embedding(10, 6));
  torch::nn::Linear frozen = register_module("frozen", torch::nn::Linear(6, 6));
  torch::nn::Linear decoder = register_module("decoder", torch::nn::Linear(6, 10));
};
TORCH_MODULE(TiedNet);

TEST(Initialisation, LeavesAllButTheValues) {
  TiedNet net;
  const void* const memory = net->frozen->weight.data_ptr();
  InitialisationRule rule = rule_of(Scheme::constant, "*");
  rule.value = 3;
  const InitialisationReport report = initialise(*net, policy_of({rule}));
  EXPECT_EQ(net->frozen->weight.data_ptr(), memory);
  EXPECT_FALSE(net->frozen->weight.requires_grad());
  EXPECT_TRUE(net->decoder->weight.requires_grad());
  EXPECT_TRUE(net->decoder->weight.is_leaf());
  EXPECT_TRUE(net->table->weight.is_same(net->named_parameters(false)["tied"]));
  EXPECT_EQ(net->decoder->bias.grad().sum().item<float>(), 20);
  EXPECT_EQ(net->named_buffers()["mask"].sum().item<float>(), 3);
  EXPECT_EQ(net->frozen->weight.mean().item<float>(), 3);
  ASSERT_EQ(report.tensors.size(), 6u) << "the shared one counts once";
  EXPECT_EQ(told_of(report, "table.weight").other_paths, std::vector<std::string>{"tied"});
  EXPECT_EQ(told_of(report, "count").scheme, Scheme::keep);
  EXPECT_EQ(told_of(report, "count").kept_because, "its type is Long");
}

TEST(Initialisation, TakesTheFirstRuleThatMatchesAndNamesWhatNoneDoes) {
  TiedNet net;
  const torch::Tensor before = net->table->weight.detach().clone();
  InitialisationRule ones = rule_of(Scheme::ones);
  ones.name = "frozen.*";
  InitialisationRule never = rule_of(Scheme::zeros);
  never.name = "head.*";
  InitialisationRule zeros = rule_of(Scheme::zeros, "*");
  zeros.module = "Lin*";
  const InitialisationReport report = initialise(*net, policy_of({ones, never, zeros}));
  EXPECT_EQ(net->frozen->weight.min().item<float>(), 1);
  EXPECT_EQ(net->frozen->bias.abs().max().item<float>(), 0);
  EXPECT_TRUE(torch::equal(net->table->weight, before));
  EXPECT_EQ(report.unmatched, (std::vector<std::string>{"table.weight", "count"}));
  EXPECT_EQ(report.unused_rules, std::vector<std::string>{"rules[1]"});
  EXPECT_EQ(told_of(report, "frozen.weight").rule, "rules[0]");
  const std::string text = initialisation_text(report, {});
  EXPECT_NE(text.find("No rule matches these; they stayed as they were:\n  table.weight\n  count\n"), std::string::npos) << text;
}

TEST(Initialisation, ChangesNothingWhenARuleCannotBeApplied) {
  TiedNet net;
  const torch::Tensor before = net->frozen->weight.detach().clone();
  try {
    initialise(*net, policy_of({rule_of(Scheme::ones), rule_of(Scheme::orthogonal, "bias")}));
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(
        error.what(),
        "the policy cannot be applied, and nothing was changed:\n"
        "  frozen.bias (rules[1]): orthogonal needs at least 2 dimensions, it has 1 (give it a rule of its own before this one, such "
        "as zeros)\n"
        "  decoder.bias (rules[1]): orthogonal needs at least 2 dimensions, it has 1 (give it a rule of its own before this one, "
        "such as zeros)");
  }
  EXPECT_TRUE(torch::equal(net->frozen->weight, before));
  InitialisationRule forget = rule_of(Scheme::zeros, "bias");
  forget.forget_bias = 1;
  EXPECT_THROW(initialise(*net, policy_of({forget})), std::invalid_argument);
  EXPECT_THROW(initialise(*net, policy_of({rule_of(Scheme::normal)})), ConfigError) << "without std";
}

struct BlockImpl : torch::nn::Module {
  torch::nn::Linear c_fc = register_module("c_fc", torch::nn::Linear(64, 256));
  torch::nn::Linear c_proj = register_module("c_proj", torch::nn::Linear(256, 64));
  torch::nn::LayerNorm norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({64})));
};
TORCH_MODULE(Block);

TEST(Initialisation, PresetGpt2DividesTheResidualProjections) {
  torch::nn::ModuleList blocks;
  for (int i = 0; i < 4; ++i) blocks->push_back(Block());
  const InitialisationReport report = initialise(*blocks, policy_of(initialisation_preset("gpt2").rules));
  EXPECT_EQ(report.residual_tensors, 4);
  EXPECT_TRUE(report.unmatched.empty());
  EXPECT_DOUBLE_EQ(told_of(report, "2.c_proj.weight").std, 0.02 / 2);
  EXPECT_DOUBLE_EQ(told_of(report, "2.c_fc.weight").std, 0.02);
  EXPECT_DOUBLE_EQ(told_of(report, "2.norm.weight").mean, 1);
  auto parameters = blocks->named_parameters();
  expect_moments(parameters["3.c_proj.weight"], 0, 0.01, 3);
  expect_moments(parameters["3.c_fc.weight"], 0, 0.02, 3);
}

TEST(Initialisation, PresetDefaultKnowsEveryLayerOfATransformer) {
  torch::nn::TransformerEncoderLayer layer(torch::nn::TransformerEncoderLayerOptions(16, 4));
  const InitialisationReport report = initialise(*layer, policy_of(initialisation_preset("default").rules));
  EXPECT_TRUE(report.unmatched.empty());
  EXPECT_EQ(told_of(report, "self_attn.in_proj_weight").blocks, 3);
  EXPECT_EQ(told_of(report, "self_attn.out_proj.weight").scheme, Scheme::xavier_uniform);
  EXPECT_EQ(told_of(report, "linear1.weight").scheme, Scheme::kaiming_normal);
  EXPECT_EQ(told_of(report, "norm1.weight").scheme, Scheme::ones);
}

TEST(Initialisation, GivesTheSameValuesForTheSameSeed) {
  const auto parameters_of = [](std::uint64_t seed, torch::Dtype type) {
    torch::nn::Sequential net(torch::nn::Conv2d(1, 4, 3), torch::nn::Linear(8, 8));
    net->to(type);
    initialise(*net, policy_of(initialisation_preset("default").rules, seed));
    std::vector<torch::Tensor> all;
    for (const torch::Tensor& parameter : net->parameters()) all.push_back(parameter.detach().to(torch::kFloat).flatten());
    return torch::cat(all);
  };
  EXPECT_TRUE(torch::equal(parameters_of(4, torch::kFloat), parameters_of(4, torch::kFloat)));
  EXPECT_FALSE(torch::equal(parameters_of(4, torch::kFloat), parameters_of(5, torch::kFloat)));
  EXPECT_TRUE(torch::equal(parameters_of(4, torch::kBFloat16), parameters_of(4, torch::kFloat).to(torch::kBFloat16).to(torch::kFloat)));
}

TEST(Initialisation, OfAnArchiveGoesByNamesAndSizes) {
  torch::nn::Sequential net(torch::nn::Conv2d(3, 4, 3), torch::nn::BatchNorm2d(4), torch::nn::LSTM(torch::nn::LSTMOptions(6, 5)),
                            torch::nn::MultiheadAttention(torch::nn::MultiheadAttentionOptions(8, 2)));
  std::stringstream bytes;
  torch::save(net, bytes);
  const torch::jit::Module loaded = torch::jit::load(bytes);
  const std::vector<LayerParameter> seen = layer_parameters(loaded), own = layer_parameters(*net);
  std::map<std::string, const LayerParameter*> by_path;
  for (const LayerParameter& parameter : seen) by_path[parameter.path] = &parameter;
  ASSERT_EQ(seen.size(), own.size());
  for (const LayerParameter& parameter : own) {
    ASSERT_EQ(by_path.count(parameter.path), 1u) << parameter.path;
    const LayerParameter& guessed = *by_path[parameter.path];
    EXPECT_EQ(guessed.kind, parameter.kind) << parameter.path << " " << guessed.type;
    EXPECT_EQ(guessed.blocks, parameter.blocks) << parameter.path;
    EXPECT_EQ(guessed.hidden, parameter.hidden) << parameter.path;
  }
}

}  // namespace
}  // namespace vigil
