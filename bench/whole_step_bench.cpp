// A training step with vigil against the same step without: what its passes cost and what they displace from the caches.
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bench/fixture.h"
#include "bench/kept_heap.h"
#include "bench/registration.h"
#include "bench/statistics_under_test.h"
#include "vigil/hooks/training_monitor.h"

namespace vigil::bench {
namespace {

constexpr std::size_t kBatches = 16;  // of fresh random data, taken in turn

struct Batch {
  torch::Tensor input, target;
};

// 784-512-512-10 over batches of 32: weights, gradients and the optimizer's momentum are 8 MB.
struct MlpImpl : torch::nn::Module {
  torch::Tensor loss(const Batch& batch) {
    const torch::Tensor x = torch::relu(second(torch::relu(first(batch.input))));
    return torch::cross_entropy_loss(third(x), batch.target);
  }
  static Batch random_batch() { return {torch::randn({32, 784}), torch::randint(10, {32}, torch::kLong)}; }

  torch::nn::Linear first = register_module("first", torch::nn::Linear(784, 512));
  torch::nn::Linear second = register_module("second", torch::nn::Linear(512, 512));
  torch::nn::Linear third = register_module("third", torch::nn::Linear(512, 10));
};

// Three convolutions with BatchNorm over 32 images of 3 x 32 x 32.
struct CnnImpl : torch::nn::Module {
  torch::Tensor loss(const Batch& batch) {
    torch::Tensor x = torch::max_pool2d(torch::relu(norm1(conv1(batch.input))), 2);
    x = torch::max_pool2d(torch::relu(norm2(conv2(x))), 2);
    x = torch::max_pool2d(torch::relu(norm3(conv3(x))), 2);
    return torch::cross_entropy_loss(head(x.flatten(1)), batch.target);
  }
  static Batch random_batch() { return {torch::randn({32, 3, 32, 32}), torch::randint(10, {32}, torch::kLong)}; }

  static torch::nn::Conv2d convolution(std::int64_t in, std::int64_t out) {
    return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1));
  }
  torch::nn::Conv2d conv1 = register_module("conv1", convolution(3, 32));
  torch::nn::BatchNorm2d norm1 = register_module("norm1", torch::nn::BatchNorm2d(32));
  torch::nn::Conv2d conv2 = register_module("conv2", convolution(32, 64));
  torch::nn::BatchNorm2d norm2 = register_module("norm2", torch::nn::BatchNorm2d(64));
  torch::nn::Conv2d conv3 = register_module("conv3", convolution(64, 128));
  torch::nn::BatchNorm2d norm3 = register_module("norm3", torch::nn::BatchNorm2d(128));
  torch::nn::Linear head = register_module("head", torch::nn::Linear(2048, 10));
};

constexpr std::int64_t kWidth = 384, kHeads = 6, kContext = 128, kVocabulary = 256;

struct BlockImpl : torch::nn::Module {
  torch::Tensor forward(torch::Tensor x, const torch::Tensor& mask) {
    const std::int64_t batch = x.size(0), length = x.size(1);
    const auto parts = query_key_value(norm1(x)).view({batch, length, 3, kHeads, kWidth / kHeads}).permute({2, 0, 3, 1, 4}).unbind(0);
    const torch::Tensor scores = torch::matmul(parts[0], parts[1].transpose(-2, -1)) / std::sqrt(static_cast<double>(kWidth / kHeads));
    const torch::Tensor attention = torch::matmul(torch::softmax(scores + mask, -1), parts[2]);
    x = x + projection(attention.transpose(1, 2).reshape({batch, length, kWidth}));
    return x + contract(torch::gelu(expand(norm2(x))));
  }

  torch::nn::LayerNorm norm1 = register_module("norm1", torch::nn::LayerNorm(torch::nn::LayerNormOptions({kWidth})));
  torch::nn::Linear query_key_value = register_module("query_key_value", torch::nn::Linear(kWidth, 3 * kWidth));
  torch::nn::Linear projection = register_module("projection", torch::nn::Linear(kWidth, kWidth));
  torch::nn::LayerNorm norm2 = register_module("norm2", torch::nn::LayerNorm(torch::nn::LayerNormOptions({kWidth})));
  torch::nn::Linear expand = register_module("expand", torch::nn::Linear(kWidth, 4 * kWidth));
  torch::nn::Linear contract = register_module("contract", torch::nn::Linear(4 * kWidth, kWidth));
};
TORCH_MODULE(Block);

// A character-level decoder: 6 layers of 384, 10.9 M parameters, over texts of 128 characters.
template <std::int64_t kTexts>
struct TransformerImpl : torch::nn::Module {
  TransformerImpl() {
    for (int i = 0; i < 6; ++i) blocks.push_back(register_module("block" + std::to_string(i), Block()));
  }
  torch::Tensor loss(const Batch& batch) {
    torch::Tensor x = tokens(batch.input) + positions(torch::arange(kContext));
    for (auto& block : blocks) x = block(x, mask);
    return torch::cross_entropy_loss(head(norm(x)).view({-1, kVocabulary}), batch.target.view({-1}));
  }
  static Batch random_batch() {
    return {torch::randint(kVocabulary, {kTexts, kContext}, torch::kLong), torch::randint(kVocabulary, {kTexts, kContext}, torch::kLong)};
  }

  torch::nn::Embedding tokens = register_module("tokens", torch::nn::Embedding(kVocabulary, kWidth));
  torch::nn::Embedding positions = register_module("positions", torch::nn::Embedding(kContext, kWidth));
  std::vector<Block> blocks;
  torch::nn::LayerNorm norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({kWidth})));
  torch::nn::Linear head = register_module("head", torch::nn::Linear(kWidth, kVocabulary));
  torch::Tensor mask = torch::full({kContext, kContext}, -1e9).triu(1);
};

struct VariantKind {
  const char* name;
  std::int64_t sampled_every;   // 0: without vigil
  std::int64_t observed_every;  // activations; 0: never. As often as there are steps in a block.
};
constexpr VariantKind kVariants[] = {
    {"off", 0, 0}, {"every_step", 1, 0}, {"every_10th", 10, 0}, {"activations_every_100th", 10, 100}, {"off_again", 0, 0}};

// A step of the training, with or without a monitor.
struct Variant {
  std::unique_ptr<TrainingMonitor> monitor;
  std::uint64_t steps = 0;
};

// One model is trained, by all variants in turn: models of their own would lie elsewhere in memory, which alone is worth some percent.
struct Training {
  KeptHeap kept_heap;  // page faults for the temporaries of an optimizer come and go: a step of the transformer takes 130 or 350 ms
  std::shared_ptr<torch::nn::Module> model;
  std::function<torch::Tensor(const Batch&)> loss;
  std::vector<Batch> batches;
  std::unique_ptr<torch::optim::Optimizer> optimizer;
  std::vector<Variant> variants;  // as kVariants
  std::size_t steps = 0;          // of all

  void step(Variant& variant) {
    optimizer->zero_grad();
    const torch::Tensor value = loss(batches[steps % batches.size()]);
    value.backward();
    if (variant.monitor == nullptr) {
      optimizer->step();
    } else {
      variant.monitor->step(*optimizer, value);
    }
    ++variant.steps;
    ++steps;
  }
};

template <class Model>
std::shared_ptr<Training> make_training(
    const std::function<std::unique_ptr<torch::optim::Optimizer>(std::vector<torch::Tensor>)>& optimizer) {
  auto training = std::make_shared<Training>();
  auto model = std::make_shared<Model>();
  training->model = model;
  training->loss = [model](const Batch& batch) { return model->loss(batch); };
  for (std::size_t i = 0; i < kBatches; ++i) training->batches.push_back(Model::random_batch());
  training->optimizer = optimizer(model->parameters());
  for (const VariantKind& kind : kVariants) {
    Variant variant;
    if (kind.sampled_every > 0) {
      Config config;  // otherwise the defaults, as users have them: the endpoint is served
      config.sampling.every_steps = kind.sampled_every;
      config.sampling.activations_every_steps = kind.observed_every;
      config.exporters.prometheus.port = 0;
      config.log.level = LogLevel::warning;
      variant.monitor = std::make_unique<TrainingMonitor>(config);
      variant.monitor->watch(*model, *training->optimizer);
    }
    training->variants.push_back(std::move(variant));
  }
  for (Variant& variant : training->variants) {
    for (int i = 0; i < 3; ++i) training->step(variant);
  }
  return training;
}

struct Model {
  const char* name;
  int block;  // steps in a row of one variant; a multiple of 10
  std::function<std::shared_ptr<Training>()> make;
};

// The monitor saw each step and sampled those that it should.
void check(const std::string& name, const Variant& variant, const VariantKind& kind) {
  if (variant.monitor == nullptr) return;
  if (!variant.monitor->active()) fail(name, "the monitor is off; is VIGIL_DISABLE set?");
  const auto snapshot = variant.monitor->snapshot();
  const auto every = static_cast<std::uint64_t>(kind.sampled_every);
  const std::uint64_t sampled = variant.steps / every + (every > 1 ? 1 : 0);  // step 1 is always one
  if (snapshot->step.step != variant.steps) fail(name, "the monitor saw another number of steps");
  if (snapshot->step.totals.samples != sampled)
    fail(name, "the monitor took " + std::to_string(snapshot->step.totals.samples) + " samples");
  if (kind.observed_every > 0 && snapshot->activations.empty()) fail(name, "the monitor saw no activations");
  if (!snapshot->gradient_norm || !(*snapshot->gradient_norm > 0)) fail(name, "there is no gradient norm");
}

void add(const Model& model, int threads, std::size_t index) {
  const VariantKind& kind = kVariants[index];
  const std::string group = std::string("whole_step/") + model.name;
  const std::string name = benchmark_name(group, threads, kind.name);
  register_benchmark(name, threads, [=](benchmark::State& state) {
    use_automatic_kernel();
    auto& training = FixtureShelf::instance().get<Training>(group, model.make);
    Variant& variant = training.variants[index];
    if (kind.observed_every == 0) {
      training.step(variant);  // brings what is this variant's own back into the caches
    } else {
      // An observed step is the last one of a block, or the observer that is attached before it would see the next variant's steps.
      while (variant.steps % static_cast<std::uint64_t>(kind.observed_every) != 0) training.step(variant);
    }
    for (auto _ : state) training.step(variant);
    if (FixtureShelf::instance().is_unchecked(name)) check(name, variant, kind);
  })->Iterations(kind.observed_every > 0 ? static_cast<int>(kind.observed_every) : model.block);
}

}  // namespace

void register_whole_steps() {
  const auto adam = [](std::vector<torch::Tensor> parameters) -> std::unique_ptr<torch::optim::Optimizer> {
    return std::make_unique<torch::optim::AdamW>(std::move(parameters), torch::optim::AdamWOptions(3e-4));
  };
  const auto sgd = [](std::vector<torch::Tensor> parameters) -> std::unique_ptr<torch::optim::Optimizer> {
    return std::make_unique<torch::optim::SGD>(std::move(parameters), torch::optim::SGDOptions(0.01).momentum(0.9));
  };
  const Model models[] = {{"mlp", 20, [=] { return make_training<MlpImpl>(sgd); }},
                          {"cnn", 20, [=] { return make_training<CnnImpl>(sgd); }},
                          {"transformer", 10, [=] { return make_training<TransformerImpl<4>>(adam); }},
                          {"transformer_of_one_text", 10, [=] { return make_training<TransformerImpl<1>>(adam); }}};
  for (const Model& model : models) {
    for (const int threads : {1, 2}) {
      for (std::size_t variant = 0; variant < std::size(kVariants); ++variant) add(model, threads, variant);
    }
  }
}

}  // namespace vigil::bench
