// Trains a small convolutional network on MNIST, prunes it while it trains on, and runs its Linear layers on int8.
//
//   prune_and_quantise --data DIR                      an epoch dense, an epoch with up to 90 % of the weights pruned, then int8
//   prune_and_quantise --data DIR --save DIR           keeps the three models, for vigil inspect, diff and verify
//
// Ends with 1 when more accuracy is lost than --max-loss allows, so that a script can rely on it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <vigil/hooks/training_monitor.h>
#include <vigil/model/pruning.h>
#include <vigil/model/pruning_report.h>
#include <vigil/model/pruning_schedule.h>
#include <vigil/model/quantisation.h>
#include <vigil/model/quantised_layers.h>
#include <vigil/terminal/progress_line.h>
#include <vigil/terminal/table.h>
#include <vigil/terminal/text_cells.h>

namespace {

struct Options {
  std::string data = "build/deps/mnist", save;
  double sparsity = 0.9, max_loss = 1;
  int epochs = 1, pruning_epochs = 1, batch = 64, threads = 0, port = -1;
  std::uint64_t seed = 1;
  bool per_tensor = false;
};

struct NetImpl : torch::nn::Module {
  // Images (batch, 1, 28, 28) to what the Linear layers read (batch, 512).
  torch::Tensor features(torch::Tensor x) {
    x = torch::max_pool2d(torch::relu(norm1(conv1(x))), 2);
    return torch::max_pool2d(torch::relu(conv2(x)), 2).flatten(1);
  }
  // To log-probabilities (batch, 10).
  torch::Tensor forward(const torch::Tensor& x) { return torch::log_softmax(fc2(torch::relu(fc1(features(x)))), 1); }

  torch::nn::Conv2d conv1 = register_module("conv1", torch::nn::Conv2d(1, 16, 5));
  torch::nn::BatchNorm2d norm1 = register_module("norm1", torch::nn::BatchNorm2d(16));
  torch::nn::Conv2d conv2 = register_module("conv2", torch::nn::Conv2d(16, 32, 5));
  torch::nn::Linear fc1 = register_module("fc1", torch::nn::Linear(512, 128));
  torch::nn::Linear fc2 = register_module("fc2", torch::nn::Linear(128, 10));
};
TORCH_MODULE(Net);

auto images_of(const Options& options, torch::data::datasets::MNIST::Mode mode) {
  return torch::data::datasets::MNIST(options.data, mode)
      .map(torch::data::transforms::Normalize<>(0.1307, 0.3081))
      .map(torch::data::transforms::Stack<>());
}

// The 10,000 images that no training sees, in batches of 1000.
struct TestSet {
  explicit TestSet(const Options& options) {
    auto loader = torch::data::make_data_loader(images_of(options, torch::data::datasets::MNIST::Mode::kTest), 1000);
    for (auto& batch : *loader) {
      images.push_back(batch.data);
      labels.push_back(batch.target);
    }
  }

  // In percent.
  double accuracy(const vigil::Forward& forward) const {
    const torch::NoGradGuard no_grad;
    std::int64_t correct = 0, total = 0;
    for (std::size_t i = 0; i < images.size(); ++i) {
      correct += forward(images[i]).argmax(1).eq(labels[i]).sum().item<std::int64_t>();
      total += labels[i].numel();
    }
    return 100 * static_cast<double>(correct) / static_cast<double>(total);
  }

  std::vector<torch::Tensor> images, labels;
};

using Images = decltype(images_of({}, torch::data::datasets::MNIST::Mode::kTrain));

// `after_step` is called after each step of the optimizer, with its number from 1 on.
void train(Net& model, torch::optim::Adam& optimizer, vigil::TrainingMonitor& monitor, const Images& images, std::uint64_t steps,
           const Options& options, const std::string& what, const std::function<void(std::uint64_t)>& after_step) {
  model->train();
  monitor.phase("train");
  auto loader = torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
      images, torch::data::DataLoaderOptions(static_cast<std::size_t>(options.batch)).drop_last(true));
  vigil::ProgressLine progress(std::cerr, isatty(STDERR_FILENO) != 0);
  std::uint64_t step = 0;
  while (step < steps) {
    for (auto& batch : *loader) {
      const auto result = monitor.train_step(optimizer, [&] { return torch::nll_loss(model->forward(batch.data), batch.target); });
      if (result.verdict == vigil::Verdict::stop) throw std::runtime_error("a gradient is not finite, and the configuration says stop");
      after_step(++step);
      progress.show([&] { return what + ": step " + std::to_string(step) + " of " + std::to_string(steps); });
    }
  }
  model->eval();
}

// A line of the final table.
struct Stage {
  std::string name;
  double accuracy = 0;  // in percent
  std::uint64_t elements = 0, zeros = 0;
  std::uint64_t bytes_dense = 0, bytes_sparse = 0;  // of parameters and buffers; sparse in the smallest of CSR, COO and bitmask

  void add(const vigil::PrunedTensor& tensor) {
    elements += tensor.elements;
    zeros += tensor.zeros;
    bytes_dense += tensor.bytes.dense;
    bytes_sparse += std::min(tensor.bytes.dense, tensor.bytes.smallest());
  }
  void add_dense(std::uint64_t bytes) {
    bytes_dense += bytes;
    bytes_sparse += bytes;
  }
};

Stage stage_of(const std::string& name, double accuracy, Net& model) {
  Stage stage{name, accuracy};
  const vigil::PruningReport report = vigil::pruning_report(*model);
  for (const auto& tensor : report.tensors) stage.add(tensor);
  stage.add_dense(report.others.bytes.dense);
  return stage;
}

// The same with the Linear layers' weights as integers. What was pruned stays pruned: the grid is symmetric, so 0 stays 0.
Stage stage_of(const std::string& name, double accuracy, Net& model, const std::vector<vigil::QuantisedLinear>& layers) {
  Stage stage{name, accuracy};
  vigil::PruningTargets targets;
  targets.exclude = {"fc*"};
  const vigil::PruningReport floats = vigil::pruning_report(*model, targets);
  for (const auto& tensor : floats.tensors) stage.add(tensor);
  stage.add_dense(floats.others.bytes.dense);
  for (const auto& layer : layers) {
    const auto weight = vigil::pruned_tensor("weight", layer->weight);
    stage.add(weight);
    stage.add_dense(layer->bytes() - weight.bytes.dense);
  }
  for (const auto& linear : {model->fc1, model->fc2}) {  // are no longer needed
    const auto gone = linear->weight.nbytes() + linear->bias.nbytes();
    stage.bytes_dense -= gone;
    stage.bytes_sparse -= gone;
  }
  return stage;
}

std::string percent(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %%", value);
  return text;
}

std::string comparison(const std::vector<Stage>& stages, const vigil::OutputPlace& place) {
  std::vector<vigil::TableRow> rows;
  const auto& first = stages.front();
  for (const Stage& stage : stages) {
    char smaller[32];
    std::snprintf(smaller, sizeof smaller, "%.1fx", static_cast<double>(first.bytes_dense) / static_cast<double>(stage.bytes_sparse));
    rows.push_back(
        {{stage.name, percent(stage.accuracy), percent(100 * static_cast<double>(stage.zeros) / static_cast<double>(stage.elements)),
          vigil::grouped(stage.bytes_dense), vigil::grouped(stage.bytes_sparse), smaller},
         vigil::Style::plain});
  }
  return vigil::table_text(
      {{"model"}, {"accuracy", true}, {"sparsity", true}, {"bytes dense", true}, {"bytes sparse", true}, {"smaller", true}}, rows, place);
}

int run(const Options& options) {
  torch::manual_seed(options.seed);
  if (options.threads > 0) torch::set_num_threads(options.threads);
  const vigil::OutputPlace place = vigil::look_at_output(STDOUT_FILENO, vigil::ColorMode::automatic);
  if (!std::filesystem::exists(std::filesystem::path(options.data) / "train-images-idx3-ubyte")) {
    throw std::runtime_error("no MNIST in '" + options.data +
                             "': scripts/setup.sh brings it to build/deps/mnist; --data names another folder");
  }
  const TestSet test_set(options);
  Net model;
  const vigil::Forward forward = [&](const torch::Tensor& images) { return model->forward(images); };
  const auto keep = [&](const char* name) {
    if (!options.save.empty()) torch::save(model, (std::filesystem::path(options.save) / name).string());
  };
  if (!options.save.empty()) std::filesystem::create_directories(options.save);

  vigil::Config config = vigil::load_config_from_environment();
  if (options.port >= 0) config.exporters.prometheus.port = options.port;
  vigil::TrainingMonitor monitor(config);
  torch::optim::Adam optimizer(model->parameters(), torch::optim::AdamOptions(1e-3));
  monitor.watch(*model, optimizer);
  std::vector<Stage> stages;

  const Images training_set = images_of(options, torch::data::datasets::MNIST::Mode::kTrain);
  const std::uint64_t steps_per_epoch = *training_set.size() / static_cast<std::uint64_t>(options.batch);
  const std::uint64_t dense_steps = steps_per_epoch * static_cast<std::uint64_t>(options.epochs);
  train(model, optimizer, monitor, training_set, dense_steps, options, "dense", [](std::uint64_t) {});
  stages.push_back(stage_of("dense", test_set.accuracy(forward), model));
  keep("dense.pt");
  const auto before = vigil::pruning_report(*model);

  // Most is pruned early on, while there is most to choose from; the last third of the steps is for what is left to adapt.
  vigil::PruningMasks masks(*model);
  vigil::PruningSchedule schedule;
  schedule.final_sparsity = options.sparsity;
  const std::uint64_t steps = steps_per_epoch * static_cast<std::uint64_t>(options.pruning_epochs);
  schedule.begin = 1;
  schedule.interval = 25;
  schedule.end = std::max<std::uint64_t>(1, steps * 2 / 3);
  vigil::ScheduledPruning pruning(masks, schedule);
  for (auto& group : optimizer.param_groups()) static_cast<torch::optim::AdamOptions&>(group.options()).lr(5e-4);
  train(model, optimizer, monitor, training_set, steps, options, "pruning", [&](std::uint64_t step) {
    if (pruning.step(step) == vigil::ScheduledPruning::Outcome::failed) throw std::runtime_error(pruning.message());
  });
  monitor.finish();
  masks.make_permanent();
  stages.push_back(stage_of("pruned", test_set.accuracy(forward), model));
  keep("pruned.pt");
  std::printf("%s\n", vigil::pruning_text(before, vigil::pruning_report(*model), place).c_str());

  vigil::ModelQuantisation how;
  how.layer.grid.per_channel = !options.per_tensor;
  how.kinds = {"Linear"};
  std::printf("%s\n", vigil::quantisation_table(vigil::quantisation_report(*model, how), place).c_str());
  auto fc1 = vigil::quantise(model->fc1, how.layer), fc2 = vigil::quantise(model->fc2, how.layer);
  const vigil::Forward int8_forward = [&](const torch::Tensor& images) {
    return torch::log_softmax(fc2(torch::relu(fc1(model->features(images)))), 1);
  };
  stages.push_back(stage_of("pruned, int8", test_set.accuracy(int8_forward), model, {fc1, fc2}));
  if (!options.save.empty()) vigil::save_quantised(*model, std::filesystem::path(options.save) / "int8.pt", how);
  const vigil::Agreement agreement = vigil::agreement(forward, int8_forward, test_set.images);
  std::printf("Linear layers: %s; same answer as in float for %s of the test images, SQNR of the outputs %.1f dB\n\n",
              fc1->execution().c_str(), percent(100 * agreement.top1()).c_str(), agreement.sqnr_db());

  std::printf("%s", comparison(stages, place).c_str());
  const double lost = stages.front().accuracy - stages.back().accuracy;
  std::printf("%.2f points of accuracy %s; %.2f may be lost\n", std::abs(lost), lost > 0 ? "lost" : "gained", options.max_loss);
  return lost <= options.max_loss ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Prunes and quantises a small convolutional network that it trains on MNIST.");
  const auto add = [&](const char* name, auto& value, const char* text) {
    return app.add_option(name, value, text)->capture_default_str();
  };
  add("--data", options.data, "folder with the four IDX files of MNIST");
  app.add_option("--save", options.save, "folder for dense.pt, pruned.pt and int8.pt; default: they are not kept");
  add("--sparsity", options.sparsity, "share of the layers' weights to prune")->check(CLI::Range(0.0, 1.0));
  add("--max-loss", options.max_loss, "points of accuracy that may be lost")->check(CLI::Range(0.0, 100.0));
  app.add_flag("--per-tensor", options.per_tensor, "one scale for a weight instead of one for each output");
  add("--epochs", options.epochs, "passes over the training set, dense")->check(CLI::Range(1, 1000));
  add("--pruning-epochs", options.pruning_epochs, "while it is pruned")->check(CLI::Range(1, 1000));
  add("--batch", options.batch, "examples per step")->check(CLI::Range(1, 60000));
  app.add_option("--port", options.port, "port of the metrics endpoint; 0: any free; default: as configured")->check(CLI::Range(0, 65535));
  add("--threads", options.threads, "threads of libtorch; 0: its default")->check(CLI::Range(0, 1024));
  add("--seed", options.seed, "seed of weights and order");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options);
  } catch (const c10::Error& error) {
    std::cerr << "prune_and_quantise: " << error.what_without_backtrace() << "\n";
  } catch (const std::exception& error) {
    std::cerr << "prune_and_quantise: " << error.what() << "\n";
  }
  return 2;
}
