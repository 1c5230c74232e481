// Pruning against its definitions: what is chosen is found again by sorting, and norms and sizes are libtorch's own.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "files.h"
#include "model/pruning_net.h"
#include "vigil/model/checkpointer.h"
#include "vigil/model/pruning.h"

namespace vigil {
namespace {

using Kind = PruningMethod::Kind;
using Scope = PruningMethod::Scope;

using test::message_of;
using test::SmallNet;
using test::zeros_in;

std::vector<std::string> names_of(const PruningMasks& masks) {
  std::vector<std::string> names;
  for (const auto& parameter : masks.parameters()) names.push_back(parameter.name);
  return names;
}

std::vector<PrunableParameter> tensors_named(const std::vector<torch::Tensor>& tensors) {
  std::vector<PrunableParameter> parameters;
  for (std::size_t i = 0; i < tensors.size(); ++i) parameters.push_back({"t" + std::to_string(i), tensors[i]});
  return parameters;
}

// All elements of some tensors, one after the other, in row-major order.
std::vector<double> flat(const std::vector<torch::Tensor>& tensors) {
  std::vector<double> values;
  for (const torch::Tensor& tensor : tensors) {
    const torch::Tensor wide = tensor.detach().to(torch::kDouble).contiguous();
    values.insert(values.end(), wide.data_ptr<double>(), wide.data_ptr<double>() + wide.numel());
  }
  return values;
}

// The definition: sort by magnitude, then by index; the first `count` of those in `left` go.
std::vector<double> with_smallest_zero(std::vector<double> values, std::size_t count, std::vector<std::size_t> left = {}) {
  if (left.empty()) {
    left.resize(values.size());
    std::iota(left.begin(), left.end(), std::size_t{0});
  }
  std::sort(left.begin(), left.end(), [&](std::size_t a, std::size_t b) {
    return std::make_tuple(std::fabs(values[a]), a) < std::make_tuple(std::fabs(values[b]), b);
  });
  for (std::size_t i = 0; i < count; ++i) values[left[i]] = 0;
  return values;
}

TEST(PruningAmount, RoundsToTheNearestAndAHalfToTheEvenOne) {
  // Python: [round(a * n) for a, n in …]
  const std::vector<std::tuple<double, std::uint64_t, std::uint64_t>> cases{
      {0.5, 5, 2}, {0.5, 7, 4},  {0.25, 10, 2}, {0.75, 10, 8}, {0.3, 5, 2},       {0.1, 15, 2}, {0.5, 1, 0},
      {0.5, 3, 2}, {0.49, 1, 0}, {0, 100, 0},   {1, 100, 100}, {0.999, 100, 100}, {1, 0, 0}};
  for (const auto& [share, n, expected] : cases) EXPECT_EQ(PruningAmount::share(share).of(n), expected) << share << " of " << n;
  EXPECT_EQ(PruningAmount::count(7).of(7), 7u);
  EXPECT_EQ(message_of<std::invalid_argument>([] { PruningAmount::count(8).of(7); }), "8 are to be pruned, and only 7 are left");
  for (const double bad : {-0.1, 1.1, std::nan("")}) EXPECT_THROW(PruningAmount::share(bad), std::invalid_argument) << bad;
  EXPECT_THROW(PruningAmount::count(-1), std::invalid_argument);
}

TEST(Pruning, TakesExactlyTheSmallestOfEachLayer) {
  torch::manual_seed(1);
  for (const auto dtype : {torch::kFloat, torch::kDouble, torch::kHalf, torch::kBFloat16}) {
    for (const double share : {0.0, 0.1, 0.37, 0.5, 0.9, 1.0}) {
      const std::vector<torch::Tensor> tensors{torch::randn({13, 7}).to(dtype), torch::randn({3, 5, 2}).to(dtype) * 100};
      std::vector<std::vector<double>> expected;
      for (const torch::Tensor& tensor : tensors) {
        expected.push_back(with_smallest_zero(flat({tensor}), static_cast<std::size_t>(std::nearbyint(share * tensor.numel()))));
      }
      PruningMasks masks(tensors_named(tensors));
      PruningMethod method;
      method.scope = Scope::layer;
      masks.prune(PruningAmount::share(share), method);
      EXPECT_EQ(flat({tensors[0]}), expected[0]) << dtype << " " << share;
      EXPECT_EQ(flat({tensors[1]}), expected[1]) << dtype << " " << share;
    }
  }
}

TEST(Pruning, TakesExactlyTheSmallestOfAllLayersAndTypesTogether) {
  torch::manual_seed(2);
  // Of very different scales, and one with subnormals: what is small in one is large in another.
  const std::vector<torch::Tensor> tensors{torch::randn({40, 25}),
                                           torch::randn({300}) * 1e-3,
                                           torch::randn({50, 20}).to(torch::kDouble) * 1e3,
                                           torch::randn({64}).to(torch::kHalf),
                                           torch::randn({64}).to(torch::kBFloat16) * 1e-2,
                                           torch::randn({100}) * 1e-40,
                                           torch::randn({0, 4})};
  const std::vector<double> before = flat(tensors);
  for (const std::int64_t count : {1, 50, 101, 500, 1234, 2400}) {
    std::vector<torch::Tensor> copies;
    for (const torch::Tensor& tensor : tensors) copies.push_back(tensor.clone());
    PruningMasks masks(tensors_named(copies));
    masks.prune(PruningAmount::count(count));
    EXPECT_EQ(flat(copies), with_smallest_zero(before, static_cast<std::size_t>(count))) << count;
    EXPECT_EQ(masks.pruned_count(), static_cast<std::uint64_t>(count));
  }
}

TEST(Pruning, OfEqualOnesThoseThatComeFirstGo) {
  const torch::Tensor a = torch::tensor({{2.F, -1.F, 1.F}, {1.F, -1.F, 3.F}}), b = torch::tensor({{1.F, -1.F}});
  PruningMasks masks(tensors_named({a, b}));
  masks.prune(PruningAmount::count(3));
  EXPECT_EQ(flat({a, b}), (std::vector<double>{2, 0, 0, 0, -1, 3, 1, -1}));
  masks.prune(PruningAmount::count(2));
  EXPECT_EQ(flat({a, b}), (std::vector<double>{2, 0, 0, 0, 0, 3, 0, -1}));
  EXPECT_FALSE(a[0][1].signbit().item<bool>()) << "+0, not -0";

  // A transposed tensor is numbered by its rows, not by its memory.
  const torch::Tensor transposed = torch::ones({2, 3}).t();
  PruningMasks of_transposed(tensors_named({transposed}));
  of_transposed.prune(PruningAmount::count(2));
  EXPECT_EQ(flat({transposed}), (std::vector<double>{0, 0, 1, 1, 1, 1}));
}

TEST(Pruning, TwiceIsOfWhatIsLeft) {
  torch::manual_seed(3);
  const torch::Tensor tensor = torch::randn({25, 37});  // 925
  const std::vector<double> before = flat({tensor});
  PruningMasks masks(tensors_named({tensor}));
  masks.prune(PruningAmount::share(0.5));  // 462.5: 462
  masks.prune(PruningAmount::share(0.5));  // 231.5: 232
  EXPECT_EQ(masks.pruned_count(), 462u + 232u);
  EXPECT_EQ(flat({tensor}), with_smallest_zero(before, 462 + 232));
  EXPECT_NEAR(masks.sparsity(), 694.0 / 925, 1e-15);

  // Pruned ones are not chosen again, even if they have grown, and the same at random.
  tensor.masked_fill_(masks.kept(0).logical_not(), 1000);
  PruningMethod method;
  method.kind = Kind::random;
  masks.prune(PruningAmount::count(100), method);
  EXPECT_EQ(zeros_in(tensor), 794);
  EXPECT_THROW(masks.prune(PruningAmount::count(925 - 794 + 1), method), std::invalid_argument);
  masks.prune(PruningAmount::share(1));
  EXPECT_EQ(masks.sparsity(), 1);
}

TEST(Pruning, AtRandomTakesExactlySoManyOfThemWithTheSeedDeciding) {
  const auto pruned_with = [](std::uint64_t seed, Scope scope) {
    const std::vector<torch::Tensor> tensors{torch::ones({100, 10}), torch::ones({500})};
    PruningMasks masks(tensors_named(tensors));
    PruningMethod method;
    method.kind = Kind::random;
    method.scope = scope;
    method.seed = seed;
    masks.prune(PruningAmount::share(0.3), method);
    return tensors;
  };
  const auto global = pruned_with(7, Scope::global);
  EXPECT_EQ(zeros_in(global[0]) + zeros_in(global[1]), 450);
  EXPECT_EQ(flat(global), flat(pruned_with(7, Scope::global)));
  EXPECT_NE(flat(global), flat(pruned_with(8, Scope::global)));
  const auto layers = pruned_with(7, Scope::layer);
  EXPECT_EQ(zeros_in(layers[0]), 300);
  EXPECT_EQ(zeros_in(layers[1]), 150);

  // Each element as likely: over 400 seeds each of 20 is pruned in 25 % of them; 5.5 standard deviations are 48.
  std::vector<int> times(20);
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const torch::Tensor tensor = torch::ones({4, 5});
    PruningMethod method;
    method.kind = Kind::random;
    method.seed = seed;
    PruningMasks(tensors_named({tensor})).prune(PruningAmount::count(5), method);
    const std::vector<double> values = flat({tensor});
    for (std::size_t i = 0; i < values.size(); ++i) times[i] += values[i] == 0;
  }
  for (std::size_t i = 0; i < times.size(); ++i) EXPECT_NEAR(times[i], 100, 48) << i;
}

TEST(Pruning, ChannelsGoByTheirNorm) {
  torch::manual_seed(4);
  for (const double norm : {1.0, 2.0, 3.0, std::numeric_limits<double>::infinity()}) {
    for (const std::int64_t dim : {0, 1, 3, -1}) {
      const torch::Tensor tensor = torch::randn({9, 8, 3, 5});
      const torch::Tensor before = tensor.clone();
      PruningMethod method;
      method.kind = Kind::ln_channels;
      method.norm = norm;
      method.dim = dim;
      PruningMasks masks(tensors_named({tensor}));
      masks.prune(PruningAmount::share(0.5), method);
      const std::int64_t channels = before.size(dim), pruned = static_cast<std::int64_t>(std::nearbyint(0.5 * channels));
      const torch::Tensor rows = before.transpose(0, dim).reshape({channels, -1}).to(torch::kDouble);
      const torch::Tensor order = at::norm(rows, norm, {1}).argsort();
      torch::Tensor expected = before.clone();
      for (std::int64_t i = 0; i < pruned; ++i) expected.select(dim, order[i].item<std::int64_t>()).zero_();
      EXPECT_TRUE(torch::equal(tensor, expected)) << norm << " " << dim;

      // Half of the channels that are left, then one more: those that are partly pruned by their weights count as left.
      masks.prune(PruningAmount::count(1), method);
      expected.select(dim, order[pruned].item<std::int64_t>()).zero_();
      EXPECT_TRUE(torch::equal(tensor, expected)) << norm << " " << dim;
    }
  }
  // Equal norms: the first.
  const torch::Tensor equal = torch::ones({4, 3});
  PruningMethod method;
  method.kind = Kind::ln_channels;
  PruningMasks(tensors_named({equal})).prune(PruningAmount::count(2), method);
  EXPECT_EQ(flat({equal}), (std::vector<double>{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1}));
}

TEST(Pruning, RandomChannelsAreWholeAndAsManyAsAsked) {
  PruningMethod method;
  method.kind = Kind::random_channels;
  method.dim = 1;
  method.seed = 5;
  const torch::Tensor tensor = torch::ones({6, 10, 2}), same = torch::ones({6, 10, 2});
  PruningMasks masks(tensors_named({tensor}));
  masks.prune(PruningAmount::share(0.3), method);
  PruningMasks(tensors_named({same})).prune(PruningAmount::share(0.3), method);
  EXPECT_TRUE(torch::equal(tensor, same));
  const torch::Tensor sums = tensor.sum(at::IntArrayRef{0, 2});
  EXPECT_EQ(zeros_in(sums), 3);
  EXPECT_EQ(sums.eq(12).sum().item<int>(), 7);
  masks.prune(PruningAmount::share(0.5), method);  // 3.5 of 7: 4
  EXPECT_EQ(zeros_in(tensor.sum(at::IntArrayRef{0, 2})), 7);
}

TEST(Pruning, ByDefaultTakesTheWeightsOfLayersButNotBiasesNormsAndEmbeddings) {
  torch::nn::Sequential model(torch::nn::Embedding(10, 4), torch::nn::LayerNorm(torch::nn::LayerNormOptions({3, 4})), torch::nn::LSTM(4, 5),
                              torch::nn::Linear(5, 2), torch::nn::ConvTranspose1d(2, 2, 3));
  EXPECT_EQ(names_of(PruningMasks(*model)), (std::vector<std::string>{"2.weight_ih_l0", "2.weight_hh_l0", "3.weight", "4.weight"}));
  EXPECT_EQ(names_of(PruningMasks(*model, {{}, {"2.*"}})), (std::vector<std::string>{"3.weight", "4.weight"}));
  EXPECT_EQ(names_of(PruningMasks(*model, {{"0.*", "[3-4].bias"}, {}})), (std::vector<std::string>{"0.weight", "3.bias", "4.bias"}));
  EXPECT_EQ(
      message_of<std::invalid_argument>([&] {
        PruningMasks(*model, {{"head.*"}, {}});
      }),
      "no parameter is named 'head.*'; there are: 0.weight, 1.weight, 1.bias, 2.weight_ih_l0, 2.weight_hh_l0, 2.bias_ih_l0, 2.bias_hh_l0, "
      "3.weight, …");
  EXPECT_THROW(PruningMasks(*model, {{}, {"tail"}}), std::invalid_argument);
  EXPECT_THROW(PruningMasks(*model, {{}, {"*"}}), std::invalid_argument);
  EXPECT_THROW(PruningMasks(*torch::nn::ReLU()), std::invalid_argument);
}

TEST(Pruning, ATensorUnderTwoNamesIsPrunedOnceAndATiedEmbeddingNotByDefault) {
  struct Tied : torch::nn::Module {
    torch::nn::Linear a = register_module("a", torch::nn::Linear(4, 4)), b = register_module("b", torch::nn::Linear(4, 4));
    torch::nn::Linear head = register_module("head", torch::nn::Linear(4, 6));
    torch::nn::Embedding words = register_module("words", torch::nn::Embedding(6, 4));
    Tied() {
      b->weight = b->register_parameter("weight_of_a", a->weight);
      words->register_parameter("tied", head->weight);
    }
  };
  Tied model;
  PruningMasks masks(model, {{"*weight_of_a", "a.*"}, {}});
  EXPECT_EQ(names_of(masks), (std::vector<std::string>{"a.weight", "a.bias"}));
  masks.prune(PruningAmount::share(0.5));
  EXPECT_EQ(masks.element_count(), 20u);
  EXPECT_EQ(zeros_in(model.a->weight) + zeros_in(model.a->bias), 10);
  EXPECT_EQ(names_of(PruningMasks(model)), (std::vector<std::string>{"a.weight", "b.weight"}));
}

TEST(Pruning, NamesWhatIsNotFiniteAndChangesNothing) {
  SmallNet net;
  const torch::NoGradGuard no_grad;
  net->conv->weight[0][0][0][0] = std::nan("");
  net->last->weight[1][1] = std::numeric_limits<float>::infinity();
  net->last->weight[1][2] = -std::numeric_limits<float>::infinity();
  const torch::Tensor first = net->first->weight.clone();
  PruningMasks masks(*net);
  for (const Kind kind : {Kind::l1, Kind::random, Kind::ln_channels, Kind::random_channels}) {
    PruningMethod method;
    method.kind = kind;
    EXPECT_EQ(
        message_of<std::invalid_argument>([&] { masks.prune(PruningAmount::share(0.5), method); }),
        "weights that are not finite have no order to prune them by: conv.weight (1 NaN, 0 Inf of 108), last.weight (0 NaN, 2 Inf of 33)");
  }
  EXPECT_TRUE(torch::equal(net->first->weight, first));
  EXPECT_EQ(masks.pruned_count(), 0u);
}

TEST(Pruning, SaysWhatDoesNotFit) {
  SmallNet net;
  PruningMasks masks(*net);
  PruningMethod method;
  method.kind = Kind::ln_channels;
  method.dim = 2;
  EXPECT_EQ(message_of<std::invalid_argument>([&] { masks.prune(PruningAmount::share(0.5), method); }),
            "'first.weight' has 2 dimensions, and none that is 2");
  EXPECT_EQ(masks.pruned_count(), 0u) << "not even of the layer that it fits";
  method.dim = 0;
  for (const double bad : {0.0, -1.0, std::nan("")}) {
    method.norm = bad;
    EXPECT_THROW(masks.prune(PruningAmount::share(0.5), method), std::invalid_argument);
  }
  for (const double bad : {-0.1, 1.5, std::nan("")}) EXPECT_THROW(masks.prune_to(bad), std::invalid_argument);
  EXPECT_THROW(chosen_parameters({{"ids", torch::ones({3}, torch::kLong)}}, {{"ids"}, {}}), std::invalid_argument);
}

// Trains with what follows every step, and sees that pruned weights are zero and the others are not.
void train_pruned(SmallNet& net, torch::optim::Optimizer& optimizer, PruningMasks& masks, bool with_gradients) {
  for (int step = 0; step < 50; ++step) {
    optimizer.zero_grad();
    torch::cross_entropy_loss(net->forward(torch::randn({8, 2, 6, 6})), torch::randint(3, {8}, torch::kLong)).backward();
    if (with_gradients) {
      ASSERT_TRUE(masks.mask_gradients());
      for (std::size_t i = 0; i < masks.parameters().size(); ++i) {
        EXPECT_EQ(masks.parameters()[i].tensor.grad().masked_select(masks.kept(i).logical_not()).abs().sum().item<float>(), 0);
      }
    }
    optimizer.step();
    ASSERT_TRUE(masks.apply());
    for (std::size_t i = 0; i < masks.parameters().size(); ++i) {
      const torch::Tensor weight = masks.parameters()[i].tensor.detach();
      ASSERT_EQ(weight.masked_select(masks.kept(i).logical_not()).abs().sum().item<float>(), 0) << step;
      ASSERT_EQ(zeros_in(weight.masked_select(masks.kept(i))), 0) << step;
    }
  }
}

TEST(PruningMasks, KeepPrunedWeightsAtZeroThroughMomentumAndWeightDecay) {
  using namespace torch::optim;
  torch::manual_seed(5);
  const auto optimizers = [](const std::vector<torch::Tensor>& of) {
    std::vector<std::unique_ptr<Optimizer>> made;
    made.push_back(std::make_unique<SGD>(of, SGDOptions(0.05).momentum(0.9).weight_decay(0.01)));
    made.push_back(std::make_unique<Adam>(of, AdamOptions(1e-2).weight_decay(0.01)));
    made.push_back(std::make_unique<AdamW>(of, AdamWOptions(1e-2).weight_decay(0.1)));
    return made;
  };
  for (std::size_t i = 0; i < 3; ++i) {
    for (const bool with_gradients : {false, true}) {
      SmallNet net;
      const auto optimizer = std::move(optimizers(net->parameters())[i]);
      PruningMasks masks(*net);
      // They have a momentum when they are pruned.
      torch::cross_entropy_loss(net->forward(torch::randn({8, 2, 6, 6})), torch::randint(3, {8}, torch::kLong)).backward();
      optimizer->step();
      masks.prune(PruningAmount::share(0.7));
      const std::uint64_t pruned = masks.pruned_count();
      train_pruned(net, *optimizer, masks, with_gradients);
      EXPECT_EQ(masks.pruned_count(), pruned);
    }
  }
}

TEST(PruningMasks, ClearWhatIsNotFiniteAndLeaveOtherWeightsBitByBit) {
  torch::manual_seed(6);
  for (const auto dtype : {torch::kFloat, torch::kDouble, torch::kHalf, torch::kBFloat16}) {
    const torch::Tensor dense = torch::randn({300, 301}).to(dtype), strided = torch::randn({40, 30}).to(dtype).slice(1, 0, 30, 2);
    PruningMasks masks(tensors_named({dense, strided}));
    PruningMethod method;
    method.kind = Kind::random;
    masks.prune(PruningAmount::share(0.5), method);
    for (const torch::Tensor& tensor : {dense, strided}) {
      torch::Tensor(tensor).fill_(std::nan(""));
    }
    ASSERT_TRUE(masks.apply());
    EXPECT_TRUE(torch::equal(dense.isnan(), masks.kept(0)));
    EXPECT_TRUE(torch::equal(strided.isnan(), masks.kept(1)));
    EXPECT_EQ(zeros_in(dense), masks.kept(0).logical_not().sum().item<std::int64_t>());
  }
}

TEST(PruningMasks, FollowAModuleThatIsLoadedOrChangesItsType) {
  const test::TemporaryFolder folder;
  SmallNet net, other;
  PruningMasks masks(*net);
  masks.prune(PruningAmount::share(0.5));
  torch::save(other, folder.path() / "other.pt");
  torch::load(net, folder.path() / "other.pt");  // into other memory
  EXPECT_EQ(zeros_in(net->conv->weight), 0);
  ASSERT_TRUE(masks.apply());
  EXPECT_EQ(zeros_in(net->conv->weight) + zeros_in(net->first->weight) + zeros_in(net->last->weight),
            static_cast<std::int64_t>(masks.pruned_count()));
  net->to(torch::kDouble);
  {
    const torch::NoGradGuard no_grad;
    net->conv->weight.fill_(1);
  }
  ASSERT_TRUE(masks.apply());
  EXPECT_TRUE(torch::equal(net->conv->weight.ne(0), masks.kept(0)));

  // Another shape is told, and the other parameters are done.
  net->conv->weight.set_data(torch::ones({2, 2}));
  {
    const torch::NoGradGuard no_grad;
    net->last->weight.fill_(1);
  }
  EXPECT_FALSE(masks.apply());
  EXPECT_EQ(masks.failure(), "'conv.weight' has another shape or layout than when its mask was made; make new masks");
  EXPECT_TRUE(torch::equal(net->last->weight.ne(0), masks.kept(2)));
  EXPECT_FALSE(masks.make_permanent());
  EXPECT_GT(masks.pruned_count(), 0u);
  EXPECT_THROW(masks.prune(PruningAmount::share(0.5)), std::invalid_argument);
}

TEST(PruningMasks, ThatAreMadePermanentAreForgottenAndTheZerosStay) {
  SmallNet net;
  PruningMasks masks(*net);
  masks.prune(PruningAmount::share(0.5));
  {
    const torch::NoGradGuard no_grad;
    net->last->weight.fill_(1);
  }
  ASSERT_TRUE(masks.make_permanent());
  EXPECT_EQ(zeros_in(net->conv->weight) + zeros_in(net->first->weight) + zeros_in(net->last->weight), 598);  // 0.5 * (108 + 1056 + 33)
  EXPECT_GT(zeros_in(net->last->weight), 0);
  EXPECT_EQ(masks.pruned_count(), 0u);
  EXPECT_TRUE(masks.kept(0).all().item<bool>());
  {
    const torch::NoGradGuard no_grad;
    net->conv->weight.fill_(1);
  }
  ASSERT_TRUE(masks.apply());
  EXPECT_EQ(zeros_in(net->conv->weight), 0);
}

TEST(PruningMasks, ComeBackFromTheZerosOfACheckpoint) {
  torch::manual_seed(8);
  const test::TemporaryFolder folder;
  CheckpointOptions options;
  options.directory = folder.path() / "checkpoints";
  Checkpointer checkpoints(options);
  SmallNet net, again;
  torch::optim::Adam optimizer(net->parameters(), 1e-2), optimizer_again(again->parameters(), 1e-2);
  PruningMasks masks(*net);
  masks.prune(PruningAmount::share(0.6));
  train_pruned(net, optimizer, masks, false);
  ASSERT_TRUE(checkpoints.save(*net, optimizer, 50).ok());
  ASSERT_TRUE(checkpoints.load_latest_good(*again, optimizer_again).loaded);
  PruningMasks masks_again = masks_from_zeros(*again);
  EXPECT_EQ(masks_again.pruned_count(), masks.pruned_count());
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(torch::equal(masks_again.kept(i), masks.kept(i))) << i;
  train_pruned(again, optimizer_again, masks_again, false);
}

}  // namespace
}  // namespace vigil
