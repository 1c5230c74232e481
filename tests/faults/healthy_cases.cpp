#include "faults/healthy_cases.h"

#include <limits>
#include <utility>

namespace vigil {
namespace {

namespace nn = torch::nn;
namespace F = torch::nn::functional;
using torch::Tensor;

constexpr double kInf = std::numeric_limits<double>::infinity();

template <class Optimizer, class Options, class Model>
HealthyTraining training(Model model, Options options, std::function<Tensor()> loss) {
  return {model.ptr(), std::make_shared<Optimizer>(model->parameters(), options), std::move(loss)};
}

HealthyTraining perceptron() {
  nn::Sequential net(nn::Linear(10, 32), nn::ReLU(), nn::Dropout(0.3), nn::Linear(32, 3));
  return training<torch::optim::SGD>(net, torch::optim::SGDOptions(0.05).momentum(0.9), [net]() mutable {
    const Tensor x = torch::randn({16, 10});
    return torch::cross_entropy_loss(net->forward(x), x.slice(1, 0, 3).argmax(1));
  });
}

// As examples/minimal.cpp has it.
HealthyTraining minimal() {
  nn::Sequential net(nn::Linear(8, 32), nn::ReLU(), nn::Linear(32, 1));
  return training<torch::optim::SGD>(net, torch::optim::SGDOptions(0.05), [net]() mutable {
    const Tensor x = torch::randn({64, 8});
    return torch::mse_loss(net->forward(x), x.sum(1, true).sin());
  });
}

HealthyTraining convolutions() {
  nn::Sequential net(nn::Conv2d(nn::Conv2dOptions(1, 8, 3).padding(1)), nn::BatchNorm2d(8), nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(),
                     nn::Linear(8 * 16, 4));
  return training<torch::optim::Adam>(net, torch::optim::AdamOptions(1e-3), [net]() mutable {
    const Tensor x = torch::randn({8, 1, 8, 8});
    return torch::cross_entropy_loss(net->forward(x), torch::randint(0, 4, {8}));
  });
}

struct CausalImpl : nn::Module {
  // Attention by hand: -Inf above the diagonal, and a softmax that takes it.
  Tensor forward(const Tensor& tokens) {
    const Tensor x = embedding->forward(tokens);
    const auto parts = qkv->forward(x).chunk(3, -1);
    Tensor scores = parts[0].matmul(parts[1].transpose(1, 2)) / 4;
    const auto length = tokens.size(1);
    scores = scores.masked_fill(torch::ones({length, length}, torch::kBool).triu(1), -kInf);
    Tensor mask = torch::full({length, length}, -kInf).triu(1);
    const Tensor attended = torch::softmax(scores + mask, -1).matmul(parts[2]);
    return head->forward(norm->forward(x + attended));
  }
  nn::Embedding embedding = register_module("embedding", nn::Embedding(13, 16));
  nn::Linear qkv = register_module("qkv", nn::Linear(16, 48));
  nn::LayerNorm norm = register_module("norm", nn::LayerNorm(nn::LayerNormOptions({16})));
  nn::Linear head = register_module("head", nn::Linear(16, 13));
};
TORCH_MODULE(Causal);

HealthyTraining causal() {
  Causal net;
  return training<torch::optim::AdamW>(net, torch::optim::AdamWOptions(1e-3), [net]() mutable {
    const Tensor tokens = torch::randint(0, 13, {4, 9});
    return torch::cross_entropy_loss(net->forward(tokens.slice(1, 0, 8)).flatten(0, 1), tokens.slice(1, 1, 9).flatten());
  });
}

struct TaggerImpl : nn::Module {
  Tensor forward(const Tensor& tokens) { return head->forward(std::get<0>(lstm->forward(embedding->forward(tokens)))); }
  nn::Embedding embedding = register_module("embedding", nn::Embedding(nn::EmbeddingOptions(11, 8).padding_idx(0)));
  nn::LSTM lstm = register_module("lstm", nn::LSTM(nn::LSTMOptions(8, 12).batch_first(true)));
  nn::Linear head = register_module("head", nn::Linear(12, 4));
};
TORCH_MODULE(Tagger);

HealthyTraining tagger() {
  Tagger net;
  return training<torch::optim::RMSprop>(net, torch::optim::RMSpropOptions(1e-3), [net]() mutable {
    const Tensor tokens = torch::randint(0, 11, {3, 6});
    return torch::cross_entropy_loss(net->forward(tokens).flatten(0, 1), tokens.remainder(4).flatten());
  });
}

// Everything that is finite in the end though something on the way is not.
HealthyTraining looks_broken() {
  nn::Sequential net(nn::Linear(6, 6), nn::LeakyReLU(), nn::Linear(6, 6));
  return training<torch::optim::SGD>(net, torch::optim::SGDOptions(0.01), [net]() mutable {
    const Tensor h = net->forward(torch::randn({5, 6}));
    const Tensor zero_norm = (h * 0).norm(2, 1).sum();  // its backward masks its own NaN
    const Tensor masked_log = torch::where(h.detach() > 0, h.detach(), h.detach() * 0).log().clamp_min(-10).mean();
    const Tensor row_max = h.masked_fill(h.detach() < 0, -kInf).logsumexp(1).masked_fill(h.detach().le(0).all(1), 0).detach();
    const Tensor constant = F::batch_norm(h * 0, Tensor(), Tensor(), F::BatchNormFuncOptions().training(true));
    const Tensor unused = torch::log(h.detach() * 0);  // -Inf that leads nowhere
    const Tensor hidden = torch::nan_to_num(torch::log(h.detach().abs() * 0), 0, 0, 0);
    return h.pow(2).mean() + zero_norm + masked_log * 0.01 + row_max.clamp(-5, 5).mean() * 0 + constant.sum() + hidden.sum() +
           torch::cosine_similarity(h * 0, h, 1).sum() + F::normalize(h * 0, F::NormalizeFuncOptions().dim(1)).sum();
  });
}

}  // namespace

std::vector<HealthyCase> all_healthy_cases() {
  std::vector<HealthyCase> cases;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    cases.push_back({"perceptron, SGD with momentum", seed, 200, perceptron});
    cases.push_back({"the minimal example", seed, 2000, minimal});
    cases.push_back({"convolutions and batch norm, Adam", seed, 100, convolutions});
    cases.push_back({"causal attention, AdamW", seed, 100, causal});
    cases.push_back({"LSTM, RMSprop", seed, 100, tagger});
    cases.push_back({"masks, zero norms and hidden branches, SGD", seed, 100, looks_broken});
  }
  return cases;
}

}  // namespace vigil
