// The sizes of a pruned model against libtorch's own sparse tensors, and what it can do without.
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "vigil/model/pruning.h"
#include "vigil/model/pruning_report.h"
#include "vigil/model/pruning_sensitivity.h"

namespace vigil {
namespace {

std::uint64_t bytes_of(const torch::Tensor& tensor) { return static_cast<std::uint64_t>(tensor.numel()) * tensor.element_size(); }

torch::nn::Sequential two_layers() {
  torch::manual_seed(1);
  return torch::nn::Sequential(torch::nn::Conv2d(4, 8, 3), torch::nn::BatchNorm2d(8), torch::nn::Flatten(), torch::nn::Linear(8, 5));
}

TEST(PruningReport, CountsTheBytesThatLibtorchsSparseTensorsHave) {
  torch::manual_seed(2);
  for (const auto dtype : {torch::kFloat, torch::kDouble, torch::kHalf}) {
    torch::Tensor tensor = torch::randn({30, 17}).masked_fill(torch::rand({30, 17}).lt(0.8), 0).to(dtype);
    const PrunedTensor told = pruned_tensor("weight", tensor);
    EXPECT_EQ(told.zeros, static_cast<std::uint64_t>(tensor.eq(0).sum().item<std::int64_t>()));
    EXPECT_EQ(told.bytes.dense, bytes_of(tensor));
    const torch::Tensor coo = tensor.to_sparse();
    EXPECT_EQ(told.bytes.coo, bytes_of(coo._indices()) + bytes_of(coo._values()));
    const torch::Tensor csr = tensor.to_sparse_csr();
    EXPECT_EQ(told.bytes.csr,
              bytes_of(csr.crow_indices().to(torch::kInt)) + bytes_of(csr.col_indices().to(torch::kInt)) + bytes_of(csr.values()));
    EXPECT_EQ(told.bytes.bitmask, bytes_of(coo._values()) + 64) << "510 bits";
    EXPECT_EQ(told.bytes.smallest(), told.bytes.bitmask);
  }
  const PrunedTensor four = pruned_tensor("weight", torch::ones({2, 3, 4, 5}));
  EXPECT_EQ(four.bytes.coo, bytes_of(torch::ones({2, 3, 4, 5}).to_sparse()._indices()) + 480);
  EXPECT_EQ(four.bytes.smallest(), four.bytes.dense);
  const PrunedTensor empty = pruned_tensor("weight", torch::ones({0, 3}));
  EXPECT_EQ(empty.elements, 0u);
  EXPECT_EQ(empty.sparsity(), 0);
  EXPECT_EQ(empty.smaller_bytes(), 0u);
}

TEST(PruningReport, NanIsNoZeroAndMinusZeroIsOne) {
  EXPECT_EQ(pruned_tensor("t", torch::tensor({0.F, -0.F, std::nanf(""), 1.F})).zeros, 2u);
}

TEST(PruningReport, SaysWhichChannelsGoAndWhatIsLeftWithoutThem) {
  torch::nn::Sequential model = two_layers();
  PruningMasks masks(*model);
  PruningMethod method;
  method.kind = PruningMethod::Kind::ln_channels;
  masks.prune(PruningAmount::share(0.5), method);  // 4 of 8, 2 of 5
  method.dim = 1;
  masks.prune(PruningAmount::count(1), method);
  const PruningReport report = pruning_report(*model);
  ASSERT_EQ(report.tensors.size(), 2u);
  EXPECT_EQ(report.tensors[0].zero_outputs, 4);
  EXPECT_EQ(report.tensors[0].zero_inputs, 1);
  EXPECT_EQ(report.tensors[0].smaller_sizes(), (std::vector<std::int64_t>{4, 3, 3, 3}));
  EXPECT_EQ(report.tensors[0].smaller_bytes(), 4u * 3 * 3 * 3 * 4);
  EXPECT_EQ(report.tensors[0].elements - report.tensors[0].zeros, 4u * 3 * 3 * 3);
  EXPECT_EQ(report.tensors[1].smaller_sizes(), (std::vector<std::int64_t>{3, 7}));
}

TEST(PruningReport, SumsTheWholeModelWithWhatIsNotPruned) {
  torch::nn::Sequential model = two_layers();
  const PruningReport before = pruning_report(*model);
  PruningMasks(*model).prune(PruningAmount::share(0.75));
  const PruningReport after = pruning_report(*model);
  std::uint64_t bytes = 0, elements = 0;
  for (const auto& tensor : model->parameters()) bytes += bytes_of(tensor), elements += static_cast<std::uint64_t>(tensor.numel());
  for (const auto& tensor : model->buffers()) bytes += bytes_of(tensor), elements += static_cast<std::uint64_t>(tensor.numel());
  EXPECT_EQ(after.total().bytes.dense, bytes);
  EXPECT_EQ(after.total().elements, elements);
  EXPECT_EQ(after.other_count, 7u);  // two biases, weight and bias of the norm, its mean, variance and count of batches
  EXPECT_EQ(after.tensors[0].zeros + after.tensors[1].zeros, 246u);  // 0.75 * (288 + 40)
  EXPECT_EQ(after.total().zeros, after.others.zeros + 246);
  EXPECT_EQ(after.total().bytes.bitmask, after.others.bytes.dense + 82 * 4 + 36 + 5);

  const std::string text = pruning_text(before, after, {});
  EXPECT_NE(text.find("parameter           shape         elements  zeros before  zeros after"), std::string::npos) << text;
  EXPECT_NE(text.find("0.weight            [8, 4, 3, 3]       288        0.00 %"), std::string::npos) << text;
  EXPECT_NE(text.find("others (7 tensors)"), std::string::npos) << text;
  EXPECT_EQ(text.find("whole channels"), std::string::npos) << text;
}

TEST(PruningSensitivity, PrunesOneLayerAtATimeAndPutsEveryBitBack) {
  torch::nn::Sequential model = two_layers();
  {
    const torch::NoGradGuard no_grad;
    for (auto& tensor : model->parameters()) tensor.view(-1)[0] = -0.F;
  }
  std::vector<torch::Tensor> before;
  for (const auto& tensor : model->parameters()) before.push_back(tensor.detach().clone());
  const auto zeros = [&] {
    double sum = 0;
    for (const auto& tensor : model->parameters()) sum += tensor.eq(0).sum().item<double>();
    return sum;
  };
  const double present = zeros();
  const PruningSensitivity found = pruning_sensitivity(*model, zeros, {0, 0.25, 0.5, 1});
  EXPECT_EQ(found.baseline, present);
  ASSERT_EQ(found.layers.size(), 2u);
  EXPECT_EQ(found.layers[0].name, "0.weight");
  // The zero that is there is the first to go.
  EXPECT_EQ(found.layers[0].measured, (std::vector<double>{present, present + 71, present + 143, present + 287}));
  EXPECT_EQ(found.layers[1].measured, (std::vector<double>{present, present + 9, present + 19, present + 39}));
  const auto is_as_before = [&] {
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (!torch::equal(model->parameters()[i].detach().view(torch::kInt), before[i].view(torch::kInt))) return false;
    }
    return true;
  };
  EXPECT_TRUE(is_as_before());
  ASSERT_EQ(present, 13) << "eight of the norm's biases, and one in each of what is trained but those";
  EXPECT_EQ(sensitivity_text(found, {}, 0),
            "pruned alone  elements  0 %  0 %  25 %  50 %  100 %\n"
            "0.weight           288   13   13    84   156    300\n"
            "3.weight            40   13   13    22    32     52\n");

  int calls = 0;
  const auto fails = [&]() -> double {
    if (++calls == 3) throw std::runtime_error("no data");
    return 0;
  };
  EXPECT_THROW(pruning_sensitivity(*model, fails, {0.5, 0.9}), std::runtime_error);
  EXPECT_TRUE(is_as_before());
  EXPECT_THROW(pruning_sensitivity(*model, zeros, {1.5}), std::invalid_argument);
}

}  // namespace
}  // namespace vigil
