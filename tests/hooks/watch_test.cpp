// Set-up: what watch() takes in, and what it refuses with words that help.
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/torch.h>

#include "environment.h"
#include "hooks/test_model.h"
#include "vigil/hooks/launch_environment.h"
#include "vigil/hooks/training_monitor.h"
#include "vigil/hooks/watched_model.h"

namespace vigil {
namespace {

using test::EnvironmentVariable;
using testing::ElementsAre;
using testing::HasSubstr;

template <class Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}

NamedTensors list_of(const torch::OrderedDict<std::string, torch::Tensor>& tensors) {
  NamedTensors list;
  for (const auto& item : tensors) list.emplace_back(item.key(), item.value());
  return list;
}

TEST(Watch, ListsParametersGradientsAndFloatingPointBuffers) {
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  const WatchedModel model = watch_tensors({{"", list_of(net->named_parameters()), list_of(net->named_buffers()), &optimizer}}, {});
  EXPECT_THAT(model.schema.parameters, ElementsAre("conv.weight", "conv.bias", "norm.weight", "norm.bias", "fc.weight", "fc.bias"));
  std::multiset<std::string> rows;
  for (const auto& row : model.schema.rows) rows.insert(std::string(kTensorKindNames[static_cast<std::size_t>(row.kind)]) + " " + row.name);
  EXPECT_EQ(rows.size(), 14u);
  EXPECT_EQ(rows.count("buffer norm.running_var"), 1u);
  EXPECT_EQ(rows.count("buffer norm.num_batches_tracked"), 0u);
  EXPECT_EQ(model.schema.layers, 3u);
  EXPECT_EQ(model.schema.trainable.elements, 4u * 9 + 4 + 4 + 4 + 3 * 144 + 3);
  EXPECT_EQ(model.schema.trainable.bytes, 4 * model.schema.trainable.elements);
  EXPECT_EQ(model.schema.buffers.elements, 4u + 4 + 1);
  EXPECT_EQ(model.schema.buffers.bytes, 4u * 8 + 8);
  EXPECT_EQ(model.schema.rows[0].shape, "[4, 1, 3, 3]");
  EXPECT_EQ(model.schema.rows[0].layer, "conv");
}

TEST(Watch, CountsTiedWeightsOnceUnderTheirFirstName) {
  struct Tied : torch::nn::Module {
    Tied() {
      decoder->weight = encoder->weight;
      decoder->register_parameter("weight2", encoder->weight);
      register_parameter("view", encoder->weight.detach());
    }
    torch::nn::Linear encoder = register_module("encoder", torch::nn::Linear(torch::nn::LinearOptions(5, 5).bias(false)));
    torch::nn::Linear decoder = register_module("decoder", torch::nn::Linear(torch::nn::LinearOptions(5, 5).bias(false)));
  };
  Tied tied;
  const auto other = tied.decoder->named_parameters()["weight2"];
  torch::optim::SGD optimizer({other}, 0.1);
  const WatchedModel model = watch_tensors({{"", list_of(tied.named_parameters()), {}, &optimizer}}, {});
  // "view" is registered at the root, which comes before the children; it is the encoder's memory under another name.
  EXPECT_EQ(model.schema.trainable.elements, 25u + 25u);  // the encoder's and the decoder's first, unused weight
  EXPECT_EQ(model.schema.parameters.size(), 2u);
}

TEST(Watch, CountsFrozenParametersApart) {
  SmallNet net;
  net->fc->weight.set_requires_grad(false);
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  const WatchedModel model = watch_tensors({{"", list_of(net->named_parameters()), {}, &optimizer}}, {});
  EXPECT_EQ(model.schema.frozen.elements, 3u * 144);
}

TEST(Watch, IncludeAndExcludePatternsChooseTheSampledTensors) {
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  SamplingConfig sampling;
  sampling.include = {"conv.*", "fc.*"};
  sampling.exclude = {"*.bias"};
  sampling.gradients = false;
  const WatchedModel model = watch_tensors({{"", list_of(net->named_parameters()), list_of(net->named_buffers()), &optimizer}}, sampling);
  std::vector<std::string> names;
  for (const auto& row : model.schema.rows) names.push_back(row.name);
  EXPECT_THAT(names, ElementsAre("conv.weight", "fc.weight"));
  EXPECT_EQ(model.schema.parameters.size(), 6u) << "the guard looks at every gradient all the same";
}

TEST(Watch, PatternsThatMatchNothingAreListed) {
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  SamplingConfig sampling;
  sampling.include = {"conv9*", "fc.*"};
  sampling.exclude = {"norm.running_*", "*.wieght"};
  sampling.histogram = {"norm.running_mean", "fc"};
  sampling.update_ratio = {"fc.bias", "norm.running_mean"};  // a buffer has no update
  const WatchedModel model = watch_tensors({{"", list_of(net->named_parameters()), list_of(net->named_buffers()), &optimizer}}, sampling);
  EXPECT_THAT(model.unmatched,
              ElementsAre("sampling.include: 'conv9*'", "sampling.exclude: '*.wieght'", "sampling.histogram: 'norm.running_mean'",
                          "sampling.histogram: 'fc'", "sampling.update_ratio: 'norm.running_mean'"));
}

TEST(Watch, TypesWithoutStatisticsAreListed) {
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  auto parameters = list_of(net->named_parameters());
  parameters.emplace_back("fourier", torch::zeros({3}, torch::kComplexFloat));
  const WatchedModel model = watch_tensors({{"", parameters, {}, &optimizer}}, {});
  ASSERT_EQ(model.left_out.size(), 1u);
  EXPECT_THAT(model.left_out[0], HasSubstr("fourier"));
}

TEST(Watch, RefusesAModelWithoutParameters) {
  torch::nn::Sequential empty{torch::nn::ReLU()};
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  TrainingMonitor monitor(quiet_config());
  EXPECT_THAT(message_of([&] { monitor.watch(*empty, optimizer); }), HasSubstr("the model has no parameter; register"));
  EXPECT_THROW(monitor.watch(*empty, optimizer), std::invalid_argument);
}

TEST(Watch, RefusesAnOptimizerOfAnotherModelAndStaysUsable) {
  SmallNet net, other;
  torch::optim::SGD foreign(other->parameters(), 0.1), own(net->parameters(), 0.1);
  TrainingMonitor monitor(quiet_config());
  EXPECT_EQ(
      message_of([&] { monitor.watch(*net, foreign); }),
      "watch: 6 of the optimizer's 6 parameters are not among the model's 6 (first: parameter 0 of group 0, shape [4, 1, 3, 3]); pass "
      "the model that the optimizer was created from");
  EXPECT_FALSE(monitor.active());
  monitor.watch(*net, own);
  EXPECT_TRUE(monitor.active());
}

TEST(Watch, RefusesToWatchTwice) {
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  TrainingMonitor monitor(quiet_config());
  monitor.watch(*net, optimizer);
  EXPECT_THAT(message_of([&] { monitor.watch(*net, optimizer); }),
              HasSubstr("watches a model already; create one TrainingMonitor per model"));
}

TEST(Watch, PortInUseSaysWhatToDo) {
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  Config config = served_config();
  TrainingMonitor first(config);
  first.watch(*net, optimizer);
  const std::string port = first.endpoint().substr(first.endpoint().rfind(':') + 1);
  config.exporters.prometheus.port = std::stoi(port);
  TrainingMonitor second(config);
  const std::string message = message_of([&] { second.watch(*net, optimizer); });
  EXPECT_THAT(message, HasSubstr(port));
  EXPECT_THAT(message, HasSubstr("exporters.prometheus.port"));
}

TEST(Watch, ConfigOutOfRangeIsRefusedByTheConstructor) {
  Config config = quiet_config();
  config.sampling.every_steps = 0;
  EXPECT_THROW(TrainingMonitor{config}, ConfigError);
}

struct Nameless : torch::nn::Module {
  torch::Tensor weight = register_parameter("weight", torch::zeros({3}));
};

TEST(Watch, TheModelIsCalledByItsTypeOrAsConfigured) {
  Nameless model;
  torch::optim::SGD optimizer(model.parameters(), 0.1);
  TrainingMonitor monitor(quiet_config());
  monitor.watch(model, optimizer);
  EXPECT_EQ(monitor.snapshot()->schema->identity.model, "vigil::Nameless");
  Config config = quiet_config();
  config.run.model = "resnet50";
  TrainingMonitor named(config);
  named.watch(model, optimizer);
  EXPECT_EQ(named.snapshot()->schema->identity.model, "resnet50");
}

TEST(Watch, TakesANamedListAndPutsTheNameInFront) {
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  TrainingMonitor monitor(quiet_config());
  monitor.watch("net", net->named_parameters(), optimizer);
  EXPECT_EQ(monitor.snapshot()->schema->parameters.at(0), "net.conv.weight");
  EXPECT_EQ(monitor.snapshot()->schema->identity.model, "net");
}

TEST(Watch, RefusesNamesThatDoNotTellParametersApart) {
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  auto parameters = list_of(net->named_parameters());
  parameters.emplace_back("fc.weight", torch::zeros({3}));
  EXPECT_THAT(message_of([&] {
                watch_tensors({{"", parameters, {}, &optimizer}}, {});
              }),
              HasSubstr("two parameters are called 'fc.weight'; give each"));
  parameters.back() = {"", torch::zeros({3})};
  EXPECT_THAT(message_of([&] { watch_tensors({{"", parameters, {}, &optimizer}}, {}); }), HasSubstr("shape [3] has no name; give it one"));
  parameters.back() = {"fc.weight", net->fc->weight};
  EXPECT_NO_THROW(watch_tensors({{"", parameters, {}, &optimizer}}, {})) << "the same tensor again";
}

TEST(Watch, RefusesATensorThatIsComputedFromOthers) {
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  auto parameters = list_of(net->named_parameters());
  parameters.emplace_back("scaled", net->fc->weight * 2);
  EXPECT_THAT(message_of([&] {
                watch_tensors({{"", parameters, {}, &optimizer}}, {});
              }),
              HasSubstr("'scaled' is computed from other tensors"));
}

TEST(Watch, TakesAScriptModule) {
  torch::jit::Module module("Scripted");
  module.register_parameter("weight", torch::randn({3, 3}), /*is_buffer=*/false);
  module.register_buffer("scale", torch::ones({3}));
  std::vector<torch::Tensor> parameters;
  for (const auto& parameter : module.parameters()) parameters.push_back(parameter);
  torch::optim::SGD optimizer(parameters, 0.1);
  TrainingMonitor monitor(quiet_config());
  monitor.watch(module, optimizer);
  const auto snapshot = monitor.snapshot();
  EXPECT_THAT(snapshot->schema->parameters, ElementsAre("weight"));
  EXPECT_EQ(snapshot->schema->buffers.elements, 3u);
}

TEST(LaunchEnvironment, ReadsTheLaunchersVariables) {
  {
    EnvironmentVariable rank("RANK", "3"), world("WORLD_SIZE", "8"), local("LOCAL_RANK", "1"), attempt("TORCHELASTIC_RESTART_COUNT", "2");
    const LaunchEnvironment launch = read_launch_environment();
    EXPECT_EQ(launch.rank, 3);
    EXPECT_EQ(launch.world_size, 8);
    EXPECT_EQ(launch.local_rank, 1);
    EXPECT_EQ(launch.attempt, 2);
  }
  EnvironmentVariable slurm("SLURM_PROCID", "5"), broken("RANK", "five");
  EXPECT_EQ(read_launch_environment().rank, 5) << "a variable that is no number counts as not set";
}

TEST(LaunchEnvironment, RanksOfOneHostGetPortsOfTheirOwn) {
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.1);
  Config config = quiet_config();
  config.exporters.prometheus.enabled = true;
  config.exporters.prometheus.port = 65535;
  EnvironmentVariable local("LOCAL_RANK", "1");
  TrainingMonitor monitor(config);
  EXPECT_THAT(message_of([&] { monitor.watch(*net, optimizer); }), HasSubstr("65535 plus the local rank 1"));
}

}  // namespace
}  // namespace vigil
