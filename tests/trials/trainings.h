// Trainings on real data that the trials of the rules break in a known place: MNIST, and the text of this project's own documents.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "vigil/config/config.h"

namespace vigil {

/// A training whose every part a trial may replace.
struct Training {
  using Step = std::uint64_t;  ///< from 1

  std::shared_ptr<torch::nn::Module> model;
  std::shared_ptr<torch::optim::Optimizer> optimizer;
  std::function<torch::Tensor(const torch::Tensor& inputs)> forward;
  std::function<torch::Tensor(const torch::Tensor& outputs, const torch::Tensor& targets)> criterion;
  std::function<void(Training&)> fetch;  ///< takes the next batch into these:
  torch::Tensor inputs, targets;
  torch::Tensor held_out_inputs, held_out_targets;  ///< for validation; may be undefined
  Step validate_every = 0;                          ///< 0: never

  std::function<void(Training&, Step)> fault;  ///< or a schedule; once the batch is there; may be empty

  torch::Tensor loss() const { return criterion(forward(inputs), targets); }
  double validation_loss() const;
  /// @throws std::invalid_argument when there is none
  torch::Tensor parameter(const std::string& name) const;
  double learning_rate() const;
  void set_learning_rate(double rate) const;
};

/// Where the data lie. Called once, before any of the trainings. @throws c10::Error when MNIST cannot be read there
void read_data(const std::string& mnist, const std::vector<std::string>& texts);

struct OptimizerKind {
  std::string name = "adam";  ///< sgd, momentum (SGD with 0.9), adam, adamw
  double learning_rate = 0;   ///< 0: what suits it
};

/// `sgd_rate` is what plain SGD learns with. @throws std::invalid_argument
std::shared_ptr<torch::optim::Optimizer> make_optimizer(const OptimizerKind& kind, const torch::nn::Module& model, double sgd_rate);

/// Pixels (batch, 1, 28, 28) and labels (batch) of 10,000 digits.
struct Digits {
  torch::Tensor images, labels;
};
const Digits& digits();

/// A model's training, without batches.
template <class Model>
Training training_of(Model model, const OptimizerKind& optimizer, double sgd_rate) {
  Training training;
  training.model = model.ptr();
  training.optimizer = make_optimizer(optimizer, *model, sgd_rate);
  training.forward = [model](const torch::Tensor& inputs) mutable { return model->forward(inputs); };
  training.criterion = [](const torch::Tensor& outputs, const torch::Tensor& targets) {
    return torch::cross_entropy_loss(outputs, targets);
  };
  return training;
}
/// Batches of 32 digits, and the last thousand to validate with.
void use_digits(Training& training);
/// The same with them.
template <class Model>
Training on_digits(Model model, const OptimizerKind& optimizer, double sgd_rate = 0.1) {
  Training training = training_of(model, optimizer, sgd_rate);
  use_digits(training);
  return training;
}

/// A perceptron over the pixels: layers fc0, fc1, … with `activation` after each but the last.
Training perceptron(const std::vector<std::int64_t>& widths, const std::string& activation, const OptimizerKind& optimizer);
/// conv1, conv2, fc1, fc2 with ReLUs.
Training convolutions(const OptimizerKind& optimizer);
/// tokens, positions, encoder.layers.0, encoder.layers.1, head.
Training transformer(const OptimizerKind& optimizer);
/// What looks wrong and is not. The CNN with its convolutions frozen, as when a trained model is fitted to a new task.
Training frozen_layers(const OptimizerKind& optimizer);
/// A perceptron of frozen matrices, each with a low-rank branch whose second factor begins at zero.
Training low_rank(const OptimizerKind& optimizer);
/// The transformer with a rate that rises from 0 for 100 steps and falls to 0 at step `steps`.
Training warm_up_and_decay(const OptimizerKind& optimizer, Training::Step steps);
/// The CNN, one digit a step.
Training batch_of_one(const OptimizerKind& optimizer);
/// An LSTM over the rows of a digit.
Training recurrent(const OptimizerKind& optimizer);

/// examples/minimal.cpp.
Training minimal(const OptimizerKind& optimizer);

}  // namespace vigil
