// Grids, reports, rounding and files, against libtorch's own quantisation and sums in long double.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/torch.h>

#include "files.h"
#include "pruning_net.h"
#include "vigil/model/quantisation.h"

namespace vigil {
namespace {

using test::message_of;
using test::SmallNet;

constexpr QuantisationGrid kPerTensor{}, kPerChannel{8, true, true, true}, kAffine{8, true, false, false};
constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// The definition, value by value: what parameters_for() is to choose, and what its grid loses.
struct Loss {
  long double signal = 0, noise = 0, largest = 0;
  std::uint64_t clipped = 0, zeroed = 0;
};
void add_loss(Loss& loss, const torch::Tensor& channel, const QuantisationGrid& grid, float scale, int zero_point) {
  const torch::Tensor values = channel.to(torch::kDouble).contiguous().flatten();
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    const double x = values[i].item<double>();
    const long raw = std::lrint(static_cast<float>(x) * (1.0f / scale)) + zero_point;
    const long q = std::min(std::max(raw, static_cast<long>(grid.least())), static_cast<long>(grid.most()));
    const long double error = static_cast<long double>(x) - static_cast<long double>(static_cast<float>(q - zero_point) * scale);
    loss.signal += static_cast<long double>(x) * x;
    loss.noise += error * error;
    loss.largest = std::max(loss.largest, std::fabs(error));
    loss.clipped += q != raw ? 1 : 0;
    loss.zeroed += x != 0 && q == zero_point ? 1 : 0;
  }
}
// As torch.ao.quantization.observer.UniformQuantizationObserverBase._calculate_qparams() computes them.
std::pair<float, int> qparams(float least, float most, const QuantisationGrid& grid) {
  least = std::min(least, 0.0f);
  most = std::max(most, 0.0f);
  const float epsilon = std::numeric_limits<float>::epsilon();
  if (grid.is_symmetric) return {std::max(std::max(-least, most) / (static_cast<float>(grid.most() - grid.least()) / 2), epsilon), 0};
  const float scale = std::max((most - least) / static_cast<float>(grid.most() - grid.least()), epsilon);
  const int zero_point = grid.least() - static_cast<int>(std::nearbyint(least / scale));
  return {scale, std::min(std::max(zero_point, grid.least()), grid.most())};
}
Loss loss_of(const torch::Tensor& tensor, const QuantisationGrid& grid, std::int64_t axis) {
  Loss loss;
  const std::vector<torch::Tensor> channels = grid.per_channel ? tensor.unbind(axis) : std::vector<torch::Tensor>{tensor};
  for (const torch::Tensor& channel : channels) {
    const auto [scale, zero_point] = qparams(channel.min().item<float>(), channel.max().item<float>(), grid);
    add_loss(loss, channel, grid, scale, zero_point);
  }
  return loss;
}
void expect_error(const QuantisationError& error, const Loss& loss) {
  EXPECT_NEAR(error.signal, static_cast<double>(loss.signal), 1e-6 * static_cast<double>(loss.signal));
  EXPECT_NEAR(error.noise, static_cast<double>(loss.noise), 1e-6 * static_cast<double>(loss.noise));
  EXPECT_NEAR(error.largest_error, static_cast<double>(loss.largest), 1e-6 * static_cast<double>(loss.largest));
  EXPECT_NEAR(error.sqnr_db(), static_cast<double>(10 * std::log10(loss.signal / loss.noise)), 1e-6);
  EXPECT_EQ(error.clipped, loss.clipped);
  EXPECT_EQ(error.zeroed, loss.zeroed);
}

class Quantisation : public testing::Test {
 protected:
  Quantisation() { torch::manual_seed(3); }
  const test::TemporaryFolder folder;
  const std::string file = (folder.path() / "model.pt").string();
};

TEST_F(Quantisation, ChoosesTheGridAndTheIntegersOfLibtorch) {
  // A scale for each channel over eight orders of magnitude; not contiguous; negative only, positive only, both.
  const torch::Tensor magnitudes = torch::logspace(-4, 4, 6).reshape({6, 1, 1});
  torch::Tensor weight = (torch::randn({6, 5, 7}) * magnitudes).transpose(1, 2);
  weight[0].abs_();
  weight[1].abs_().neg_();
  for (const QuantisationGrid& grid : {kPerTensor, kAffine}) {
    const QuantisationParameters found = parameters_for(weight, grid);
    const auto [scale, zero_point] = qparams(weight.min().item<float>(), weight.max().item<float>(), grid);
    EXPECT_FLOAT_EQ(found.scale.item<float>(), scale);
    EXPECT_EQ(found.zero_point.item<int>(), zero_point);
    const torch::Tensor theirs = at::quantize_per_tensor(weight, found.scale.item<float>(), zero_point, torch::kQInt8);
    EXPECT_TRUE(torch::equal(quantised(weight, found).int_repr(), theirs.int_repr()));
    expect_error(quantisation_error(weight, found), loss_of(weight, grid, 0));
  }
  for (const std::int64_t axis : {0, 1, -1}) {
    QuantisationGrid grid = kAffine;
    grid.per_channel = true;
    for (const bool is_symmetric : {true, false}) {
      grid.is_symmetric = is_symmetric;
      const QuantisationParameters found = parameters_for(weight, grid, axis);
      const std::vector<torch::Tensor> channels = weight.unbind(axis);
      for (std::size_t i = 0; i < channels.size(); ++i) {
        const auto [scale, zero_point] = qparams(channels[i].min().item<float>(), channels[i].max().item<float>(), grid);
        EXPECT_FLOAT_EQ(found.scale[static_cast<std::int64_t>(i)].item<float>(), scale);
        EXPECT_EQ(found.zero_point[static_cast<std::int64_t>(i)].item<int>(), zero_point);
      }
      const torch::Tensor theirs = at::quantize_per_channel(weight, found.scale.to(torch::kDouble), found.zero_point.to(torch::kLong),
                                                            axis < 0 ? axis + 3 : axis, torch::kQInt8);
      EXPECT_TRUE(torch::equal(quantised(weight, found).int_repr(), theirs.int_repr()));
      EXPECT_TRUE(torch::equal(quantised(weight, found).dequantize(), theirs.dequantize()));
      expect_error(quantisation_error(weight, found), loss_of(weight, grid, axis));
    }
  }
}

TEST_F(Quantisation, HasFewerBitsUnsignedGridsAndDoubles) {
  const torch::Tensor weight = torch::randn({4, 100});
  weight[0][0] = 10;
  weight[0][1] = -10;
  for (const int bits : {2, 4, 7}) {
    const QuantisationGrid grid{bits, true, true, false};
    EXPECT_EQ(grid.least(), -(1 << (bits - 1)));
    EXPECT_EQ(grid.most(), (1 << (bits - 1)) - 1);
    const torch::Tensor integers = quantised(weight, parameters_for(weight, grid)).int_repr();
    EXPECT_EQ(integers.max().item<int>(), grid.most());
    EXPECT_EQ(integers.min().item<int>(), grid.least());
    expect_error(quantisation_error(weight, parameters_for(weight, grid)), loss_of(weight, grid, 0));
  }
  EXPECT_EQ(grid_text({4, false, false, true}), "uint4 affine per channel");
  const QuantisationParameters activations = parameters_for(weight, kActivationGrid);
  EXPECT_TRUE(torch::equal(quantised(weight, activations), at::quantize_per_tensor(weight, activations.scale.item<float>(),
                                                                                   activations.zero_point.item<int>(), torch::kQUInt8)));
  // Of a double what float32 loses counts, too.
  const torch::Tensor doubles = torch::randn({3, 50}, torch::kDouble);
  expect_error(quantisation_error(doubles, parameters_for(doubles, kPerChannel)), loss_of(doubles, kPerChannel, 0));
  EXPECT_THROW(parameters_for(weight, {1, true, true, false}), std::invalid_argument);
  EXPECT_THROW(parameters_for(weight, {9, true, true, false}), std::invalid_argument);
}

TEST_F(Quantisation, OfZerosAndOfNothingNothingIsLost) {
  for (const QuantisationGrid& grid : {kPerTensor, kPerChannel, kAffine}) {
    for (const torch::Tensor& tensor : {torch::zeros({3, 4}), torch::zeros({3, 0}), torch::zeros({0, 4}), torch::zeros({1, 1})}) {
      const QuantisationError error = quantisation_error(tensor, parameters_for(tensor, grid));
      EXPECT_EQ(error.count, static_cast<std::uint64_t>(tensor.numel()));
      EXPECT_EQ(error.noise, 0);
      EXPECT_EQ(error.sqnr_db(), kInf);
      EXPECT_EQ(quantised(tensor, parameters_for(tensor, grid)).sizes(), tensor.sizes());
    }
  }
}

TEST_F(Quantisation, WhatIsNotFiniteIsNamedAndCounted) {
  torch::Tensor weight = torch::randn({3, 4});
  weight[0][1] = kNan;
  weight[2][2] = -kInf;
  weight[2][3] = kInf;
  EXPECT_EQ(message_of<std::invalid_argument>([&] { parameters_for(weight, kPerTensor); }),
            "the tensor holds 1 NaN and 2 Inf of 12 values: what is not finite has no place on a grid of integers");
  // All or nothing: the layer before the faulty one stays as it is.
  SmallNet net;
  const torch::Tensor before = net->conv->weight.detach().clone();
  net->last->weight.detach()[1][5] = kNan;
  const std::string expected = "last.weight holds 1 NaN and 0 Inf of 33 values: what is not finite has no place on a grid of integers";
  EXPECT_EQ(message_of<std::invalid_argument>([&] { quantisation_report(*net); }), expected);
  EXPECT_EQ(message_of<std::invalid_argument>([&] { quantise_weights(*net); }), expected);
  EXPECT_EQ(message_of<std::invalid_argument>([&] { quantise_dynamic(*net); }), expected);
  EXPECT_EQ(message_of<std::invalid_argument>([&] { save_quantised(*net, file); }), expected);
  EXPECT_TRUE(torch::equal(net->conv->weight, before));
  EXPECT_FALSE(std::filesystem::exists(file));
  // What fits a double and not a float, and a range that fits no scale.
  net->last->to(torch::kDouble);
  net->last->weight.detach().fill_(1e300);
  EXPECT_TRUE(has(message_of<std::invalid_argument>([&] { quantise_weights(*net); }), "last.weight holds 0 NaN and 33 Inf"));
  net->last->weight.detach().fill_(3e38)[0][0] = -3e38;
  ModelQuantisation how;
  how.layer.grid = kAffine;
  EXPECT_EQ(message_of<std::invalid_argument>([&] { quantise_weights(*net, how); }),
            "last.weight: a range so wide that its scale is not finite");
  EXPECT_TRUE(torch::equal(net->conv->weight, before));
}

TEST_F(Quantisation, ReportsEachWeightAndTheModel) {
  SmallNet net;
  ModelQuantisation how;
  how.layer.grid = kPerChannel;
  how.exclude = {"last.*"};
  const torch::Tensor before = net->first->weight.detach().clone();
  const QuantisationReport report = quantisation_report(*net, how);
  EXPECT_TRUE(torch::equal(net->first->weight, before));
  ASSERT_EQ(report.weights.size(), 3u);
  const QuantisedWeight& conv = report.weights[0];
  EXPECT_EQ(conv.name, "conv.weight");
  EXPECT_EQ(conv.kind, "Conv2d");
  EXPECT_EQ(conv.sizes, (std::vector<std::int64_t>{6, 2, 3, 3}));
  EXPECT_EQ(conv.bytes_before, 4u * 108);
  EXPECT_EQ(conv.bytes_after, 108u + 6 * 8);  // integers; scale and zero point of 6 channels
  expect_error(conv.error, loss_of(net->conv->weight, kPerChannel, 0));
  expect_error(report.weights[1].error, loss_of(net->first->weight, kPerChannel, 0));
  EXPECT_EQ(report.weights[1].bytes_after, 96u * 11 + 11 * 8);
  EXPECT_TRUE(report.weights[2].is_kept);
  EXPECT_EQ(report.weights[2].bytes_after, 4u * 33);
  // 108 + 6, 4 · 6 and the counter of batches, 96 · 11 + 11, 33 + 3.
  EXPECT_EQ(report.model_bytes_before, 4u * (114 + 24 + 1067 + 36) + 8);
  EXPECT_EQ(report.model_bytes_after, report.model_bytes_before - (432 - 156) - (4224 - 1144));
  how.layer.grid = kPerTensor;
  EXPECT_EQ(quantisation_report(*net, how).weights[0].bytes_after, 108u + 8);
  const std::string table = quantisation_table(report, {});
  EXPECT_TRUE(has(table, "conv.weight")) << table;
  EXPECT_TRUE(has(table, "int8 symmetric per channel")) << table;
}

TEST_F(Quantisation, ChannelsOfTransposedConvolutionsAreTheirSecondDimension) {
  torch::nn::Sequential net(torch::nn::ConvTranspose2d(3, 5, 2));
  ModelQuantisation how;
  how.layer.grid = kPerChannel;
  const QuantisationReport report = quantisation_report(*net, how);
  EXPECT_EQ(report.weights[0].channels_at, 1);
  EXPECT_EQ(report.weights[0].bytes_after, 60u + 5 * 8);
  expect_error(report.weights[0].error, loss_of(net->parameters()[0], kPerChannel, 1));
}

TEST_F(Quantisation, TakesWhatIsAskedForAndSaysWhatFitsNothing) {
  SmallNet net;
  const auto quantised_names = [&](const ModelQuantisation& how) {
    std::string names;
    for (const QuantisedWeight& weight : quantisation_report(*net, how).weights) names += weight.is_kept ? "" : weight.name + " ";
    return names;
  };
  EXPECT_EQ(quantised_names({{}, {}, {}, {}}), "conv.weight first.weight last.weight ");
  EXPECT_EQ(quantised_names({{}, {"Linear"}, {}, {}}), "first.weight last.weight ");
  EXPECT_EQ(quantised_names({{}, {"Linear"}, {"*.weight"}, {"last*"}}), "first.weight ");
  EXPECT_EQ(quantised_names({{}, {}, {"conv.*"}, {}}), "conv.weight ");
  EXPECT_EQ(message_of<std::invalid_argument>([&] { quantised_names({{}, {"LSTM"}, {}, {}}); }), "no weights to quantise are of a 'LSTM'");
  EXPECT_EQ(message_of<std::invalid_argument>([&] { quantised_names({{}, {}, {}, {"tail"}}); }), "no weight to quantise is named 'tail'");
}

TEST_F(Quantisation, RoundsInPlaceAndLeavesGradientsAndSharing) {
  SmallNet net;
  net->last->to(torch::kDouble);
  const torch::Tensor weight = net->first->weight, given = weight.detach().clone(), others = net->first->bias.detach().clone();
  weight.mutable_grad() = torch::ones_like(weight);
  const QuantisationReport report = quantise_weights(*net);
  EXPECT_TRUE(net->first->weight.is_same(weight));
  EXPECT_TRUE(weight.requires_grad());
  EXPECT_TRUE(torch::equal(weight.grad(), torch::ones_like(weight)));
  EXPECT_TRUE(torch::equal(weight, quantised(given, parameters_for(given, kPerTensor)).dequantize()));
  EXPECT_TRUE(torch::equal(net->first->bias, others));
  EXPECT_EQ(net->last->weight.scalar_type(), torch::kDouble);
  EXPECT_EQ(report.weights[1].execution, "rounded in place, float arithmetic");
}

struct TwoPartsImpl : torch::nn::Module {
  torch::Tensor forward(torch::Tensor x) { return alone(head->forward(body->forward(x))); }
  torch::nn::Sequential body = register_module(
      "body", torch::nn::Sequential(torch::nn::Conv1d(2, 3, 1), torch::nn::Flatten(), torch::nn::Linear(12, 8), torch::nn::ReLU()));
  torch::nn::Linear shared{4, 4}, twin{4, 4};
  torch::nn::Sequential head = register_module("head", torch::nn::Sequential(torch::nn::Linear(8, 4), shared, twin));
  torch::nn::Linear alone = register_module("alone", torch::nn::Linear(4, 4));
  TwoPartsImpl() { twin->weight.set_data(shared->weight); }
};
TORCH_MODULE(TwoParts);

TEST_F(Quantisation, ExchangesTheLayersOfSequentials) {
  TwoParts net;
  net->eval();
  const torch::nn::Linear third(std::dynamic_pointer_cast<torch::nn::LinearImpl>(net->body->ptr(2)));
  const torch::Tensor conv = net->parameters()[0].detach().clone(), x = torch::randn({50, 2, 4}), y = net->forward(x);
  const QuantisationReport report = quantise_dynamic(*net);
  ASSERT_EQ(report.weights.size(), 5u);  // conv, third, first of the head, shared, alone
  EXPECT_EQ(report.weights[0].execution, "kept");
  EXPECT_TRUE(torch::equal(net->parameters()[0], conv));
  auto* const exchanged = net->body[2]->as<QuantisedLinear>();
  ASSERT_NE(exchanged, nullptr);
  EXPECT_EQ(report.weights[1].execution, exchanged->execution());
  EXPECT_FALSE(exchanged->is_training());
  EXPECT_TRUE(torch::equal(exchanged->weight, quantise(third)->weight));
  EXPECT_NE(net->head[0]->as<QuantisedLinear>(), nullptr);
  EXPECT_NE(net->head[1]->as<torch::nn::Linear>(), nullptr) << "another layer shares its weight";
  EXPECT_EQ(report.weights[3].execution, "rounded in place, float arithmetic");
  EXPECT_EQ(report.weights[4].execution, "rounded in place, float arithmetic");
  // It is what the Sequential calls, and what the model has.
  EXPECT_TRUE(
      torch::equal(net->body->forward(x), exchanged->forward(torch::flatten(net->body[0]->as<torch::nn::Conv1d>()->forward(x), 1)).relu()));
  const Agreement agree = agreement(y, net->forward(x));
  EXPECT_GT(agree.sqnr_db(), 25);
  EXPECT_GT(agree.noise, 0);
  EXPECT_TRUE(net->named_buffers().contains("body.2.weight"));
  EXPECT_FALSE(net->named_parameters().contains("body.2.weight"));
  torch::nn::Sequential none(torch::nn::Conv1d(2, 3, 1));
  EXPECT_EQ(message_of<std::invalid_argument>([&] { quantise_dynamic(*none); }), "the model has no Linear and no LSTM layer");
}

TEST_F(Quantisation, AgreementIsWhatItsDefinitionSays) {
  const torch::Tensor a = torch::randn({4, 5, 7}), b = a + 0.3 * torch::randn({4, 5, 7});
  const Agreement found = agreement(a, b);
  std::uint64_t agreeing = 0;
  long double signal = 0, noise = 0, largest = 0;
  for (std::int64_t row = 0; row < 20; ++row) {
    std::int64_t best_a = 0, best_b = 0;
    for (std::int64_t i = 0; i < 7; ++i) {
      const float x = a.reshape({20, 7})[row][i].item<float>(), y = b.reshape({20, 7})[row][i].item<float>();
      if (x > a.reshape({20, 7})[row][best_a].item<float>()) best_a = i;
      if (y > b.reshape({20, 7})[row][best_b].item<float>()) best_b = i;
      const long double difference = static_cast<long double>(x) - y;
      signal += static_cast<long double>(x) * x;
      noise += difference * difference;
      largest = std::max(largest, std::fabs(difference));
    }
    agreeing += best_a == best_b ? 1 : 0;
  }
  EXPECT_EQ(found.examples, 20u);
  EXPECT_EQ(found.agreeing, agreeing);
  EXPECT_NEAR(found.top1(), static_cast<double>(agreeing) / 20, 1e-12);
  EXPECT_NEAR(found.sqnr_db(), static_cast<double>(10 * std::log10(signal / noise)), 1e-6);
  EXPECT_NEAR(found.largest_difference, static_cast<double>(largest), 1e-6);
  // Rows that are not finite are counted and never agree.
  torch::Tensor c = a.clone();
  c[0][0][0] = kNan;
  c[1][1][1] = kInf;
  EXPECT_EQ(agreement(a, c).nonfinite, 2u);
  EXPECT_EQ(agreement(c, c).agreeing, 18u);
  EXPECT_EQ(agreement(a, c).noise, 0);
  // Of equals the first counts on both sides.
  EXPECT_EQ(agreement(torch::tensor({{1.f, 1.f}}), torch::tensor({{1.f, 0.f}})).agreeing, 1u);
  EXPECT_EQ(agreement(torch::zeros({0, 5}), torch::zeros({0, 5})).top1(), 1);
  EXPECT_THROW(agreement(a, b.flatten()), std::invalid_argument);
  const Forward same = [](const torch::Tensor&x) { return x; }, negative = [](const torch::Tensor&x) { return -x; };
  const Agreement sum = agreement(same, negative, {a[0], a[1]});
  EXPECT_EQ(sum.examples, 10u);
  EXPECT_NEAR(sum.sqnr_db(), -20 * std::log10(2.0), 1e-9);  // the noise is twice the signal
}

TEST_F(Quantisation, SavesIntegersAndLoadsThemIntoFloatModels) {
  SmallNet net;
  ModelQuantisation how;
  how.layer.grid = kPerChannel;
  const QuantisationReport report = save_quantised(*net, file, how);
  EXPECT_EQ(report.weights[0].execution, "saved as integers");
  SmallNet loaded;
  load_quantised(*loaded, file);
  quantise_weights(*net, how);
  for (const auto& item : net->named_parameters())
    EXPECT_TRUE(torch::equal(loaded->named_parameters()[item.key()], item.value())) << item.key();
  for (const auto& item : net->named_buffers()) EXPECT_TRUE(torch::equal(loaded->named_buffers()[item.key()], item.value())) << item.key();
  torch::serialize::InputArchive archive, first;
  archive.load_from(file);
  archive.read("first", first);
  torch::Tensor stored;
  first.read("weight", stored);
  EXPECT_EQ(stored.scalar_type(), torch::kQInt8);
  EXPECT_EQ(stored.q_per_channel_axis(), 0);
  // A file of torch::save, too.
  torch::save(net, file);
  load_quantised(*loaded, file);
  EXPECT_TRUE(torch::equal(loaded->first->weight, net->first->weight));
}

TEST_F(Quantisation, AFileThatDoesNotFitChangesNothing) {
  torch::nn::Sequential small(torch::nn::Linear(3, 2), torch::nn::Linear(2, 2)), other(torch::nn::Linear(3, 2), torch::nn::Linear(2, 5));
  torch::nn::Sequential longer(torch::nn::Linear(3, 2), torch::nn::Linear(2, 2), torch::nn::Linear(2, 2));
  save_quantised(*small, file);
  const torch::Tensor before = other->parameters()[0].detach().clone();
  EXPECT_EQ(message_of<std::runtime_error>([&] { load_quantised(*other, file); }),
            file + " cannot be loaded: '1.weight' is of shape [2, 2], and the model's of [5, 2]");
  EXPECT_TRUE(torch::equal(other->parameters()[0], before));
  EXPECT_EQ(message_of<std::runtime_error>([&] { load_quantised(*longer, file); }), file + " cannot be loaded: it has no module '2'");
  std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
  EXPECT_TRUE(has(message_of<std::runtime_error>([&] { load_quantised(*small, file); }), file + " cannot be loaded: "));
  std::ofstream(file) << "no model";
  EXPECT_TRUE(has(message_of<std::runtime_error>([&] { load_quantised(*small, file); }), file + " cannot be loaded: "));
  EXPECT_TRUE(has(message_of<std::runtime_error>([&] { load_quantised(*small, folder.path() / "none"); }), "none cannot be loaded: "));
  EXPECT_TRUE(has(message_of<std::runtime_error>([&] { save_quantised(*small, folder.path() / "no" / "folder"); }), "folder"));
}

}  // namespace
}  // namespace vigil
