// The audit: what it says of networks whose fault is known, and that it leaves no trace.
#include "vigil/model/initialisation_audit.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "vigil/model/initialisation.h"

namespace vigil {
namespace {

// `depth` layers of `width`, the activation between them, a head of 10.
struct DeepNetImpl : torch::nn::Module {
  DeepNetImpl(int depth, int width, Activation activation) : activation_(activation) {
    for (int i = 0; i < depth; ++i) layers->push_back(torch::nn::Linear(width, width));
  }
  torch::Tensor forward(torch::Tensor x) {
    for (const auto& layer : *layers) {
      x = layer->as<torch::nn::Linear>()->forward(x);
      x = activation_ == Activation::tanh ? torch::tanh(x) : activation_ == Activation::relu ? torch::relu(x) : torch::sigmoid(x);
    }
    return head(x);
  }
  torch::nn::LinearImpl& layer(std::size_t i) { return *layers[i]->as<torch::nn::Linear>(); }
  torch::nn::ModuleList layers = register_module("layers", torch::nn::ModuleList());
  torch::nn::Linear head = register_module("head", torch::nn::Linear(64, 10));
  Activation activation_;
};
TORCH_MODULE(DeepNet);

DeepNet well_initialised(Activation activation, int depth = 10) {
  DeepNet net(depth, 64, activation);
  InitialisationPolicy policy = initialisation_preset("default", activation);
  policy.seed = 3;
  initialise(*net, policy);
  return net;
}

torch::Tensor batch_of(std::vector<std::int64_t> sizes) {
  torch::manual_seed(17);
  return torch::randn(sizes);
}

const LayerAudit& layer_called(const InitialisationAudit& audit, const std::string& path) {
  for (const LayerAudit& layer : audit.layers) {
    if (layer.path == path) return layer;
  }
  throw std::runtime_error("no layer " + path);
}

bool has(const LayerAudit& layer, AuditFinding finding) {
  return std::find(layer.findings.begin(), layer.findings.end(), finding) != layer.findings.end();
}

std::string advice_of(const InitialisationAudit& audit) {
  std::string all;
  for (const std::string& advice : audit.advice) all += advice + "\n";
  for (const LayerAudit& layer : audit.layers) {
    for (const std::string& advice : layer.advice) all += layer.path + ": " + advice + "\n";
  }
  return all;
}

TEST(InitialisationAudit, FindsNothingWrongWithGoodNetworks) {
  for (const Activation activation : {Activation::relu, Activation::tanh}) {
    DeepNet net = well_initialised(activation);
    const InitialisationAudit audit = audit_initialisation(net, batch_of({128, 64}));
    EXPECT_TRUE(audit.is_good()) << audit_text(audit, {});
    EXPECT_TRUE(audit.has_backward) << audit.backward_problem;
    ASSERT_EQ(audit.layers.size(), 11u);
    EXPECT_EQ(audit.layers[0].path, "layers.0");
    EXPECT_EQ(audit.layers[10].path, "head");
    EXPECT_EQ(audit.layers[0].signal->activation, activation == Activation::relu ? "relu" : "tanh");
    EXPECT_EQ(audit.layers[10].signal->activation, "");
    EXPECT_EQ(audit.layers[4].weights[0].nearest_scheme, activation == Activation::relu ? "kaiming, relu" : "xavier, tanh");
  }
}

TEST(InitialisationAudit, MeasuresWhatLibtorchComputes) {
  DeepNet net = well_initialised(Activation::relu, 3);
  const torch::Tensor x = batch_of({64, 64});
  const InitialisationAudit audit = audit_initialisation(net, x);
  // The same by hand, with the gradients of the layers' outputs.
  torch::Tensor h = x;
  std::vector<torch::Tensor> outputs;
  for (std::size_t i = 0; i < 3; ++i) {
    h = torch::nn::functional::linear(h, net->layer(i).weight, net->layer(i).bias);
    h.retain_grad();
    outputs.push_back(h);
    h = torch::relu(h);
  }
  net->forward(x).square().mean();
  torch::nn::functional::linear(h, net->head->weight, net->head->bias).square().mean().backward();
  for (std::size_t i = 0; i < 3; ++i) {
    const LayerAudit& layer = audit.layers[i];
    const auto figures = [](const torch::Tensor& t) { return t.detach().to(torch::kDouble); };
    EXPECT_NEAR(standard_deviation(layer.signal->output) / figures(outputs[i]).std(false).item<double>(), 1, 1e-6);
    EXPECT_NEAR(layer.signal->output.mean, figures(outputs[i]).mean().item<double>(), 1e-6);
    EXPECT_NEAR(standard_deviation(*layer.signal->gradient) / figures(outputs[i].grad()).std(false).item<double>(), 1, 1e-5);
    EXPECT_NEAR(standard_deviation(*layer.weights[0].gradient) / figures(net->layer(i).weight.grad()).std(false).item<double>(), 1, 1e-5);
    EXPECT_NEAR(standard_deviation(layer.weights[0].moments) / figures(net->layer(i).weight).std(false).item<double>(), 1, 1e-6);
    const auto dead = torch::relu(outputs[i]).amax(0).eq(0).sum().item<std::int64_t>();
    EXPECT_EQ(layer.signal->units, 64u);
    EXPECT_EQ(static_cast<std::int64_t>(layer.signal->dead_units), dead);
  }
}

TEST(InitialisationAudit, FindsWeightsThatAreTooSmallOrTooLarge) {
  DeepNet net = well_initialised(Activation::relu);
  const torch::NoGradGuard no_grad;
  net->layer(4).weight.mul_(0.02);
  net->layer(6).weight.mul_(30);
  const InitialisationAudit audit = audit_initialisation(net, batch_of({128, 64}));
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(has(audit.layers[i], AuditFinding::too_small), i == 4) << i;
    EXPECT_EQ(has(audit.layers[i], AuditFinding::too_large), i == 6) << i;
  }
  // kaiming: sqrt(2/64) = 0.17678.
  EXPECT_NE(advice_of(audit).find("use kaiming_normal (fan in, relu): std 0.1768 expected, 0.003"), std::string::npos) << advice_of(audit);
  EXPECT_NEAR(standard_deviation(audit.layers[4].weights[0].moments) / (0.02 * std::sqrt(2.0 / 64)), 1, 5 / std::sqrt(2.0 * 4096));
}

TEST(InitialisationAudit, SeesASignalVanishAndExplodeWithDepth) {
  DeepNet vanishing(20, 64, Activation::relu);  // libtorch's default: sqrt(1/3 / 2) = 0.41 a layer
  InitialisationPolicy policy = initialisation_preset("torch");
  policy.seed = 3;
  initialise(*vanishing, policy);
  for (const auto& layer : *vanishing->layers) torch::nn::init::zeros_(layer->as<torch::nn::Linear>()->bias);
  torch::nn::init::zeros_(vanishing->head->bias);
  InitialisationAudit audit = audit_initialisation(vanishing, batch_of({128, 64}));
  EXPECT_NEAR(audit.signal.factor, std::sqrt(1.0 / 6), 0.05);
  EXPECT_NEAR(audit.gradient.factor, std::sqrt(1.0 / 6), 0.05);
  EXPECT_NE(advice_of(audit).find("the signal vanishes with depth"), std::string::npos) << advice_of(audit);
  EXPECT_NE(advice_of(audit).find("the gradient vanishes on its way back"), std::string::npos) << advice_of(audit);

  DeepNet exploding = well_initialised(Activation::relu);
  for (const auto& layer : *exploding->layers) {
    const torch::NoGradGuard no_grad;
    layer->as<torch::nn::Linear>()->weight.mul_(1.7);  // still within what a scheme may have
  }
  audit = audit_initialisation(exploding, batch_of({128, 64}));
  EXPECT_NEAR(audit.signal.factor, 1.7, 0.15);
  EXPECT_NE(advice_of(audit).find("the signal explodes with depth"), std::string::npos) << advice_of(audit);
}

TEST(InitialisationAudit, FindsUnitsThatStayEqual) {
  DeepNet net = well_initialised(Activation::relu, 5);
  {
    const torch::NoGradGuard no_grad;
    net->layer(1).weight.fill_(0.1);
    net->layer(2).weight[7].copy_(net->layer(2).weight[5]);
    net->layer(3).weight.zero_();
  }
  const InitialisationAudit audit = audit_initialisation(net, batch_of({64, 64}));
  EXPECT_TRUE(has(audit.layers[1], AuditFinding::constant));
  EXPECT_TRUE(has(audit.layers[2], AuditFinding::symmetric));
  EXPECT_EQ(audit.layers[2].weights[0].equal_rows, 1);
  EXPECT_TRUE(has(audit.layers[3], AuditFinding::all_zero));
  EXPECT_TRUE(has(audit.layers[2], AuditFinding::no_gradient));
  EXPECT_FALSE(has(audit.layers[0], AuditFinding::symmetric));
  EXPECT_NE(advice_of(audit).find("layers.1: layers.1.weight is 0.1 everywhere, so all units of the layer stay equal"), std::string::npos)
      << advice_of(audit);
}

TEST(InitialisationAudit, NamesTheLayerWhoseUnitsAreDead) {
  DeepNet net = well_initialised(Activation::relu, 4);
  {
    const torch::NoGradGuard no_grad;
    net->layer(2).bias.fill_(-100);
  }
  const InitialisationAudit audit = audit_initialisation(net, batch_of({64, 64}));
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(has(audit.layers[i], AuditFinding::dead), i == 2) << i;
  EXPECT_EQ(audit.layers[2].signal->dead_units, 64u);
  EXPECT_TRUE(has(audit.layers[3], AuditFinding::constant_output)) << "what comes after is a consequence";
  EXPECT_NE(
      advice_of(audit).find("layers.2: 64 of 64 units (100 %) are 0 for the whole batch behind relu, and have no gradient: its bias is "
                            "-100 on average, set it to zeros"),
      std::string::npos)
      << advice_of(audit);
  EXPECT_NE(audit_text(audit, {}).find("Verdict: to do."), std::string::npos);
}

TEST(InitialisationAudit, FindsSaturatedActivations) {
  for (const Activation activation : {Activation::tanh, Activation::sigmoid}) {
    DeepNet net = well_initialised(activation, 3);
    {
      const torch::NoGradGuard no_grad;
      net->layer(1).bias.fill_(50);
    }
    const InitialisationAudit audit = audit_initialisation(net, batch_of({64, 64}));
    EXPECT_TRUE(has(audit.layers[1], AuditFinding::saturated));
    EXPECT_FALSE(has(audit.layers[0], AuditFinding::saturated));
    EXPECT_EQ(audit.layers[1].signal->saturated_values, 64u * 64u);
  }
}

TEST(InitialisationAudit, CountsNanAndInf) {
  DeepNet net = well_initialised(Activation::relu, 3);
  {
    const torch::NoGradGuard no_grad;
    net->layer(1).weight[0][0] = std::nanf("");
    net->layer(1).weight[0][1] = INFINITY;
  }
  const InitialisationAudit audit = audit_initialisation(net, batch_of({32, 64}));
  EXPECT_TRUE(has(audit.layers[1], AuditFinding::nonfinite_weights));
  EXPECT_TRUE(has(audit.layers[1], AuditFinding::nonfinite_output));
  EXPECT_TRUE(audit.layers[0].findings.empty());
  EXPECT_NE(advice_of(audit).find("layers.1.weight has 1 NaN and 1 Inf"), std::string::npos);
}

struct ImageNetImpl : torch::nn::Module {
  torch::Tensor forward(torch::Tensor x) {
    x = torch::max_pool2d(norm(conv1(x)).relu_(), 2);
    x = torch::relu(conv2(x));
    x = torch::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
    return torch::log_softmax(fc(torch::dropout(x, 0.5, is_training())), 1);
  }
  torch::nn::Conv2d conv1 = register_module("conv1", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 16, 3).bias(false)));
  torch::nn::BatchNorm2d norm = register_module("norm", torch::nn::BatchNorm2d(16));
  torch::nn::Conv2d conv2 = register_module("conv2", torch::nn::Conv2d(16, 32, 3));
  torch::nn::Linear fc = register_module("fc", torch::nn::Linear(32, 10));
  torch::nn::Linear spare = register_module("spare", torch::nn::Linear(4, 4));
};
TORCH_MODULE(ImageNet);

TEST(InitialisationAudit, LooksThroughNormalisationForWhatFollows) {
  ImageNet net;
  InitialisationPolicy policy = initialisation_preset("default");
  policy.seed = 1;
  initialise(*net, policy);
  const InitialisationAudit audit = audit_initialisation(net, batch_of({16, 3, 16, 16}));
  EXPECT_TRUE(audit.is_good()) << audit_text(audit, {});
  EXPECT_TRUE(audit.has_backward) << audit.backward_problem;
  EXPECT_EQ(layer_called(audit, "conv1").signal->activation, "relu");
  EXPECT_EQ(layer_called(audit, "norm").signal->activation, "relu");
  EXPECT_EQ(layer_called(audit, "norm").signal->units, 16u);
  EXPECT_EQ(layer_called(audit, "conv2").signal->units, 32u);
  EXPECT_EQ(layer_called(audit, "fc").signal->activation, "log_softmax");
  EXPECT_FALSE(layer_called(audit, "spare").signal);
  ASSERT_FALSE(audit.notes.empty());
  EXPECT_EQ(audit.notes[0], "spare was not reached by the forward pass, or under another name");
}

struct TextNetImpl : torch::nn::Module {
  torch::Tensor forward(torch::Tensor tokens) {
    torch::Tensor x = encoder(table(tokens));
    x = std::get<0>(lstm(x));
    return torch::matmul(x, table->weight.t());  // tied
  }
  torch::nn::Embedding table = register_module("table", torch::nn::Embedding(40, 32));
  torch::nn::TransformerEncoder encoder = register_module(
      "encoder", torch::nn::TransformerEncoder(torch::nn::TransformerEncoderOptions(torch::nn::TransformerEncoderLayerOptions(32, 4), 2)));
  torch::nn::LSTM lstm = register_module("lstm", torch::nn::LSTM(torch::nn::LSTMOptions(32, 32)));
};
TORCH_MODULE(TextNet);

TEST(InitialisationAudit, KnowsTransformersAndRecurrentLayers) {
  TextNet net;
  InitialisationPolicy policy = initialisation_preset("default");
  policy.seed = 1;
  initialise(*net, policy);
  torch::manual_seed(1);
  const InitialisationAudit audit = audit_initialisation(net, torch::randint(0, 40, {12, 8}, torch::kLong));
  EXPECT_TRUE(audit.is_good()) << audit_text(audit, {});
  EXPECT_TRUE(audit.has_backward) << audit.backward_problem;
  EXPECT_EQ(layer_called(audit, "encoder.layers.1.linear1").signal->activation, "relu");
  EXPECT_TRUE(layer_called(audit, "encoder.layers.0.self_attn").signal);
  EXPECT_TRUE(layer_called(audit, "lstm").signal);
  EXPECT_EQ(layer_called(audit, "table").signal->output.count, 12u * 8u * 32u) << "not the product of the tied head";
}

TEST(InitialisationAudit, LeavesNoTrace) {
  ImageNet net;
  net->train();
  net->fc->eval();
  net->fc->weight.mutable_grad() = torch::full({10, 32}, 0.5F);
  const torch::Tensor x = batch_of({16, 3, 16, 16});
  const auto state_of = [&] {
    std::vector<torch::Tensor> all;
    for (const torch::Tensor& parameter : net->parameters()) all.push_back(parameter.detach().clone());
    for (const torch::Tensor& buffer : net->buffers()) all.push_back(buffer.detach().clone());
    return all;
  };
  const std::vector<torch::Tensor> before = state_of();
  torch::manual_seed(5);
  const InitialisationAudit audit = audit_initialisation(net, x);
  const torch::Tensor drawn = torch::rand({8});
  torch::manual_seed(5);
  EXPECT_TRUE(torch::equal(drawn, torch::rand({8})));
  const std::vector<torch::Tensor> after = state_of();
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(torch::equal(before[i], after[i])) << i;
  EXPECT_TRUE(torch::equal(net->fc->weight.grad(), torch::full({10, 32}, 0.5F)));
  EXPECT_FALSE(net->conv1->weight.grad().defined());
  EXPECT_TRUE(net->is_training());
  EXPECT_FALSE(net->fc->is_training());

  // Also when the program's forward changes modes and throws.
  EXPECT_THROW(audit_initialisation(*net, std::function<torch::Tensor()>([&]() -> torch::Tensor {
                 net->eval();
                 net->train();
                 net->norm(net->conv1(x));
                 throw std::runtime_error("no");
               })),
               std::runtime_error);
  EXPECT_FALSE(net->fc->is_training());
  const std::vector<torch::Tensor> after_throw = state_of();
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(torch::equal(before[i], after_throw[i])) << i;
}

TEST(InitialisationAudit, SaysWhyThereWasNoBackwardPass) {
  DeepNet net = well_initialised(Activation::relu, 3);
  const torch::Tensor x = batch_of({16, 64});
  InitialisationAudit audit = audit_initialisation(*net, std::function<torch::Tensor()>([&] { return net->forward(x).detach(); }));
  EXPECT_FALSE(audit.has_backward);
  EXPECT_EQ(audit.backward_problem, "the forward pass gave nothing that has a gradient");
  AuditOptions options;
  options.loss = [](const torch::Tensor& output) { return output; };
  audit = audit_initialisation(net, x, options);
  EXPECT_EQ(audit.backward_problem, "the loss is not one number");
  options.loss = [](const torch::Tensor& output) { return output.sum(); };
  EXPECT_TRUE(audit_initialisation(net, x, options).has_backward);
  options.backward = false;
  audit = audit_initialisation(net, x, options);
  EXPECT_FALSE(audit.has_backward);
  EXPECT_EQ(audit.backward_problem, "");
}

TEST(InitialisationAudit, TellsTheVarianceRatioOfWeights) {
  DeepNet net = well_initialised(Activation::relu, 2);
  {
    const torch::NoGradGuard no_grad;
    net->layer(0).weight.copy_(torch::randn({64, 64}) * 0.1);
    net->layer(1).weight.copy_(net->layer(0).weight * 5);
    net->head->weight.copy_(net->layer(0).weight.narrow(0, 0, 10));
  }
  const InitialisationAudit audit = audit_initialisation(*net);
  EXPECT_FALSE(audit.has_forward);
  const auto variance = [](const torch::Tensor& t) { return t.detach().to(torch::kDouble).var(false).item<double>(); };
  const double largest = variance(net->layer(1).weight), smallest = std::min(variance(net->layer(0).weight), variance(net->head->weight));
  EXPECT_NEAR(audit.variance_ratio / (largest / smallest), 1, 1e-6);
  EXPECT_NEAR(audit.scaled_variance_ratio / (largest / smallest), 1, 1e-6) << "fan in is 64 for all";
  ASSERT_FALSE(audit.notes.empty());
}

}  // namespace
}  // namespace vigil
