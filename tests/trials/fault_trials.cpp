#include "trials/fault_trials.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <thread>
#include <utility>

namespace vigil {
namespace {

namespace nn = torch::nn;
using torch::Tensor;
using Step = Training::Step;
using Fault = std::function<void(Training&, Step)>;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
const char* const kPerceptron = "perceptron";
const char* const kConvolutions = "CNN";
const char* const kTransformer = "transformer";

Training usual_perceptron(const OptimizerKind& optimizer = {}) { return perceptron({784, 64, 32, 10}, "relu", optimizer); }

Training with(Training training, Fault fault) {
  training.fault = std::move(fault);
  return training;
}
Training filled(Training training, const std::string& parameter, double value) {
  const torch::NoGradGuard no_grad;
  training.parameter(parameter).fill_(value);
  return training;
}
Training scaled(Training training, const std::string& parameter, double factor) {
  const torch::NoGradGuard no_grad;
  training.parameter(parameter).mul_(factor);
  return training;
}

/// From step `from` on the learning rate is `rate` times what it was.
Training with_rate(Training training, Step from, double rate) {
  const double usual = training.learning_rate();
  return with(std::move(training), [from, rate = rate * usual](Training& t, Step step) {
    if (step == from) t.set_learning_rate(rate);
  });
}

void sleep_ms(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

void measure_updates(Config& config) { config.sampling.update_ratio = {"*"}; }
void observe_often(Config& config) { config.sampling.activations_every_steps = 10; }

// A gradient that is NaN in one step, as a faulty backward would make it.
Training nan_in_gradient(Training training, const std::string& parameter, Step at) {
  const auto now = std::make_shared<Step>(0);
  training.parameter(parameter).register_hook([now, at](const Tensor& gradient) { return *now == at ? gradient * kNaN : gradient; });
  return with(std::move(training), [now](Training&, Step step) { *now = step; });
}

// As a file that was read wrongly would.
Training nan_in_parameter(Training training, const std::string& parameter, Step at) {
  return with(std::move(training), [parameter, at](Training& t, Step step) {
    const torch::NoGradGuard no_grad;
    if (step == at) t.parameter(parameter).view(-1)[0] = kNaN;
  });
}

// The logarithm of a probability that inputs of a wrong scale make exactly 0.
Training log_of_zero(Step at) {
  Training training = usual_perceptron();
  training.criterion = [](const Tensor& outputs, const Tensor& targets) {
    return -torch::log(torch::softmax(outputs, 1).gather(1, targets.unsqueeze(1))).mean();
  };
  return with(std::move(training), [at](Training& t, Step step) {
    if (step == at) t.inputs = t.inputs * 1e4;
  });
}

// A root between two layers, which in a batch of a wrong sign is one of negative numbers.
struct RootImpl : nn::Module {
  Tensor forward(const Tensor& images) { return last(second(torch::sqrt(first(images.flatten(1)).abs() + shift)).relu()); }
  double shift = 1;
  nn::Linear first = register_module("first", nn::Linear(784, 32));
  nn::Linear second = register_module("second", nn::Linear(32, 32));
  nn::Linear last = register_module("last", nn::Linear(32, 10));
};
TORCH_MODULE(Root);
Training root_of_negative(Step at) {
  Root model;
  return with(on_digits(model, {}), [model, at](Training&, Step step) mutable { model->shift = step >= at ? -1e3 : 1; });
}

Training outlier_batch(Training training, Step at, double factor) {
  return with(std::move(training), [at, factor](Training& t, Step step) {
    if (step == at) t.inputs = t.inputs * factor;
  });
}

Training shuffled_labels(Training training) {
  return with(std::move(training), [](Training& t, Step) { t.targets = t.targets.index_select(0, torch::randperm(t.targets.size(0))); });
}

// Forty digits, half of them with wrong labels: a perceptron learns them by heart.
Training few_digits(const OptimizerKind& optimizer) {
  Training training = usual_perceptron(optimizer);
  const Tensor images = digits().images.slice(0, 0, 40), labels = digits().labels.slice(0, 0, 40).clone();
  labels.slice(0, 0, 20).copy_(torch::randint(10, {20}, torch::kLong));
  training.fetch = [images, labels](Training& t) {
    t.inputs = images;
    t.targets = labels;
  };
  training.validate_every = 20;
  return training;
}

Training left_out_of_optimizer(Training training, const std::string& layer) {
  std::vector<Tensor> others;
  for (const auto& parameter : training.model->named_parameters()) {
    if (parameter.key().rfind(layer, 0) != 0) others.push_back(parameter.value());
  }
  training.optimizer = std::make_shared<torch::optim::Adam>(others, torch::optim::AdamOptions(1e-3));
  return training;
}

struct DetachedImpl : nn::Module {
  Tensor forward(const Tensor& images) { return last(second(first(images.flatten(1)).relu().detach()).relu()); }
  nn::Linear first = register_module("first", nn::Linear(784, 64));
  nn::Linear second = register_module("second", nn::Linear(64, 32));
  nn::Linear last = register_module("last", nn::Linear(32, 10));
};
TORCH_MODULE(Detached);

// Weights that are stored in half precision, and a loss that is scaled so that small gradients do not vanish in it.
struct HalfImpl : nn::Module {
  HalfImpl() { second->to(torch::kHalf); }
  Tensor forward(const Tensor& images) {
    const Tensor x = first(images.flatten(1)).relu();
    return last(torch::linear(x, second->weight.to(torch::kFloat), second->bias.to(torch::kFloat)).relu());
  }
  nn::Linear first = register_module("first", nn::Linear(784, 64));
  nn::Linear second = register_module("second", nn::Linear(64, 32));
  nn::Linear last = register_module("last", nn::Linear(32, 10));
};
TORCH_MODULE(Half);
Training scaled_loss(double scale) {
  Half model;
  Training training = on_digits(model, {"sgd", 0.05 / scale});
  training.criterion = [scale](const Tensor& outputs, const Tensor& targets) {
    return torch::cross_entropy_loss(outputs, targets) * scale;
  };
  return training;
}

// A recurrence whose matrix makes whatever passes it larger, over the rows of an image.
struct RecurrenceImpl : nn::Module {
  Tensor forward(const Tensor& images) {
    Tensor state = torch::zeros({images.size(0), 32});
    for (std::int64_t row = 0; row < 28; ++row) state = recurrent(state) + input(images.select(1, 0).select(1, row));
    return head(state);
  }
  nn::Linear input = register_module("input", nn::Linear(28, 32));
  nn::Linear recurrent = register_module("recurrent", nn::Linear(32, 32));
  nn::Linear head = register_module("head", nn::Linear(32, 10));
};
TORCH_MODULE(Recurrence);
Training growing_recurrence() {
  Recurrence model;
  return scaled(on_digits(model, {"sgd", 1e-9}), "recurrent.weight", 2.5);
}

// Every batch is kept, in eight variants.
Training leaking(Training training) {
  const auto kept = std::make_shared<std::vector<Tensor>>();
  return with(std::move(training), [kept](Training& t, Step) { kept->push_back(t.inputs.repeat({8, 1, 1, 1})); });
}

Training sleeping(Training training, int milliseconds, Step from, Step to) {
  return with(std::move(training), [milliseconds, from, to](Training&, Step step) {
    if (step >= from && step <= to) sleep_ms(milliseconds);
  });
}

RuleConfig& rule_of(Config& config, std::string_view name) {
  std::size_t i = 0;
  while (kRules.at(i).name != name) ++i;
  return config.rules.catalogue[i];
}

// clang-format off
std::vector<FaultTrial> nonfinite_trials() {
  const std::vector<std::string> others{"nonfinite_gradient", "nonfinite_loss", "nonfinite_parameter", "nonfinite_activation"};
  return {
      {"nonfinite_gradient", kConvolutions, "NaN gradient of conv2.weight at step 60", 60, 0, "conv2", [] { return nan_in_gradient(convolutions({}), "conv2.weight", 60); }, others},
      {"nonfinite_gradient", kTransformer, "NaN gradient of encoder.layers.1.linear1.weight at step 60", 60, 0, "encoder.layers.1.linear1", [] { return nan_in_gradient(transformer({}), "encoder.layers.1.linear1.weight", 60); }, others},
      {"nonfinite_loss", kPerceptron, "inputs x 10⁴ at step 60: a log of probability 0", 60, 0, "", [] { return log_of_zero(60); }, others},
      {"nonfinite_parameter", kTransformer, "a NaN written into encoder.layers.0.linear2.weight at step 64", 64, 6, "encoder.layers.0.linear2.weight", [] { return nan_in_parameter(transformer({}), "encoder.layers.0.linear2.weight", 64); }, others},
      {"nonfinite_activation", kPerceptron, "root of negative numbers from step 55 on", 55, 5, "first/sqrt", [] { return root_of_negative(55); }, others, [](Config& config) { observe_often(config), config.guard.on_nonfinite = OnNonfinite::skip_step; }, "activations_every_steps: 10, on_nonfinite: skip_step"},
  };
}

std::vector<FaultTrial> learning_trials() {
  return {
      {"vanishing_gradient", kPerceptron, "ten layers with sigmoids", 1, 100, "fc0", [] { return perceptron({784, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 10}, "sigmoid", {"sgd", 0.01}); }},
      {"exploding_gradient", "recurrence", "recurrent matrix x 2.5", 1, 60, "", [] { return growing_recurrence(); }},
      {"exploding_gradient", kTransformer, "learning rate x 100 from step 200 on", 200, 20, "", [] { return with_rate(transformer({"sgd"}), 200, 100); }, {"nonfinite_gradient", "nonfinite_loss", "nonfinite_parameter"}},
      {"loss_spike", kConvolutions, "learning rate x 1000 from step 200 on", 200, 2, "", [] { return with_rate(convolutions({"sgd"}), 200, 1000); }, {"nonfinite_gradient", "nonfinite_loss", "nonfinite_parameter"}},
      {"gradient_spike", kConvolutions, "one batch with inputs x 1000 at step 200", 200, 0, "", [] { return outlier_batch(convolutions({"sgd", 0.001}), 200, 1000); }},
      {"loss_spike", kConvolutions, "one batch with inputs x 1000 at step 200", 200, 0, "", [] { return outlier_batch(convolutions({}), 200, 1000); }},
      {"loss_not_decreasing", kConvolutions, "labels shuffled within each batch", 1, 600, "", [] { return shuffled_labels(convolutions({})); }},
      {"loss_not_decreasing", kTransformer, "learning rate x 10⁻⁶", 1, 600, "", [] { return with_rate(transformer({}), 1, 1e-6); }},
      {"loss_not_decreasing", kPerceptron, "constant input: every batch is the same image", 1, 600, "", [] { return with(usual_perceptron(), [](Training& t, Step) { t.inputs = t.inputs.slice(0, 0, 1).expand_as(t.inputs) * 0 + 1; }); }},
      {"loss_not_decreasing", kTransformer, "learning rate x 10⁴", 1, 100, "", [] { return with_rate(transformer({}), 1, 1e4); }, {"nonfinite_gradient", "nonfinite_loss", "nonfinite_parameter"}},
      {"loss_plateau", kPerceptron, "40 digits, learning rate x 10⁻⁶ from step 500 on", 500, 6000, "", [] { return with_rate(few_digits({"sgd"}), 500, 1e-6); }},
      {"overfit", kPerceptron, "40 digits, half of them with wrong labels", 1, 800, "", [] { return few_digits({}); }},
      {"overtraining", kPerceptron, "40 digits, half of them with wrong labels", 1, 800, "", [] { return few_digits({}); }},
      {"update_ratio", kTransformer, "learning rate x 1000", 1, 50, "", [] { return with_rate(transformer({}), 1, 1000); }, {}, measure_updates, "update_ratio: [\"*\"]"},
      {"update_ratio", kTransformer, "learning rate x 10⁻⁸", 1, 50, "", [] { return with_rate(transformer({"sgd"}), 1, 1e-8); }, {}, measure_updates, "update_ratio: [\"*\"]"},
      {"update_spike", kConvolutions, "learning rate x 8 from step 400 on", 400, 10, "", [] { return with_rate(convolutions({}), 400, 8); }, {}, measure_updates, "update_ratio: [\"*\"]"},
      {"learning_rate_zero", kConvolutions, "schedule that has ended at step 50", 50, 100, "", [] { return with_rate(convolutions({}), 50, 0); }},
      {"learning_rate_jump", kTransformer, "learning rate x 1000 at step 80", 80, 0, "", [] { return with_rate(transformer({"sgd", 1e-4}), 80, 1000); }},
      {"learning_rate_nonfinite", kPerceptron, "learning rate NaN at step 80", 80, 0, "", [] { return with_rate(usual_perceptron({}), 80, kNaN); }, {"nonfinite_gradient", "nonfinite_loss", "nonfinite_parameter", "nonfinite_activation"}},
  };
}

Training all_zero() { return filled(filled(filled(usual_perceptron(), "fc1.weight", 0), "fc1.bias", 0), "fc2.weight", 0); }

std::vector<FaultTrial> tensor_trials() {
  return {
      {"learning_rate_nonfinite", kTransformer, "a linear schedule that goes on below 0 after step 100", 101, 0, "", [] {
         Training training = transformer({"sgd"});
         return with(std::move(training), [](Training& t, Step step) { t.set_learning_rate(0.001 * (100 - static_cast<double>(step))); }); }},
      {"unchanged_tensor", kConvolutions, "conv1 is not given to the optimizer", 1, 60, "conv1", [] { return left_out_of_optimizer(convolutions({}), "conv1"); }},
      {"unchanged_tensor", kTransformer, "head is not given to the optimizer", 1, 60, "head", [] { return left_out_of_optimizer(transformer({}), "head"); }},
      {"zero_tensor", kPerceptron, "weights of fc1 and fc2 and bias of fc1 begin as 0", 1, 40, "fc1", [] { return all_zero(); }},
      {"poor_initialisation", kPerceptron, "weights of fc1 and fc2 and bias of fc1 begin as 0", 1, 20, "fc1", [] { return all_zero(); }},
      {"poor_initialisation", kConvolutions, "every weight of fc1 begins as 0.01", 1, 0, "fc1", [] { return filled(convolutions({}), "fc1.weight", 0.01); }},
      {"zero_gradient", kPerceptron, "bias of fc1 is -100 from step 1 on: its ReLUs are dead", 1, 40, "fc0", [] { return filled(usual_perceptron({}), "fc1.bias", -100); }},
      {"zero_gradient", kConvolutions, "inputs that are all zero", 1, 40, "conv1", [] { return with(convolutions({}), [](Training& t, Step) { t.inputs = torch::zeros_like(t.inputs); }); }},
      {"dead_units", kPerceptron, "bias of fc1 is -100 from step 1 on: its ReLUs are dead", 1, 100, "fc1/relu", [] { return filled(usual_perceptron({}), "fc1.bias", -100); }},
      {"dead_units", kConvolutions, "bias of conv2 is -100 from step 1 on: its ReLUs are dead", 1, 20, "conv2/relu", [] { return filled(convolutions({}), "conv2.bias", -100); }, {}, observe_often, "activations_every_steps: 10"},
      {"saturated_activation", "tanh perceptron", "weights of fc1 x 1000", 1, 20, "fc1/tanh", [] { return scaled(perceptron({784, 64, 32, 10}, "tanh", {}), "fc1.weight", 1000); }, {}, observe_often, "activations_every_steps: 10"},
      {"tensor_variance", kTransformer, "weights of encoder.layers.0.linear1 x 10⁴", 1, 40, "encoder.layers.0.linear1", [] { return scaled(transformer({}), "encoder.layers.0.linear1.weight", 1e4); }},
      {"norm_drift", kPerceptron, "weight decay of 1 at a learning rate of 0.1", 1, 200, "fc0", [] {
         Training training = usual_perceptron({});
         training.optimizer = std::make_shared<torch::optim::SGD>(training.model->parameters(), torch::optim::SGDOptions(0.1).weight_decay(1));
         return training; }},
      {"number_format_overflow", "perceptron, half of it float16", "loss scale 2¹⁸", 1, 100, "second", [] { return scaled_loss(1 << 18); }, {"nonfinite_gradient", "nonfinite_loss", "nonfinite_parameter", "nonfinite_activation"}, [](Config& config) { config.sampling.every_steps = 1; }, "every_steps: 1"},
      {"frozen_parameter", kConvolutions, "the forward pass runs under a NoGradGuard: no parameter has a gradient", 1, 150, "", [] {
         Training training = convolutions({});
         training.forward = [forward = training.forward](const Tensor& inputs) { const torch::NoGradGuard guard; return forward(inputs); };
         training.criterion = [criterion = training.criterion](const Tensor& outputs, const Tensor& targets) { return criterion(outputs, targets).requires_grad_(); };
         return training; }},
      {"frozen_parameter", kPerceptron, "output of the first layer is detached", 1, 150, "first", [] { Detached model; return on_digits(model, {}); }},
  };
}

std::vector<FaultTrial> machine_trials() {
  const auto impatient = [](Config& config) { rule_of(config, "stalled").parameters = {30, 1, 0}; };
  const auto full = [](Config& config) {
    config.rules.disk_directory = ".";
    rule_of(config, "disk_full").parameters = {1e18, 0, 0};
  };
  return {
      {"step_time_outlier", kConvolutions, "step 300 takes a second longer", 300, 0, "", [] { return sleeping(convolutions({}), 1000, 300, 300); }},
      {"throughput_drop", kPerceptron, "every step sleeps 60 ms from step 300 on", 300, 400, "", [] { return sleeping(usual_perceptron({}), 60, 300, 100000); }},
      {"input_starvation", kPerceptron, "the data loader sleeps 10 ms a batch", 1, 300, "", [] {
         Training training = usual_perceptron({});
         training.fetch = [fetch = training.fetch](Training& t) { fetch(t); sleep_ms(10); };
         return training; }},
      {"memory_growth", kConvolutions, "every batch is kept in eight variants", 1, 600, "", [] { return leaking(convolutions({})); }},
      {"stalled", kPerceptron, "step 200 takes four seconds", 199, 0, "", [] { return sleeping(usual_perceptron({}), 4000, 200, 200); }, {}, impatient, "min_seconds: 1"},
      {"disk_full", kPerceptron, "less is free than the rule asks for", 0, 100, "", [] { return usual_perceptron({}); }, {}, full, "disk_directory, min_bytes: 10¹⁸"},
  };
}

std::vector<FaultTrial> rank_trials() {
  // As a broadcast that one rank missed would leave it.
  const auto diverging = [](int rank) {
    return with(convolutions({}), [rank](Training& t, Step step) {
      if (rank == 1 && step == 100) scaled(t, "conv2.weight", 1.01);
    });
  };
  const auto straggling = [](int rank) { return rank == 1 ? sleeping(convolutions({}), 3, 1, 100000) : convolutions({}); };
  return {
      {"rank_divergence", "CNN, two ranks", "conv2.weight of rank 1 x 1.01 at step 100", 100, 10, "", {}, {}, {}, {}, diverging},
      {"straggler_rank", "CNN, two ranks", "the data loader of rank 1 sleeps 3 ms a batch", 1, 400, "", {}, {}, {}, {}, straggling},
  };
}

// clang-format on

}  // namespace

std::vector<FaultTrial> fault_trials() {
  std::vector<FaultTrial> all;
  for (auto trials : {nonfinite_trials(), learning_trials(), tensor_trials(), machine_trials(), rank_trials()}) {
    for (FaultTrial& trial : trials) all.push_back(std::move(trial));
  }
  return all;
}

}  // namespace vigil
