// Trains a small convolutional network on MNIST under vigil and reports what vigil saw.
//
//   mnist --data DIR                                        one epoch
//   mnist --data DIR --inject-nan-at 300 --layer conv2      one NaN gradient, as an alert sees it
#include <chrono>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <vigil/hooks/training_monitor.h>

namespace {

struct Options {
  std::string data = "build/deps/mnist";
  std::string config;
  std::string layer = "conv2";
  std::string on_nonfinite;
  std::string optimizer = "adam";
  std::string save;
  double learning_rate = 0;  // 0: what suits the optimizer
  int epochs = 1;
  int batch = 64;
  int threads = 0;
  int port = -1;
  std::uint64_t seed = 1;
  std::uint64_t inject_nan_at = 0;
  std::uint64_t max_steps = std::numeric_limits<std::uint64_t>::max();
  bool keep_open = false;
};

struct NetImpl : torch::nn::Module {
  torch::Tensor forward(torch::Tensor x) {
    x = torch::max_pool2d(torch::relu(norm1(conv1(x))), 2);
    x = torch::max_pool2d(torch::relu(conv2(x)), 2);
    x = torch::relu(fc1(x.flatten(1)));
    return torch::log_softmax(fc2(x), 1);
  }

  torch::nn::Conv2d conv1 = register_module("conv1", torch::nn::Conv2d(1, 16, 5));
  torch::nn::BatchNorm2d norm1 = register_module("norm1", torch::nn::BatchNorm2d(16));
  torch::nn::Conv2d conv2 = register_module("conv2", torch::nn::Conv2d(16, 32, 5));
  torch::nn::Linear fc1 = register_module("fc1", torch::nn::Linear(512, 128));
  torch::nn::Linear fc2 = register_module("fc2", torch::nn::Linear(128, 10));
};
TORCH_MODULE(Net);

volatile std::sig_atomic_t stop_requested = 0;

// Step, loss, speed and time to go: rewritten in place on a terminal, a line every few seconds elsewhere.
class ProgressLine {
 public:
  explicit ProgressLine(std::uint64_t total) : total_(total), terminal_(isatty(STDERR_FILENO) != 0) {}

  void show(std::uint64_t step, double loss) {
    const auto now = Clock::now();
    if (step < total_ && now - shown_ < (terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(5))) return;
    shown_ = now;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double speed = static_cast<double>(step) / seconds;
    std::fprintf(stderr, "%sstep %llu/%llu  loss %.4f  %.1f steps/s  ETA %.0f s%s", terminal_ ? "\r\033[K" : "",
                 static_cast<unsigned long long>(step), static_cast<unsigned long long>(total_), loss, speed,
                 static_cast<double>(total_ - step) / speed, terminal_ && step < total_ ? "" : "\n");
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::uint64_t total_;
  bool terminal_;
  Clock::time_point begin_ = Clock::now(), shown_{};
};

// The layer's weight gradient becomes NaN in one step, as a faulty backward would make it.
void inject_nan(Net& model, const Options& options, const std::uint64_t& step) {
  auto parameters = model->named_parameters();
  torch::Tensor* weight = parameters.find(options.layer + ".weight");
  if (weight == nullptr) {
    std::string known;
    for (const auto& module : model->named_children()) known += " " + module.key();
    throw std::invalid_argument("--layer " + options.layer + ": no such layer; there are" + known);
  }
  weight->register_hook([at = options.inject_nan_at, &step](const torch::Tensor& gradient) {
    return step == at ? gradient * std::numeric_limits<double>::quiet_NaN() : gradient;
  });
}

std::unique_ptr<torch::optim::Optimizer> optimizer_of(const Options& options, const std::vector<torch::Tensor>& parameters) {
  const auto rate = [&](double usual) { return options.learning_rate > 0 ? options.learning_rate : usual; };
  using namespace torch::optim;
  if (options.optimizer == "adamw") return std::make_unique<AdamW>(parameters, AdamWOptions(rate(1e-3)));
  if (options.optimizer == "adam") return std::make_unique<Adam>(parameters, AdamOptions(rate(1e-3)));
  if (options.optimizer == "momentum") return std::make_unique<SGD>(parameters, SGDOptions(rate(0.01)).momentum(0.9));
  return std::make_unique<SGD>(parameters, SGDOptions(rate(0.05)));
}

double test_accuracy(Net& model, const std::string& data) {
  const torch::NoGradGuard no_grad;
  model->eval();
  auto test_set = torch::data::datasets::MNIST(data, torch::data::datasets::MNIST::Mode::kTest)
                      .map(torch::data::transforms::Normalize<>(0.1307, 0.3081))
                      .map(torch::data::transforms::Stack<>());
  std::int64_t correct = 0, total = 0;
  auto loader = torch::data::make_data_loader(std::move(test_set), 1000);
  for (auto& batch : *loader) {
    correct += model->forward(batch.data).argmax(1).eq(batch.target).sum().item<std::int64_t>();
    total += batch.target.numel();
  }
  model->train();
  return static_cast<double>(correct) / static_cast<double>(total);
}

void print_layers(const vigil::Snapshot& snapshot) {
  std::printf("%-22s %-16s %9s %11s %10s %10s %7s %5s\n", "parameter", "shape", "elements", "mean", "std", "grad norm", "zeros", "NaN");
  for (std::size_t i = 0; i < snapshot.rows.size(); ++i) {
    const auto& row = snapshot.schema->rows[i];
    if (row.kind == vigil::TensorKind::gradient || snapshot.rows[i].state != vigil::TensorRow::present) continue;
    const vigil::Moments& m = snapshot.rows[i].moments;
    std::string gradient = "-";
    for (std::size_t g = 0; g < snapshot.rows.size(); ++g) {
      const auto& other = snapshot.schema->rows[g];
      if (other.kind != vigil::TensorKind::gradient || other.name != row.name || snapshot.rows[g].state != vigil::TensorRow::present)
        continue;
      char text[32];
      std::snprintf(text, sizeof text, "%.3e", vigil::l2_norm(snapshot.rows[g].moments));
      gradient = text;
    }
    std::printf("%-22s %-16s %9llu %11.3e %10.3e %10s %6.1f%% %5llu\n", row.name.c_str(), row.shape.c_str(),
                static_cast<unsigned long long>(row.element_count), m.mean, vigil::standard_deviation(m), gradient.c_str(),
                100.0 * static_cast<double>(m.zero_count) / static_cast<double>(m.count), static_cast<unsigned long long>(m.nan_count));
  }
}

vigil::Config settings_of(const Options& options) {
  vigil::Config config = options.config.empty() ? vigil::load_config_from_environment() : vigil::load_config(options.config);
  if (options.port >= 0) config.exporters.prometheus.port = options.port;
  if (options.keep_open) config.exporters.prometheus.linger_ms = 600'000;
  if (options.on_nonfinite == "warn") config.guard.on_nonfinite = vigil::OnNonfinite::warn;
  if (options.on_nonfinite == "skip_step") config.guard.on_nonfinite = vigil::OnNonfinite::skip_step;
  if (options.on_nonfinite == "stop") config.guard.on_nonfinite = vigil::OnNonfinite::stop;
  return config;
}

int train(const Options& options) {
  torch::manual_seed(options.seed);
  if (options.threads > 0) torch::set_num_threads(options.threads);

  auto train_set = torch::data::datasets::MNIST(options.data)
                       .map(torch::data::transforms::Normalize<>(0.1307, 0.3081))
                       .map(torch::data::transforms::Stack<>());
  const std::uint64_t steps_per_epoch = *train_set.size() / static_cast<std::uint64_t>(options.batch);
  auto loader = torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
      std::move(train_set), torch::data::DataLoaderOptions(static_cast<std::size_t>(options.batch)).drop_last(true));

  Net model;
  const auto optimizer = optimizer_of(options, model->parameters());
  std::uint64_t step = 0;
  if (options.inject_nan_at > 0) inject_nan(model, options, step);

  vigil::TrainingMonitor monitor(settings_of(options));
  try {
    monitor.watch(*model, *optimizer);
  } catch (const std::runtime_error& error) {
    const bool is_port = std::string(error.what()).find("exporters.prometheus.port") != std::string::npos;
    throw std::runtime_error(error.what() + std::string(is_port ? "; here: --port" : ""));
  }
  if (!monitor.endpoint().empty()) {
    std::cout << "look at http://" << monitor.endpoint() << "/ and http://" << monitor.endpoint() << "/metrics while it trains\n"
              << std::flush;
  }

  const std::uint64_t total = std::min(options.max_steps, steps_per_epoch * static_cast<std::uint64_t>(options.epochs));
  ProgressLine progress(total);
  const auto begin = std::chrono::steady_clock::now();
  double last_loss = 0;
  bool stopped = false;
  for (int epoch = 0; epoch < options.epochs && !stopped; ++epoch) {
    for (auto& batch : *loader) {
      ++step;
      // zero_grad, this, backward, the guard, the optimizer; and once more under observation where a step is not finite.
      const auto [verdict, loss] =
          monitor.train_step(*optimizer, [&] { return torch::nll_loss(model->forward(batch.data), batch.target); });
      last_loss = loss.item<double>();
      progress.show(step, last_loss);
      stopped = verdict == vigil::Verdict::stop || step >= total || stop_requested != 0;
      if (stopped) break;
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const auto snapshot = monitor.snapshot();  // before the test set takes its time
  monitor.phase("test");
  const double accuracy = test_accuracy(model, options.data);
  monitor.log("accuracy", accuracy);  // shown as test/accuracy
  if (!options.keep_open) monitor.finish();
  if (!options.save.empty()) torch::save(model, options.save);

  std::printf("\n%llu steps in %.1f s (%.1f steps/s)\n", static_cast<unsigned long long>(step), seconds,
              static_cast<double>(step) / seconds);
  std::printf("loss %.4f, test accuracy %.2f %%\n", last_loss, 100 * accuracy);
  if (snapshot == nullptr) return 0;  // VIGIL_DISABLE is set
  const vigil::StepRecord& record = snapshot->step;
  if (snapshot->gradient_norm) std::printf("global gradient norm %.4f\n", *snapshot->gradient_norm);
  if (record.has(vigil::StepRecord::has_parameter_norm)) std::printf("global parameter norm %.3f\n", record.parameter_norm);
  std::printf("vigil's own overhead %.2f %% of the training thread's time (%llu samples)\n", 100 * snapshot->overhead_ratio(),
              static_cast<unsigned long long>(record.totals.samples));
  if (record.totals.nonfinite_steps > 0) {
    std::printf("non-finite steps: %llu, skipped: %llu; %s\n", static_cast<unsigned long long>(record.totals.nonfinite_steps),
                static_cast<unsigned long long>(record.totals.skipped_steps), monitor.nonfinite_origin()->message.c_str());
  }
  std::printf("\nas last sampled, at step %llu:\n", static_cast<unsigned long long>(snapshot->frame.step));
  print_layers(*snapshot);
  if (options.keep_open) {
    std::printf("\nhttp://%s/ stays open for ten minutes, or until Ctrl-C\n", monitor.endpoint().c_str());
    std::fflush(stdout);
    monitor.finish();
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Trains a small convolutional network on MNIST under vigil.");
  app.add_option("--data", options.data, "folder with the four IDX files of MNIST")->capture_default_str();
  app.add_option("--config", options.config, "vigil's settings (YAML); default: the file that $VIGIL_CONFIG names");
  app.add_option("--port", options.port, "port of the metrics endpoint; 0: any free one; default: as configured")
      ->check(CLI::Range(0, 65535));
  app.add_option("--epochs", options.epochs, "passes over the training set")->capture_default_str()->check(CLI::Range(1, 100000));
  app.add_option("--batch", options.batch, "examples per step")->capture_default_str()->check(CLI::Range(1, 60000));
  app.add_option("--max-steps", options.max_steps, "end after this many steps")->check(CLI::PositiveNumber);
  app.add_option("--optimizer", options.optimizer, "momentum: SGD with 0.9")
      ->capture_default_str()
      ->check(CLI::IsMember({"adamw", "adam", "sgd", "momentum"}));
  app.add_option("--lr", options.learning_rate, "learning rate; default: adam and adamw 0.001, sgd 0.05, momentum 0.01")
      ->check(CLI::PositiveNumber);
  app.add_option("--threads", options.threads, "threads of libtorch; 0: its default")->capture_default_str()->check(CLI::Range(0, 1024));
  app.add_option("--seed", options.seed, "seed of weights and order")->capture_default_str();
  app.add_option("--on-nonfinite", options.on_nonfinite, "what to do with a step whose gradients are not finite; default: as configured")
      ->check(CLI::IsMember({"warn", "skip_step", "stop"}));
  auto* inject = app.add_option("--inject-nan-at", options.inject_nan_at, "make one layer's weight gradient NaN in this step (from 1)");
  app.add_option("--layer", options.layer, "that layer")->capture_default_str()->needs(inject);
  app.add_option("--save", options.save, "write the trained model to this file, as torch::save does: vigil inspect shows it");
  app.add_flag("--keep-open", options.keep_open,
               "leave the page open after the training, for ten minutes or until Prometheus has scraped its end");
  CLI11_PARSE(app, argc, argv);

  // The first signal ends the loop after its step, with a summary; the second one kills.
  struct sigaction action {};
  action.sa_handler = [](int) { stop_requested = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  try {
    return train(options);
  } catch (const c10::Error& error) {
    std::cerr << "mnist: " << error.what_without_backtrace() << "\n";
  } catch (const std::exception& error) {
    std::cerr << "mnist: " << error.what() << "\n";
  }
  return 1;
}
