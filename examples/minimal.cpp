#include <torch/torch.h>

#include <vigil/hooks/training_monitor.h>

int main() {
  torch::nn::Sequential model(torch::nn::Linear(8, 32), torch::nn::ReLU(), torch::nn::Linear(32, 1));
  torch::optim::SGD optimizer(model->parameters(), 0.05);

  vigil::TrainingMonitor monitor;    // settings from the file that $VIGIL_CONFIG names, else the defaults
  monitor.watch(*model, optimizer);  // starts serving http://127.0.0.1:9464/metrics

  for (int step = 0; step < 2000; ++step) {
    const auto x = torch::randn({64, 8});
    const auto y = x.sum(1, /*keepdim=*/true).sin();
    optimizer.zero_grad();
    const auto loss = torch::mse_loss(model->forward(x), y);
    loss.backward();
    monitor.step(optimizer, loss);  // in place of optimizer.step()
  }
}
