// The products of real modules, as an observer sees their operators, against closed formulas of their sizes and published figures.
#include "vigil/operators/operation_cost.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <ATen/record_function.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "vigil/operators/torch_version.h"

namespace vigil {
namespace {

namespace nn = torch::nn;
using torch::Tensor;

// The operators that this thread runs in the lifetime of one.
class Observed {
 public:
  Observed() {
    current = this;
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback(start, end).needsInputs(true).scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  }
  ~Observed() {
    at::removeCallback(handle_);
    current = nullptr;
  }
  Observed(const Observed&) = delete;
  Observed& operator=(const Observed&) = delete;

  std::uint64_t products() const { return products_; }
  std::uint64_t products_with_nested() const { return products_with_nested_; }

 private:
  static std::unique_ptr<at::ObserverContext> start(const at::RecordFunction& function) {
    current->products_ += current->nesting_.enter(function.name(), function.inputs());
    current->products_with_nested_ += multiply_accumulates(function.name(), function.inputs());
    return nullptr;
  }
  static void end(const at::RecordFunction&, at::ObserverContext*) { current->nesting_.leave(); }

  static thread_local Observed* current;
  at::CallbackHandle handle_;
  OutermostProducts nesting_;
  std::uint64_t products_ = 0, products_with_nested_ = 0;
};
thread_local Observed* Observed::current = nullptr;

struct Products {
  std::uint64_t forward, backward;
  bool operator==(const Products& other) const { return forward == other.forward && backward == other.backward; }
};
std::ostream& operator<<(std::ostream& out, const Products& products) {
  return out << products.forward << " forward, " << products.backward << " backward";
}

std::uint64_t products_of(const std::function<void()>& body) {
  const Observed observed;
  body();
  return observed.products();
}

// Of `body` and of the gradients of all that its result depends on.
Products training_products_of(const std::function<Tensor()>& body) {
  Tensor output;
  const std::uint64_t forward = products_of([&] { output = body(); });
  const Tensor loss = output.sum();
  return {forward, products_of([&] { loss.backward(); })};
}

Tensor random(at::IntArrayRef sizes, at::ScalarType type = at::kFloat) {
  return torch::rand(sizes, at::kDouble).to(type).detach().requires_grad_();
}

std::uint64_t elements(const Tensor& tensor) { return static_cast<std::uint64_t>(tensor.numel()); }

// Of all matrices among the parameters.
template <class Module>
std::uint64_t matrix_elements(const Module& module) {
  std::uint64_t sum = 0;
  for (const Tensor& parameter : module->parameters()) sum += parameter.dim() == 2 ? elements(parameter) : 0;
  return sum;
}

struct Convolution {
  const char* title;
  std::vector<std::int64_t> input, weight;
  std::vector<std::int64_t> stride{1}, padding{0}, dilation{1};
  std::int64_t groups = 1;
  at::ScalarType type = at::kFloat;
};

class ConvolutionProducts : public testing::TestWithParam<Convolution> {};

// oneDNN computes float and bfloat16; libtorch's own kernels double, group by group, and what is small.
INSTANTIATE_TEST_SUITE_P(
    Forms, ConvolutionProducts,
    testing::Values(Convolution{"OneDimension", {2, 3, 11}, {5, 3, 3}}, Convolution{"OneDimensionAlone", {1, 3, 11}, {5, 3, 3}},
                    Convolution{"TwoDimensions", {2, 3, 11, 12}, {5, 3, 3, 2}},
                    Convolution{"Strided", {2, 3, 11, 12}, {5, 3, 3, 3}, {2, 3}, {1, 2}},
                    Convolution{"Dilated", {2, 3, 11, 12}, {5, 3, 3, 3}, {1}, {1}, {2}},
                    Convolution{"Grouped", {2, 4, 11, 12}, {8, 2, 3, 3}, {1}, {0}, {1}, 2},
                    Convolution{"Depthwise", {2, 4, 11, 12}, {8, 1, 3, 3}, {1}, {1}, {1}, 4},
                    Convolution{"Large", {4, 16, 40, 41}, {32, 16, 3, 3}},
                    Convolution{"Bfloat16", {2, 3, 11, 12}, {5, 3, 3, 3}, {2}, {1}, {1}, 1, at::kBFloat16},
                    Convolution{"Double", {2, 3, 11, 12}, {5, 3, 3, 3}, {2}, {1}, {1}, 1, at::kDouble},
                    Convolution{"DoubleDilatedGrouped", {2, 4, 11, 12}, {6, 2, 3, 3}, {1}, {0}, {2}, 2, at::kDouble},
                    Convolution{"ThreeDimensions", {2, 3, 5, 6, 7}, {5, 3, 3, 2, 3}, {1, 2, 1}, {0, 1, 0}},
                    Convolution{"ThreeDimensionsDouble", {2, 3, 5, 6, 7}, {5, 3, 3, 3, 3}, {1}, {0}, {1}, 1, at::kDouble},
                    Convolution{"NoExamples", {0, 3, 11, 12}, {5, 3, 3, 3}}),
    [](const auto& row) { return row.param.title; });

TEST_P(ConvolutionProducts, AreTheWeightsForEachPositionOfTheOutput) {
  const Convolution& row = GetParam();
  const std::size_t dimensions = row.input.size() - 2;
  const auto run = [&](const Tensor& input) {
    const Tensor weight = random(row.weight, row.type);
    const auto each = [&](const std::vector<std::int64_t>& list) {
      return list.size() == 1 ? std::vector<std::int64_t>(dimensions, list[0]) : list;
    };
    const auto stride = each(row.stride), padding = each(row.padding), dilation = each(row.dilation);
    if (dimensions == 1) return torch::conv1d(input, weight, {}, stride, padding, dilation, row.groups);
    if (dimensions == 2) return torch::conv2d(input, weight, {}, stride, padding, dilation, row.groups);
    return torch::conv3d(input, weight, {}, stride, padding, dilation, row.groups);
  };
  std::uint64_t weights = 1;  // of one output channel
  for (std::size_t i = 1; i < row.weight.size(); ++i) weights *= static_cast<std::uint64_t>(row.weight[i]);
  const std::uint64_t forward = elements(run(random(row.input, row.type))) * weights;
  EXPECT_EQ(training_products_of([&] { return run(random(row.input, row.type)); }), (Products{forward, 2 * forward}));
  EXPECT_EQ(training_products_of([&] { return run(random(row.input, row.type).detach()); }), (Products{forward, forward}))
      << "an input that needs no gradient";
}

TEST(ConvolutionProducts, OfATransposedOneAreTheWeightsForEachPositionOfTheInput) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const std::uint64_t forward = 2UL * 4 * 5 * 6 * 3 * 3 * 2, grouped = 2UL * 4 * 5 * 6 * 5 * 3 * 2;
    EXPECT_EQ(
        training_products_of([&] {
          return torch::conv_transpose2d(random({2, 4, 5, 6}, type), random({4, 3, 3, 2}, type), {}, {2, 2}, {1, 0}, {1, 0}, 1, {1, 2});
        }),
        (Products{forward, 2 * forward}));
    EXPECT_EQ(training_products_of([&] {
                return torch::conv_transpose2d(random({2, 4, 5, 6}, type), random({4, 5, 3, 2}, type), {}, {1, 1}, {0, 0}, {0, 0}, 2);
              }),
              (Products{grouped, 2 * grouped}));
  }
  const std::uint64_t forward = 2UL * 3 * 4 * 5 * 6 * 5 * 3 * 3 * 3;
  EXPECT_EQ(training_products_of([&] {
              return nn::ConvTranspose3d(nn::ConvTranspose3dOptions(3, 5, 3))(random({2, 3, 4, 5, 6}));
            }),
            (Products{forward, 2 * forward}));
}

TEST(ConvolutionProducts, OfModulesThatPadAreThoseOfTheOutput) {
  const std::uint64_t same = 2UL * 5 * 11 * 12 * 3 * 4 * 4, circular = 2UL * 5 * 11 * 12 * 3 * 3 * 3;
  EXPECT_EQ(training_products_of([] {
              return nn::Conv2d(nn::Conv2dOptions(3, 5, 4).padding(torch::kSame))(random({2, 3, 11, 12}));
            }),
            (Products{same, 2 * same}));
  EXPECT_EQ(training_products_of([] {
              return nn::Conv2d(nn::Conv2dOptions(3, 5, 3).padding(1).padding_mode(torch::kCircular))(random({2, 3, 11, 12}));
            }),
            (Products{circular, 2 * circular}));
  const std::uint64_t unbatched = 5UL * 9 * 10 * 3 * 3 * 3;
  EXPECT_EQ(training_products_of([] {
              return nn::Conv2d(nn::Conv2dOptions(3, 5, 3))(random({3, 11, 12}));
            }),
            (Products{unbatched, 2 * unbatched}));
}

// y = conv(x, w), g = d sum(y^2) / dx: one convolution. d sum(g^2): for dL/dy and w through g one each, then for x and w through y.
TEST(ConvolutionProducts, OfAGradientPenaltyAreThoseOfBothBackwardPasses) {
  const Tensor x = random({2, 3, 11, 12}), weight = random({5, 3, 3, 3});
  const std::uint64_t forward = 2UL * 5 * 9 * 10 * 3 * 3 * 3;
  const Products products = training_products_of([&] {
    const Tensor gradient = torch::autograd::grad({torch::conv2d(x, weight).pow(2).sum()}, {x}, {}, c10::nullopt, true)[0];
    return gradient.pow(2);
  });
  EXPECT_EQ(products, (Products{2 * forward, 4 * forward}));
}

TEST(LinearProducts, AreTheWeightsForEachRow) {
  for (const bool bias : {true, false}) {
    for (const auto& [sizes, rows] : std::map<std::vector<std::int64_t>, std::uint64_t>{{{30}, 1}, {{2, 30}, 2}, {{2, 5, 30}, 10}}) {
      SCOPED_TRACE(testing::Message() << rows << " rows, bias " << bias);
      const std::uint64_t forward = rows * 30 * 40;
      nn::Linear linear(nn::LinearOptions(30, 40).bias(bias));
      EXPECT_EQ(training_products_of([&, s = sizes] { return linear(random(s)); }), (Products{forward, 2 * forward}));
      EXPECT_EQ(training_products_of([&, s = sizes] { return linear(torch::rand(s)); }), (Products{forward, forward}));
      EXPECT_EQ(training_products_of([&, s = sizes] { return torch::linear(random(s), linear->weight, linear->bias); }),
                (Products{forward, 2 * forward}));
    }
  }
}

TEST(LinearProducts, OfBilinearAreTwoMatricesForEachOutput) {
  // x1 [B, I] times W [O, I, J] times x2 [B, J], for each output: [B, I] * [I, J], then rows of J.
  EXPECT_EQ(products_of([] { nn::Bilinear(nn::BilinearOptions(3, 4, 5))(random({2, 3}), random({2, 4})); }), 2u * 5 * (3 * 4 + 4));
}

constexpr Products trained(std::uint64_t forward) { return {forward, 2 * forward}; }

TEST(MatrixProducts, AreRowsTimesInnerTimesColumns) {
  const auto expect = [](const char* form, Products products, const std::function<Tensor()>& body) {
    EXPECT_EQ(training_products_of(body), products) << form;
  };
  const Tensor v2 = random({2}), v3 = random({3}), v4 = random({4}), m23 = random({2, 3}), m34 = random({3, 4}), m45 = random({4, 5});
  const Tensor b523 = random({5, 2, 3}), b534 = random({5, 3, 4}), b524 = random({5, 2, 4}), b2523 = random({2, 5, 2, 3});
  expect("matrix, vector", trained(6), [&] { return m23.matmul(v3); });
  expect("vector, matrix", trained(12), [&] { return v3.matmul(m34); });
  expect("matrices", trained(24), [&] { return m23.matmul(m34); });
  expect("batch, vector", trained(30), [&] { return b523.matmul(v3); });
  expect("batch, matrix", trained(120), [&] { return b523.matmul(m34); });
  expect("matrix, batch", trained(120), [&] { return m23.matmul(b534); });
  expect("batches", trained(120), [&] { return b523.matmul(b534); });
  expect("batches of which one is broadcast", trained(240), [&] { return b2523.matmul(b534); });
  expect("addmm", trained(24), [&] { return torch::addmm(v4, m23, m34); });
  expect("addmv", trained(6), [&] { return torch::addmv(v2, m23, v3); });
  expect("addr", trained(6), [&] { return torch::addr(m23, v2, v3); });
  expect("baddbmm", trained(120), [&] { return torch::baddbmm(b524, b523, b534); });
  expect("addbmm", trained(120), [&] { return torch::addbmm(b524[0], b523, b534); });
  expect("a chain", trained(2 * 3 * 4 + 2 * 4 * 5), [&] { return torch::linalg_multi_dot({m23, m34, m45}); });
  expect("tensordot", trained(120), [&] { return torch::tensordot(b523, b534, {0, 2}, {0, 1}); });
  expect("einsum", trained(120), [&] { return torch::einsum("bij,bjk->bik", {b523, b534}); });
  expect("complex", trained(24), [&] { return torch::real(torch::mm(m23.to(at::kComplexFloat), m34.to(at::kComplexFloat))); });
  // Of other sizes libtorch takes other ways.
  const Tensor m20_30 = random({20, 30}), v30 = random({30}), b20_30 = random({5, 20, 30}), b30_40 = random({5, 30, 40});
  expect("large matrix, vector", trained(600), [&] { return m20_30.matmul(v30); });
  expect("large batches", trained(120000), [&] { return b20_30.matmul(b30_40); });
  expect("large baddbmm", trained(120000), [&] { return torch::baddbmm(random({5, 20, 40}), b20_30, b30_40); });
  // Gradients that are element-wise.
  expect("vectors", {3, 0}, [&] { return v3.matmul(v3); });
  expect("vdot", {3, 0}, [&] { return torch::vdot(v3, v3); });
  expect("conjugated", {3, 0}, [&] { return torch::real(torch::dot(v3.to(at::kComplexFloat).conj(), v3.to(at::kComplexFloat).conj())); });
  expect("outer", {6, 0}, [&] { return torch::outer(v2, v3); });
  expect("no product of matrices", {0, 0}, [&] { return (m23 * m23).exp().cumsum(0); });
}

TEST(MatrixProducts, IntoTensorsThatExistAreTheSame) {
  const torch::NoGradGuard no_gradients;
  const Tensor a = torch::rand({2, 3}), b = torch::rand({3, 4}), batch_a = torch::rand({5, 2, 3}), batch_b = torch::rand({5, 3, 4});
  Tensor matrix = torch::zeros({2, 4}), vector = torch::zeros({2}), batch = torch::zeros({5, 2, 4}), outer = torch::zeros({2, 3});
  const Tensor three = torch::rand({3}), two = torch::rand({2});
  EXPECT_EQ(products_of([&] { matrix.addmm_(a, b); }), 24u);
  EXPECT_EQ(products_of([&] { at::mm_out(matrix, a, b); }), 24u);
  EXPECT_EQ(products_of([&] { matrix.addbmm_(batch_a, batch_b); }), 120u);
  EXPECT_EQ(products_of([&] { batch.baddbmm_(batch_a, batch_b); }), 120u);
  EXPECT_EQ(products_of([&] { at::bmm_out(batch, batch_a, batch_b); }), 120u);
  EXPECT_EQ(products_of([&] { at::mv_out(vector, a, three); }), 6u);
  EXPECT_EQ(products_of([&] { vector.addmv_(a, three); }), 6u);
  EXPECT_EQ(products_of([&] { outer.addr_(two, three); }), 6u);
}

// All recurrent layers: the matrices for each token. With a state that needs a gradient, each matrix has two gradients at each token.
template <class Module, class State>
void expect_rnn_products(Module module, State state, at::ScalarType type) {
  module->to(type);
  const std::uint64_t forward = 6 * matrix_elements(module);
  EXPECT_EQ(training_products_of([&] { return std::get<0>(module->forward(random({3, 2, 4}, type), state)); }), trained(forward));
  const torch::NoGradGuard no_gradients;
  EXPECT_EQ(products_of([&] { module->forward(random({3, 2, 4}, type), state); }), forward);
}

TEST(RecurrentProducts, AreTheMatricesForEachToken) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const auto state = [&](std::int64_t layers, std::int64_t size) { return random({layers, 2, size}, type); };
    nn::LSTM lstm(nn::LSTMOptions(4, 6));
    ASSERT_EQ(matrix_elements(lstm), 4u * 6 * (4 + 6));
    expect_rnn_products(lstm, std::make_tuple(state(1, 6), state(1, 6)), type);
    expect_rnn_products(nn::LSTM(nn::LSTMOptions(4, 6).num_layers(2).bidirectional(true)), std::make_tuple(state(4, 6), state(4, 6)), type);
    expect_rnn_products(nn::LSTM(nn::LSTMOptions(4, 6).proj_size(5)), std::make_tuple(state(1, 5), state(1, 6)), type);
    expect_rnn_products(nn::GRU(nn::GRUOptions(4, 6).bias(false)), state(1, 6), type);
    expect_rnn_products(nn::RNN(nn::RNNOptions(4, 6).num_layers(2)), state(2, 6), type);
  }
  nn::LSTMCell cell(4, 6);
  EXPECT_EQ(training_products_of([&] {
              return std::get<0>(cell(random({2, 4}), std::make_tuple(random({2, 6}), random({2, 6}))));
            }),
            trained(2 * matrix_elements(cell)));
  nn::LSTM batch_first(nn::LSTMOptions(4, 6).batch_first(true));
  EXPECT_EQ(products_of([&] { batch_first(torch::rand({3, 2, 4})); }), 6 * matrix_elements(batch_first));
}

TEST(RecurrentProducts, OfPackedSequencesAreThoseOfTheirTokens) {
  nn::LSTM lstm(nn::LSTMOptions(4, 6));
  const auto packed = nn::utils::rnn::pack_padded_sequence(torch::rand({3, 2, 4}), torch::tensor({3, 2}, at::kLong));
  EXPECT_EQ(products_of([&] { lstm->forward_with_packed_input(packed); }), (3 + 2) * matrix_elements(lstm));
}

// B sequences, E wide: scores and values are L * S * E each, in however many heads.
std::uint64_t attention_products(std::uint64_t batch, std::uint64_t queries, std::uint64_t keys, std::uint64_t width) {
  return 2 * batch * queries * keys * width;
}

TEST(AttentionProducts, OfTheModuleAreProjectionsScoresAndValues) {
  const std::uint64_t projections = 2UL * (3 + 5 + 5 + 3) * 8 * 8;
  const auto run = [](bool masked) {
    nn::MultiheadAttention attention(nn::MultiheadAttentionOptions(8, 2));
    return std::get<0>(
        attention(random({3, 2, 8}), random({5, 2, 8}), random({5, 2, 8}), Tensor(), true, masked ? torch::zeros({3, 5}) : Tensor()));
  };
  for (const bool masked : {true, false}) {
    EXPECT_EQ(training_products_of([&] { return run(masked); }), trained(projections + attention_products(2, 3, 5, 8)));
  }
}

TEST(AttentionProducts, OfAnEncoderLayerAreTheSameOnItsFastPath) {
  const std::uint64_t expected = 6UL * (4 * 8 * 8 + 2 * 8 * 16) + attention_products(2, 3, 3, 8);
  EXPECT_EQ(training_products_of([] {
              return nn::TransformerEncoderLayer(nn::TransformerEncoderLayerOptions(8, 2).dim_feedforward(16))(random({3, 2, 8}));
            }),
            trained(expected));
  const torch::NoGradGuard no_gradients;
  const Tensor x = torch::rand({2, 3, 8}), eight = torch::rand({8}), inner = torch::rand({16});
  const Tensor in = torch::rand({24, 8}), in_bias = torch::rand({24}), out = torch::rand({8, 8});
  EXPECT_EQ(products_of([&] { at::_native_multi_head_attention(x, x, x, 8, 2, in, in_bias, out, eight); }),
            6UL * 4 * 8 * 8 + attention_products(2, 3, 3, 8));
  for (const bool gelu : {true, false}) {
    EXPECT_EQ(products_of([&] {
                at::_transformer_encoder_layer_fwd(x, 8, 2, in, in_bias, out, eight, gelu, false, 1e-5, eight, eight, eight, eight,
                                                   torch::rand({16, 8}), inner, torch::rand({8, 16}), eight);
              }),
              expected);
  }
}

#if VIGIL_TORCH_AT_LEAST(2, 2)
TEST(AttentionProducts, OfOneOperatorAreScoresAndValues) {
  const auto run = [](double dropout) {
    return at::scaled_dot_product_attention(random({2, 4, 6, 8}), random({2, 4, 7, 8}), random({2, 4, 7, 8}), {}, dropout);
  };
  const std::uint64_t forward = attention_products(2 * 4, 6, 7, 8);
  EXPECT_EQ(training_products_of([&] { return run(0.5); }), trained(forward)) << "composed of single products";
  EXPECT_EQ(training_products_of([&] { return run(0); }), (Products{forward, forward * 5 / 2})) << "fused";
}
#endif

TEST(OutermostProducts, CountEachProductOnceHoweverOperatorsNest) {
  const Tensor square = torch::rand({30, 30}), vector = torch::rand({30}), batch = torch::rand({4, 30, 30});
  const auto expect = [](std::uint64_t products, const std::function<void()>& body) {
    const Observed observed;
    body();
    EXPECT_EQ(observed.products(), products);
    EXPECT_GT(observed.products_with_nested(), products) << "no counted operator is nested here, so this shows nothing";
  };
  expect(900, [&] { torch::mv(square, vector); });
  expect(4UL * 27000, [&] { torch::addbmm(square, batch, batch); });
  expect(30, [&] { torch::vdot(vector, vector); });
  // Autocast calls an operator anew for the arguments that it casts.
  c10::impl::tls_set_dispatch_key_excluded(c10::DispatchKey::AutocastCPU, false);
  expect(4UL * 27000, [&] { torch::bmm(batch, batch); });
  expect(27000 + 900, [&] { torch::mv(torch::addmm(square, square, square).to(at::kFloat), vector); });
  c10::impl::tls_set_dispatch_key_excluded(c10::DispatchKey::AutocastCPU, true);
}

// He et al. 2016, as torchvision builds it: stages of bottlenecks, the stride in their 3x3 convolution.
TEST(PublishedFigures, OfResNet50) {
  const torch::NoGradGuard no_gradients;
  const auto convolve = [](const Tensor& x, std::int64_t channels, std::int64_t size, std::int64_t stride) {
    return torch::conv2d(x, torch::zeros({channels, x.size(1), size, size}), {}, stride, size / 2);
  };
  const std::uint64_t products = products_of([&] {
    Tensor x = torch::max_pool2d(convolve(torch::zeros({1, 3, 224, 224}), 64, 7, 2), 3, 2, 1);
    std::int64_t channels = 64;
    for (const std::int64_t blocks : {3, 4, 6, 3}) {
      for (std::int64_t block = 0; block < blocks; ++block) {
        const std::int64_t stride = block == 0 && channels > 64 ? 2 : 1;
        const Tensor shortcut = block == 0 ? convolve(x, 4 * channels, 1, stride) : x;
        x = convolve(convolve(convolve(x, channels, 1, 1), channels, 3, stride), 4 * channels, 1, 1) + shortcut;
      }
      channels *= 2;
    }
    nn::Linear(2048, 1000)(x.mean({2, 3}));
  });
  EXPECT_NEAR(static_cast<double>(products), 4.089e9, 0.0005e9);  // torchvision's ResNet50_Weights, "_ops" in GMACs
}

}  // namespace
}  // namespace vigil
