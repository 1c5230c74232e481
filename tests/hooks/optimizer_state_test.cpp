// What an optimizer did and keeps, against libtorch's own arithmetic in float64.
#include "vigil/hooks/optimizer_state.h"

#include <cmath>
#include <memory>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "hooks/test_model.h"
#include "vigil/hooks/training_monitor.h"
#include "vigil/hooks/watched_model.h"

namespace vigil {
namespace {

using testing::ElementsAre;
using torch::Tensor;
namespace optim = torch::optim;

TensorRow row_of(const TrainingMonitor& monitor, TensorKind kind, const std::string& name) {
  const auto latest = monitor.snapshot();
  for (std::size_t i = 0; i < latest->schema->rows.size(); ++i) {
    if (latest->schema->rows[i].kind == kind && latest->schema->rows[i].name == name) return latest->rows[i];
  }
  ADD_FAILURE() << "no row " << name;
  return {};
}

// The tensor that the optimizer saves under `name` of its parameter `parameter` of the first group, read back from its archive.
Tensor saved_state(const optim::Optimizer& optimizer, const std::string& name, const Tensor& parameter) {
  std::stringstream stream;
  torch::serialize::OutputArchive out;
  optimizer.save(out);
  out.save_to(stream);
  torch::serialize::InputArchive in, states, state;
  in.load_from(stream);
  in.read("state", states);
  // Keyed by number in the order of the groups from 2.0 on, by address before: all of them are looked at.
  for (const std::string& key : states.keys()) {
    states.read(key, state);
    Tensor tensor;
    if (state.try_read(name, tensor, false) && tensor.sizes() == parameter.sizes()) return tensor;
  }
  return {};
}

double euclidean_norm(const Tensor& tensor) { return tensor.detach().to(torch::kDouble).norm().item<double>(); }

class Measured : public testing::Test {
 protected:
  Measured() {
    torch::manual_seed(9);
    config.sampling.every_steps = 1;
    config.sampling.distance = config.sampling.gradient_cosine = config.sampling.optimizer_state = {"*"};
  }
  template <class Optimizer>
  void expect_norms(Optimizer& optimizer, const std::vector<std::string>& names) {
    EXPECT_EQ(state_names(optimizer), names);
    TrainingMonitor monitor(config);
    monitor.watch(*net, optimizer);
    for (int step = 0; step < 4; ++step) {
      const Tensor loss = backward_pass(net, optimizer);
      std::vector<Tensor> before;
      for (const std::string& name : names) before.push_back(step == 0 ? Tensor() : saved_state(optimizer, name, net->fc->weight));
      monitor.step(optimizer, loss);
      const TensorRow row = row_of(monitor, TensorKind::parameter, "fc.weight");
      for (std::size_t i = 0; i < names.size(); ++i) {
        ASSERT_EQ(row.has_state(i), before[i].defined()) << names[i] << " in step " << step + 1;
        if (!before[i].defined()) continue;
        EXPECT_NEAR(row.state_norms[i], euclidean_norm(before[i]), 1e-6 * euclidean_norm(before[i])) << names[i];
      }
      EXPECT_FALSE(row.has_state(names.size()));
    }
  }

  SmallNet net;
  Config config = quiet_config();
};

TEST_F(Measured, StateOfAdam) {
  optim::Adam adam(net->parameters(), 1e-2);
  expect_norms(adam, {"exp_avg", "exp_avg_sq"});
}

TEST_F(Measured, StateOfAdamWithAmsgrad) {
  optim::Adam adam(net->parameters(), optim::AdamOptions(1e-2).amsgrad(true));
  expect_norms(adam, {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"});
}

TEST_F(Measured, StateOfAdamW) {
  optim::AdamW adamw(net->parameters(), 1e-2);
  expect_norms(adamw, {"exp_avg", "exp_avg_sq"});
}

TEST_F(Measured, StateOfRmsprop) {
  optim::RMSprop rmsprop(net->parameters(), optim::RMSpropOptions(1e-3).momentum(0.9).centered(true));
  expect_norms(rmsprop, {"square_avg", "momentum_buffer", "grad_avg"});
}

TEST_F(Measured, StateOfSgdWithMomentum) {
  optim::SGD sgd(net->parameters(), optim::SGDOptions(1e-2).momentum(0.9));
  expect_norms(sgd, {"momentum_buffer"});
}

TEST_F(Measured, OptimizersWithoutStateHaveNone) {
  optim::SGD sgd(net->parameters(), 1e-2);
  EXPECT_TRUE(state_names(sgd).empty());
  optim::LBFGS lbfgs(net->parameters(), 1);
  EXPECT_TRUE(state_names(lbfgs).empty());
}

TEST_F(Measured, StateOfAdagradIsThereFromTheStart) {
  optim::Adagrad adagrad(net->parameters(), optim::AdagradOptions(1e-2).initial_accumulator_value(0.5));
  TrainingMonitor monitor(config);
  monitor.watch(*net, adagrad);
  monitor.step(adagrad, backward_pass(net, adagrad));
  const double initial = std::sqrt(0.25 * static_cast<double>(net->fc->weight.numel()));
  EXPECT_NEAR(row_of(monitor, TensorKind::parameter, "fc.weight").state_norms[0], initial, 1e-6 * initial);
}

TEST_F(Measured, StateFollowsAnOptimizerThatIsLoaded) {
  optim::Adam adam(net->parameters(), 1e-2);
  TrainingMonitor monitor(config);
  monitor.watch(*net, adam);
  for (int i = 0; i < 2; ++i) monitor.step(adam, backward_pass(net, adam));
  std::stringstream stream;
  torch::save(adam, stream);
  const double at_save = euclidean_norm(saved_state(adam, "exp_avg", net->fc->weight));
  for (int i = 0; i < 3; ++i) monitor.step(adam, backward_pass(net, adam));
  torch::load(adam, stream);
  monitor.step(adam, backward_pass(net, adam));
  EXPECT_NEAR(row_of(monitor, TensorKind::parameter, "fc.weight").state_norms[0], at_save, 1e-6 * at_save);
}

TEST_F(Measured, StateThatIsNotFiniteShows) {
  config.guard.on_nonfinite = OnNonfinite::warn;
  optim::SGD sgd(net->parameters(), optim::SGDOptions(1e-2).momentum(0.9));
  TrainingMonitor monitor(config);
  monitor.watch(*net, sgd);
  Tensor loss = backward_pass(net, sgd);
  net->fc->weight.mutable_grad().fill_(std::nan(""));
  monitor.step(sgd, loss);
  monitor.step(sgd, backward_pass(net, sgd));
  const TensorRow row = row_of(monitor, TensorKind::parameter, "fc.weight");
  EXPECT_TRUE(row.has_state(0));
  EXPECT_TRUE(std::isnan(row.state_norms[0]));
}

TEST_F(Measured, DistanceIsFromWhatTheParameterWasAtWatch) {
  optim::SGD sgd(net->parameters(), 0.1);
  TrainingMonitor monitor(config);
  const Tensor initial = net->fc->weight.detach().clone();
  monitor.watch(*net, sgd);
  for (int i = 0; i < 5; ++i) {
    const Tensor loss = backward_pass(net, sgd);
    const double distance = euclidean_norm(net->fc->weight.to(torch::kDouble) - initial.to(torch::kDouble));
    monitor.step(sgd, loss);
    EXPECT_NEAR(row_of(monitor, TensorKind::parameter, "fc.weight").distance, distance, 1e-6 * distance);
  }
  EXPECT_GT(*monitor.value("vigil_parameter_distance", "fc.weight"), 0);
}

TEST_F(Measured, CosineIsOfSuccessiveGradients) {
  optim::SGD sgd(net->parameters(), 0.1);
  TrainingMonitor monitor(config);
  monitor.watch(*net, sgd);
  Tensor before;
  for (int i = 0; i < 5; ++i) {
    const Tensor loss = backward_pass(net, sgd);
    const Tensor gradient = net->fc->weight.grad().to(torch::kDouble).flatten().clone();
    monitor.step(sgd, loss);
    const double cosine = row_of(monitor, TensorKind::gradient, "fc.weight").cosine;
    if (i == 0) {
      EXPECT_TRUE(std::isnan(cosine));
    } else {
      EXPECT_NEAR(cosine, torch::cosine_similarity(gradient, before, 0).item<double>(), 1e-9);
    }
    before = gradient;
  }
}

TEST_F(Measured, AGradientThatIsZeroOrNotFiniteHasNoCosine) {
  config.guard.on_nonfinite = OnNonfinite::skip_step;
  optim::SGD sgd(net->parameters(), 0.1);
  TrainingMonitor monitor(config);
  monitor.watch(*net, sgd);
  for (const double value : {1.0, 0.0, 1.0, std::nan(""), 1.0}) {
    const Tensor loss = backward_pass(net, sgd);
    net->fc->weight.mutable_grad().fill_(value);
    monitor.step(sgd, loss);
    EXPECT_TRUE(std::isnan(row_of(monitor, TensorKind::gradient, "fc.weight").cosine)) << value;
  }
  const Tensor loss = backward_pass(net, sgd);
  net->fc->weight.mutable_grad().fill_(-1.0);
  monitor.step(sgd, loss);
  EXPECT_EQ(row_of(monitor, TensorKind::gradient, "fc.weight").cosine, -1);
}

TEST_F(Measured, CopiesStopAtTheirBound) {
  config.sampling.copy_bytes = 4 * 2 * 36;  // distance and cosine of the first
  optim::SGD sgd({net->conv->weight, net->fc->weight}, 0.1);
  const WatchedModel model =
      watch_tensors({{"", {{"conv.weight", net->conv->weight}, {"fc.weight", net->fc->weight}}, {}, &sgd}}, config.sampling);
  EXPECT_TRUE(model.schema.rows[0].has_distance);
  EXPECT_TRUE(model.schema.rows[1].has_cosine);
  EXPECT_FALSE(model.schema.rows[2].has_distance || model.schema.rows[3].has_cosine);
  EXPECT_THAT(model.without_copy, ElementsAre("fc.weight", "fc.weight"));
  EXPECT_THAT(model.without_state, ElementsAre(""));
}

}  // namespace
}  // namespace vigil
