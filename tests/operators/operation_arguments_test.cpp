// What operators multiply, from arguments that are made up: of other devices and versions, and such as no operator has.
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "vigil/operators/operation_cost.h"

namespace vigil {
namespace {

using torch::Tensor;

c10::ArrayRef<const c10::IValue> inputs_of(const std::vector<c10::IValue>& values) {
  return c10::ArrayRef<const c10::IValue>(values.data(), values.size());
}

std::uint64_t products_from(const std::string& name, const std::vector<c10::IValue>& values) {
  return multiply_accumulates(name, inputs_of(values));
}

struct Call {
  std::string name;
  std::vector<c10::IValue> inputs;
  std::map<std::size_t, std::string> schema;  // what the arguments that matter are called in libtorch
  std::uint64_t products;
};

std::vector<Call> calls() {
  const Tensor none;
  const c10::IValue scalar = 0;
  const auto zeros = [](at::IntArrayRef sizes) { return c10::IValue(torch::zeros(sizes)); };
  // Two layers, the second for the output of the first; with biases.
  const std::vector<Tensor> weights{torch::zeros({24, 4}), torch::zeros({24, 6}), torch::zeros(24), torch::zeros(24),
                                    torch::zeros({24, 6}), torch::zeros({24, 6}), torch::zeros(24), torch::zeros(24)};
  const std::uint64_t matrices = 24UL * (4 + 6 + 6 + 6);
  const auto mask = [](bool weight) { return c10::IValue(c10::List<bool>({true, true, true, weight})); };
  const auto rnn = [&](at::IntArrayRef input, std::size_t arguments, const c10::IValue& last) {
    std::vector<c10::IValue> inputs{zeros(input), weights};
    inputs.resize(arguments - 1, scalar);
    inputs.push_back(last);
    return inputs;
  };
  const std::map<std::size_t, std::string> rnn_schema{{0, "input"}, {1, "weight"}};
  const auto with_mask = [&](std::size_t index) {
    auto schema = rnn_schema;
    schema[index] = "output_mask";
    return schema;
  };
  const c10::IValue query = zeros({2, 4, 6, 8}), key = zeros({2, 2, 7, 8}), value = zeros({2, 2, 7, 10});
  const std::uint64_t scores = 2UL * 4 * 6 * 7 * 8, values = 2UL * 4 * 6 * 7 * 10;
  std::vector<Call> calls{
      {"_cudnn_rnn", rnn({3, 2, 4}, 16, none), rnn_schema, 6 * matrices},
      {"_cudnn_rnn", rnn({5, 4}, 16, none), rnn_schema, 5 * matrices},
      {"_cudnn_rnn_backward", rnn({3, 2, 4}, 22, mask(true)), with_mask(21), 12 * matrices},
      {"_cudnn_rnn_backward", rnn({3, 2, 4}, 22, mask(false)), with_mask(21), 6 * matrices},
      {"miopen_rnn", rnn({3, 2, 4}, 14, none), rnn_schema, 6 * matrices},
      {"miopen_rnn_backward", rnn({3, 2, 4}, 21, mask(true)), with_mask(20), 12 * matrices},
      {"mkldnn_rnn_layer",
       {zeros({3, 2, 4}), weights[0], weights[1], weights[2]},
       {{0, "input"}, {1, "weight0"}, {2, "weight1"}},
       6UL * 240},
      {"mkldnn_rnn_layer_backward",
       {zeros({3, 2, 4}), weights[0], weights[1], weights[2]},
       {{0, "input"}, {1, "weight1"}, {2, "weight2"}},
       2UL * 6 * 240},
  };
  for (const char* kernel : {"flash_attention", "efficient_attention", "cudnn_attention", "flash_attention_for_cpu"}) {
    const std::string name = std::string("_scaled_dot_product_") + kernel;
    calls.push_back({name, {query, key, value, scalar}, {{0, "query"}, {1, "key"}, {2, "value"}}, scores + values});
    calls.push_back(
        {name + "_backward", {query, query, key, value, scalar}, {{1, "query"}, {2, "key"}, {3, "value"}}, 3 * scores + 2 * values});
  }
  return calls;
}

TEST(MultiplyAccumulates, OfOperatorsOfOtherDevicesFollowTheirArguments) {
  for (const Call& call : calls()) {
    SCOPED_TRACE(call.name);
    EXPECT_EQ(products_from("aten::" + call.name, call.inputs), call.products);
    const auto op = c10::Dispatcher::singleton().findSchema({"aten::" + call.name, ""});
    if (!op) continue;  // of another version
    for (const auto& [index, name] : call.schema) {
      ASSERT_LT(index, op->schema().arguments().size());
      EXPECT_EQ(op->schema().arguments()[index].name(), name);
    }
    if (const auto mask = op->schema().argumentIndexWithName("output_mask")) {
      EXPECT_EQ(static_cast<std::size_t>(*mask) + 1, op->schema().arguments().size());
    }
  }
}

// Arguments of any kind, in any number: what an operator of another version may have.
TEST(MultiplyAccumulates, AreNoneForWhatIsNotAsExpected) {
  const Tensor matrix = torch::rand({3, 3}), images = torch::rand({1, 3, 4, 4}), weight = torch::rand({2, 3, 2, 2});
  const std::vector<c10::IValue> odd{c10::IValue(),
                                     1,
                                     0.5,
                                     true,
                                     "text",
                                     Tensor(),
                                     torch::rand({}),
                                     torch::rand({0, 3}),
                                     c10::List<bool>(),
                                     c10::List<std::int64_t>(),
                                     c10::List<Tensor>(),
                                     images};
  for (const std::string_view name : counted_operators()) {
    SCOPED_TRACE(name);
    const std::string full = "aten::" + std::string(name);
    EXPECT_EQ(products_from(full, {}), 0u);
    for (const c10::IValue& value : odd) {
      for (std::size_t count = 1; count < 24; ++count) products_from(full, std::vector<c10::IValue>(count, value));
      if (!value.isTensor()) {
        EXPECT_EQ(products_from(full, std::vector<c10::IValue>(24, value)), 0u);
      }
    }
    EXPECT_EQ(products_from(full, std::vector<c10::IValue>(24, matrix.to_sparse())), 0u);
    EXPECT_EQ(products_from(full, std::vector<c10::IValue>(24, matrix.to_mkldnn())), 0u);
  }
  const std::vector<c10::IValue> product{matrix, matrix};
  ASSERT_EQ(products_from("aten::mm", product), 27u);
  for (const char* name : {"", "mm", "aten::", "aten::m", "aten::mmm", "abcd::mm", "aten::zzz"}) {
    EXPECT_EQ(products_from(name, product), 0u) << name;
  }
  const c10::List<std::int64_t> one{1}, zero{0}, three{1, 1, 1}, empty;
  const auto convolution = [&](const c10::List<std::int64_t>& stride, const c10::List<std::int64_t>& dilation) {
    return products_from("aten::_convolution", std::vector<c10::IValue>{images, weight, Tensor(), stride, zero, dilation, false, zero, 1});
  };
  ASSERT_EQ(convolution(one, one), 3u * 3 * (2 * 3 * 2 * 2));
  EXPECT_EQ(convolution(zero, one), 0u);
  EXPECT_EQ(convolution(three, one), 0u);
  EXPECT_EQ(convolution(empty, one), 0u);
  EXPECT_EQ(convolution(one, c10::List<std::int64_t>{9}), 0u) << "a kernel larger than the image";
}

TEST(MultiplyAccumulates, AreOfEveryOperatorThatATestRuns) {
  std::vector<std::string> tested{"_addmm_activation",
                                  "_convolution",
                                  "convolution_backward",
                                  "mm",
                                  "addmm",
                                  "addmm_",
                                  "bmm",
                                  "baddbmm",
                                  "baddbmm_",
                                  "addbmm",

                                  "mv",
                                  "addmv",
                                  "addmv_",
                                  "addr",

                                  "outer",
                                  "dot",
                                  "vdot"};
  for (const Call& call : calls()) tested.push_back(call.name);
  for (const std::string_view name : counted_operators()) {
    EXPECT_NE(std::find(tested.begin(), tested.end(), name), tested.end()) << name;
  }
}

TEST(OutermostProducts, CountAnOperatorThatRunsAfterACountedOne) {
  const std::vector<c10::IValue> operands{torch::rand({2, 3}), torch::rand({3, 4})};
  OutermostProducts products;
  products.leave();  // of an operator that was not seen to start
  EXPECT_EQ(products.enter("aten::linear", inputs_of(operands)), 0u);
  EXPECT_EQ(products.enter("aten::mm", inputs_of(operands)), 24u);
  EXPECT_EQ(products.enter("aten::t", inputs_of(operands)), 0u);
  products.leave();
  EXPECT_EQ(products.enter("aten::mm", inputs_of(operands)), 0u);
  products.leave();
  products.leave();
  EXPECT_EQ(products.enter("aten::mm", inputs_of(operands)), 24u);
  products.clear();
  EXPECT_EQ(products.enter("aten::mm", inputs_of(operands)), 24u);
}

}  // namespace
}  // namespace vigil
