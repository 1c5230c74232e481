// A training program that knows vigil only through its install tree. Exits 0 when vigil saw its steps, named what broke one, and kept a
// checkpoint.
#include <torch/torch.h>

#include <vigil/hooks/training_monitor.h>
#include <vigil/model/checkpointer.h>

int main() {
  torch::nn::Linear model(4, 1);
  torch::optim::SGD optimizer(model->parameters(), 0.01);
  vigil::Config config;
  config.exporters.prometheus.port = 0;
  config.exporters.report.enabled = false;
  config.guard.on_nonfinite = vigil::OnNonfinite::skip_step;
  vigil::TrainingMonitor monitor(config);
  monitor.watch(*model, optimizer);
  vigil::CheckpointOptions options;
  options.directory = "consumer-checkpoints";
  vigil::Checkpointer checkpoints(options);
  for (int step = 0; step < 4; ++step) {
    optimizer.zero_grad();
    const auto loss = model->forward(torch::randn({8, 4})).pow(2).mean();
    loss.backward();
    monitor.step(optimizer, loss);
  }
  monitor.train_step(optimizer, [&] { return torch::sqrt(-model->forward(torch::ones({8, 4})).abs() - 1).mean(); });
  const bool is_saved = checkpoints.save(*model, optimizer, 5).ok() && checkpoints.load_latest_good(*model, optimizer).step == 5;
  const auto origin = monitor.nonfinite_origin();
  return is_saved && origin && origin->operation == "aten::sqrt" && monitor.value("vigil_steps_total") == 5.0 ? 0 : 1;
}
