// A training program that knows vigil only through its install tree. Exits 0 when vigil saw its steps.
#include <torch/torch.h>

#include <vigil/hooks/training_monitor.h>

int main() {
  torch::nn::Linear model(4, 1);
  torch::optim::SGD optimizer(model->parameters(), 0.01);
  vigil::Config config;
  config.exporters.prometheus.port = 0;
  vigil::TrainingMonitor monitor(config);
  monitor.watch(*model, optimizer);
  for (int step = 0; step < 5; ++step) {
    optimizer.zero_grad();
    const auto loss = model->forward(torch::randn({8, 4})).pow(2).mean();
    loss.backward();
    monitor.step(optimizer, loss);
  }
  return monitor.value("vigil_steps_total") == 5.0 ? 0 : 1;
}
