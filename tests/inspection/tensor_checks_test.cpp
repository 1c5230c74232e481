// Faults that are found, and what healthy models have that is none.
#include "vigil/inspection/tensor_checks.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "inspection/memory_tensor.h"

namespace vigil {
namespace {

constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN(), kInfinite = std::numeric_limits<float>::infinity();

ModelTensor tensor_with(std::string name, std::vector<float> values, std::vector<std::int64_t> sizes,
                        ModelTensor::Role role = ModelTensor::Role::parameter) {
  ModelTensor tensor = memory_tensor(std::move(name), ElementType::float32, std::move(values));
  tensor.sizes = std::move(sizes);
  tensor.role = role;
  return tensor;
}
ModelTensor buffer_with(std::string name, std::vector<float> values) {
  const auto size = static_cast<std::int64_t>(values.size());
  return tensor_with(std::move(name), std::move(values), {size}, ModelTensor::Role::buffer);
}

// "name: fault all_zero", in the order of the findings.
std::vector<std::string> found_in(const std::vector<ModelTensor>& tensors) {
  std::vector<std::string> found;
  for (const TensorFinding& finding : check_tensors(tensors, read_tensors(tensors))) {
    found.push_back(finding.tensor + ": " + std::string(kFindingLevelNames[static_cast<std::size_t>(finding.level)]) + ' ' +
                    std::string(kTensorCheckNames[static_cast<std::size_t>(finding.check)]));
  }
  return found;
}
std::string text_of(const ModelTensor& tensor) {
  const auto findings = check_tensors({tensor}, read_tensors({tensor}));
  return findings.size() == 1 ? findings[0].text : std::to_string(findings.size()) + " findings";
}

using Found = std::vector<std::string>;

TEST(TensorChecks, NothingIsWrongWithAHealthyModel) {
  std::vector<ModelTensor> model{tensor_with("fc.weight", {0.1F, -0.2F, 0.3F, 0}, {2, 2}), tensor_with("fc.bias", {0.1F, 0.2F}, {2}),
                                 buffer_with("bn.running_mean", {0.5F, 1}), buffer_with("bn.running_var", {0.5F, 0})};
  model.push_back(memory_tensor("bn.num_batches_tracked", ElementType::int64, std::vector<std::int64_t>{0}));
  model.back().role = ModelTensor::Role::buffer;
  model.push_back(memory_tensor("mask", ElementType::boolean, std::vector<std::uint8_t>{1, 1}));
  model.back().role = ModelTensor::Role::buffer;
  EXPECT_EQ(found_in(model), Found{});
}

TEST(TensorChecks, NanAndInfAreFaultsAnywhereWithTheirFirstIndex) {
  EXPECT_EQ(text_of(tensor_with("w", {1, 2, 3, kNotANumber, 5, kNotANumber}, {2, 3})), "2 of 6 elements are NaN, the first at [1, 0]");
  EXPECT_EQ(text_of(tensor_with("w", {1, -kInfinite}, {2})), "1 of 2 elements is infinite, the first at [1]");
  EXPECT_EQ(found_in({tensor_with("a", {kNotANumber, kInfinite, 1}, {3}), buffer_with("b", {kInfinite, 1})}),
            (Found{"a: fault nan", "a: fault inf", "b: fault inf"}));
}

TEST(TensorChecks, AMaskOfZerosAndInfinitiesIsANote) {
  EXPECT_EQ(found_in({buffer_with("mask", {0, -kInfinite, 0}), tensor_with("weight", {0, -kInfinite}, {2})}),
            (Found{"mask: note inf", "weight: fault inf"}));
}

TEST(TensorChecks, WhatIsConstantIsJudgedByWhatItIs) {
  const auto all = [](float value) { return std::vector<float>(4, value); };
  EXPECT_EQ(found_in({tensor_with("a.weight", all(0), {2, 2})}), Found{"a.weight: fault all_zero"});
  EXPECT_EQ(found_in({tensor_with("a.weight", all(0.5F), {2, 2})}), Found{"a.weight: fault constant"});
  EXPECT_EQ(found_in({tensor_with("a.weight", all(1), {2, 2})}), Found{"a.weight: fault constant"});
  // LayerNorm over two dimensions has a bias of the same sizes.
  EXPECT_EQ(found_in({tensor_with("n.weight", all(1), {2, 2}), tensor_with("n.bias", all(0), {2, 2})}),
            (Found{"n.weight: note constant", "n.bias: note all_zero"}));
  EXPECT_EQ(found_in({tensor_with("n.weight", all(1), {4})}), Found{"n.weight: note constant"});
  EXPECT_EQ(found_in({tensor_with("n.weight", all(0), {4})}), Found{"n.weight: fault all_zero"});
  EXPECT_EQ(found_in({tensor_with("n.weight", all(0.3F), {4})}), Found{"n.weight: fault constant"});
  EXPECT_EQ(found_in({tensor_with("lstm.bias_ih_l0", all(0.3F), {4})}), Found{"lstm.bias_ih_l0: note constant"});
  EXPECT_EQ(found_in({buffer_with("bn.running_mean", all(0)), buffer_with("bn.running_var", all(1))}),
            (Found{"bn.running_mean: note all_zero", "bn.running_var: note constant"}));
  EXPECT_EQ(found_in({tensor_with("gate", {0}, {1}), tensor_with("scalar", {0}, {})}), Found{});
  EXPECT_EQ(text_of(tensor_with("w", all(0.25F), {2, 2})), "all 4 elements are 0.25");
  EXPECT_EQ(text_of(tensor_with("w", all(-0.0F), {2, 2})), "all 4 elements are zero");
}

TEST(TensorChecks, WithoutRolesNamesDecide) {
  const auto other = [](std::string name) { return tensor_with(std::move(name), {0, 0}, {2, 1}, ModelTensor::Role::other); };
  EXPECT_EQ(found_in({other("conv.weight"), other("lstm.weight_hh_l0"), other("conv.bias"), other("state.0.exp_avg")}),
            (Found{"conv.weight: fault all_zero", "lstm.weight_hh_l0: fault all_zero", "conv.bias: note all_zero",
                   "state.0.exp_avg: note all_zero"}));
}

TEST(TensorChecks, ANegativeVarianceIsAFault) {
  EXPECT_EQ(text_of(buffer_with("layer1.bn.running_var", {1, -0.5F})), "is a variance, and its smallest element is -0.5");
  EXPECT_EQ(found_in({buffer_with("running_mean", {1, -0.5F})}), Found{});
}

TEST(TensorChecks, DenormalsAreAFaultFromTheirShareOn) {
  std::vector<float> values(100, 1);
  values[0] = 0x1p-130F;
  EXPECT_EQ(text_of(tensor_with("w", values, {10, 10})), "1 of 100 elements that are not zero is denormal in float32");
  values.push_back(1);
  EXPECT_EQ(found_in({tensor_with("w", values, {101})}), Found{});
  values[1] = 0;  // of those that are not zero it is one in a hundred again
  EXPECT_EQ(found_in({tensor_with("w", values, {101})}), Found{"w: fault denormal"});
  std::vector<std::uint16_t> half(20, 0x3c00);
  half[0] = 0x0001;
  EXPECT_EQ(found_in({memory_tensor("h", ElementType::float16, half)}), Found{});
  half[1] = 0x8001;
  EXPECT_EQ(found_in({memory_tensor("h", ElementType::float16, half)}), Found{"h: fault denormal"});
}

TEST(TensorChecks, EqualValuesInTwoPlacesAreADuplicateUnlessTheyShareMemory) {
  const std::vector<float> values{0.1F, 0.2F, 0.3F, 0.4F};
  ModelTensor first = tensor_with("a.weight", values, {2, 2}), copied = tensor_with("b.weight", values, {2, 2});
  EXPECT_EQ(found_in({first, copied}), Found{"b.weight: fault duplicate"});
  EXPECT_EQ(check_tensors({first, copied}, read_tensors({first, copied})).at(0).text,
            "has the same 4 values as a.weight, and does not share its memory");
  first.memory = copied.memory = 3;
  EXPECT_EQ(found_in({first, copied}), Found{});
  EXPECT_EQ(found_in({tensor_with("a", values, {2, 2}), tensor_with("b", values, {4})}), Found{});
  EXPECT_EQ(found_in({tensor_with("a.weight", values, {4}), tensor_with("b.weight", values, {4})}), Found{"b.weight: note duplicate"});
  EXPECT_EQ(found_in({buffer_with("a.positions", values), buffer_with("b.positions", values)}), Found{"b.positions: note duplicate"});
}

TEST(TensorChecks, TiedTensorsAreJudgedOnceAndPartsOfAMemoryEachForItself) {
  ModelTensor first = tensor_with("a.weight", {kNotANumber, 1}, {1, 2}), tied = first;
  tied.name = "b.weight";
  first.memory = tied.memory = 1;
  EXPECT_EQ(found_in({first, tied}), Found{"a.weight: fault nan"});
  ModelTensor part = tensor_with("c.weight", {0, 0}, {1, 2});
  part.memory = 1;
  EXPECT_EQ(found_in({first, part}), (Found{"a.weight: fault nan", "c.weight: fault all_zero"}));
}

TEST(TensorChecks, WhatCannotBeReadIsAFaultAndTheOthersAreJudged) {
  ModelTensor absent;
  absent.name = "lost";
  EXPECT_EQ(text_of(absent), "cannot be read: its elements are not at hand");
  EXPECT_EQ(found_in({absent, tensor_with("w", {kNotANumber}, {1})}), (Found{"lost: fault unreadable", "w: fault nan"}));
}

}  // namespace
}  // namespace vigil
