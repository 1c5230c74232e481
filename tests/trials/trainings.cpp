#include "trials/trainings.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace vigil {
namespace {

namespace nn = torch::nn;
using torch::Tensor;

constexpr std::int64_t kBatch = 32, kHeldOut = 1000, kContext = 32, kVocabulary = 128;

struct Data {
  Digits digits;
  Tensor text;  // bytes below 128
};
Data data;

}  // namespace

std::shared_ptr<torch::optim::Optimizer> make_optimizer(const OptimizerKind& kind, const nn::Module& model, double sgd_rate) {
  const auto rate = [&](double usual) { return kind.learning_rate > 0 ? kind.learning_rate : usual; };
  using namespace torch::optim;
  const std::vector<Tensor> parameters = model.parameters();
  if (kind.name == "adam") return std::make_shared<Adam>(parameters, AdamOptions(rate(1e-3)));
  if (kind.name == "adamw") return std::make_shared<AdamW>(parameters, AdamWOptions(rate(1e-3)));
  if (kind.name == "momentum") return std::make_shared<SGD>(parameters, SGDOptions(rate(0.2 * sgd_rate)).momentum(0.9));
  if (kind.name == "sgd") return std::make_shared<SGD>(parameters, SGDOptions(rate(sgd_rate)));
  throw std::invalid_argument("no optimizer is called " + kind.name);
}

namespace {

struct PerceptronImpl : nn::Module {
  PerceptronImpl(const std::vector<std::int64_t>& widths, std::string kind) : activation(std::move(kind)) {
    for (std::size_t i = 0; i + 1 < widths.size(); ++i)
      layers.push_back(register_module("fc" + std::to_string(i), nn::Linear(widths[i], widths[i + 1])));
  }
  Tensor forward(Tensor x) {
    x = x.flatten(1);
    for (std::size_t i = 0; i < layers.size(); ++i) {
      x = layers[i]->forward(x);
      if (i + 1 == layers.size()) break;
      x = activation == "tanh" ? x.tanh() : activation == "sigmoid" ? x.sigmoid() : x.relu();
    }
    return x;
  }
  std::string activation;
  std::vector<nn::Linear> layers;
};
TORCH_MODULE(Perceptron);

struct ConvolutionsImpl : nn::Module {
  Tensor forward(Tensor x) {
    x = torch::max_pool2d(conv1(x).relu(), 2);
    x = torch::max_pool2d(conv2(x).relu(), 2);
    return fc2(fc1(x.flatten(1)).relu());
  }
  nn::Conv2d conv1 = register_module("conv1", nn::Conv2d(1, 8, 5));
  nn::Conv2d conv2 = register_module("conv2", nn::Conv2d(8, 16, 5));
  nn::Linear fc1 = register_module("fc1", nn::Linear(256, 64));
  nn::Linear fc2 = register_module("fc2", nn::Linear(64, 10));
};
TORCH_MODULE(Convolutions);

struct TransformerModelImpl : nn::Module {
  Tensor forward(const Tensor& characters) {  // (batch, length) to (batch x length, vocabulary)
    const std::int64_t length = characters.size(1);
    Tensor x = tokens(characters);
    x = x + positions(torch::arange(length));
    const Tensor mask = torch::ones({length, length}, torch::kBool).triu(1);
    return head(encoder->forward(x.transpose(0, 1), mask).transpose(0, 1)).flatten(0, 1);
  }
  nn::Embedding tokens = register_module("tokens", nn::Embedding(kVocabulary, 32));
  nn::Embedding positions = register_module("positions", nn::Embedding(kContext, 32));
  nn::TransformerEncoder encoder =
      register_module("encoder", nn::TransformerEncoder(nn::TransformerEncoderOptions(
                                     nn::TransformerEncoderLayer(nn::TransformerEncoderLayerOptions(32, 4).dim_feedforward(64)), 2)));
  nn::Linear head = register_module("head", nn::Linear(32, kVocabulary));
};
TORCH_MODULE(TransformerModel);

}  // namespace

void use_digits(Training& training) {
  const std::int64_t rest = data.digits.labels.size(0) - kHeldOut;
  training.fetch = [rest](Training& t) {
    const Tensor chosen = torch::randint(rest, {kBatch}, torch::kLong);
    t.inputs = data.digits.images.index_select(0, chosen);
    t.targets = data.digits.labels.index_select(0, chosen);
  };
  training.held_out_inputs = data.digits.images.slice(0, rest);
  training.held_out_targets = data.digits.labels.slice(0, rest);
}

double Training::validation_loss() const {
  const torch::NoGradGuard no_grad;
  return criterion(forward(held_out_inputs), held_out_targets).item<double>();
}

double Training::learning_rate() const { return optimizer->param_groups()[0].options().get_lr(); }

void Training::set_learning_rate(double rate) const {
  for (auto& group : optimizer->param_groups()) group.options().set_lr(rate);
}

Tensor Training::parameter(const std::string& name) const {
  const auto parameters = model->named_parameters();
  const Tensor* const found = parameters.find(name);
  if (found == nullptr) throw std::invalid_argument("no parameter is called " + name);
  return *found;
}

void read_data(const std::string& mnist, const std::vector<std::string>& texts) {
  const torch::data::datasets::MNIST set(mnist, torch::data::datasets::MNIST::Mode::kTest);
  data.digits = {(set.images() - 0.1307) / 0.3081, set.targets()};
  std::vector<std::int64_t> bytes;
  for (const std::string& path : texts) {
    std::ifstream file(path, std::ios::binary);
    for (auto at = std::istreambuf_iterator<char>(file); at != std::istreambuf_iterator<char>(); ++at) {
      if (const auto byte = static_cast<unsigned char>(*at); byte < kVocabulary) bytes.push_back(byte);
    }
  }
  if (bytes.size() < 10'000) throw std::runtime_error("the documents that the transformer learns from cannot be read");
  data.text = torch::tensor(bytes, torch::kLong);
}

const Digits& digits() { return data.digits; }

Training perceptron(const std::vector<std::int64_t>& widths, const std::string& activation, const OptimizerKind& optimizer) {
  return on_digits(Perceptron(widths, activation), optimizer);
}

Training convolutions(const OptimizerKind& optimizer) { return on_digits(Convolutions(), optimizer, 0.05); }

Training transformer(const OptimizerKind& optimizer) {
  Training training = training_of(TransformerModel(), optimizer, 0.1);
  training.fetch = [](Training& t) {
    const Tensor begins = torch::randint(data.text.size(0) - kContext, {16}, torch::kLong);
    const Tensor text = data.text.take(begins.unsqueeze(1) + torch::arange(kContext + 1));
    t.inputs = text.narrow(1, 0, kContext);
    t.targets = text.narrow(1, 1, kContext).flatten();
  };
  return training;
}

Training frozen_layers(const OptimizerKind& optimizer) {
  Convolutions model;
  for (nn::Conv2d& layer : {std::ref(model->conv1), std::ref(model->conv2)}) {
    for (Tensor& parameter : layer->parameters()) parameter.set_requires_grad(false);
  }
  return on_digits(model, optimizer);
}

namespace {

struct LowRankImpl : nn::Module {
  LowRankImpl(std::int64_t in, std::int64_t out)
      : base(register_module("base", nn::Linear(in, out))),
        down(register_parameter("down", 0.05 * torch::randn({4, in}))),
        up(register_parameter("up", torch::zeros({out, 4}))) {
    for (Tensor& parameter : base->parameters()) parameter.set_requires_grad(false);
  }
  Tensor forward(const Tensor& x) { return base(x) + torch::linear(torch::linear(x, down), up); }
  nn::Linear base;
  Tensor down, up;
};
TORCH_MODULE(LowRank);

struct LstmImpl : nn::Module {
  Tensor forward(const Tensor& images) { return head(std::get<0>(lstm(images.squeeze(1))).select(1, -1)); }
  nn::LSTM lstm = register_module("lstm", nn::LSTM(nn::LSTMOptions(28, 32).batch_first(true)));
  nn::Linear head = register_module("head", nn::Linear(32, 10));
};
TORCH_MODULE(Lstm);

}  // namespace

Training low_rank(const OptimizerKind& optimizer) {
  return on_digits(nn::Sequential(nn::Flatten(), LowRank(784, 64), nn::ReLU(), LowRank(64, 10)), optimizer);
}

Training warm_up_and_decay(const OptimizerKind& optimizer, Training::Step steps) {
  Training training = transformer(optimizer);
  const double highest = training.learning_rate();
  training.fault = [highest, steps](Training& t, Training::Step step) {
    const double done = static_cast<double>(step) / static_cast<double>(steps);
    t.set_learning_rate(highest * std::min(static_cast<double>(step) / 100, 0.5 * (1 + std::cos(3.14159265 * done))));
  };
  return training;
}

Training batch_of_one(const OptimizerKind& optimizer) {
  Training training = on_digits(Convolutions(), optimizer, 0.005);
  training.fetch = [fetch = training.fetch](Training& t) {
    fetch(t);
    t.inputs = t.inputs.slice(0, 0, 1);
    t.targets = t.targets.slice(0, 0, 1);
  };
  return training;
}

Training recurrent(const OptimizerKind& optimizer) { return on_digits(Lstm(), optimizer); }

Training minimal(const OptimizerKind& optimizer) {
  Training training = training_of(nn::Sequential(nn::Linear(8, 32), nn::ReLU(), nn::Linear(32, 1)), optimizer, 0.05);
  training.criterion = [](const Tensor& outputs, const Tensor& targets) { return torch::mse_loss(outputs, targets); };
  training.fetch = [](Training& t) {
    t.inputs = torch::randn({64, 8});
    t.targets = t.inputs.sum(1, true).sin();
  };
  return training;
}

}  // namespace vigil
