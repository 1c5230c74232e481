// ATen tensors in every shape that a gradient can have, against libtorch's own functions.
#include "vigil/hooks/tensor_reduction.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace vigil {
namespace {

// The figures by libtorch, in float64, of the finite elements of a dense copy.
void expect_equals_libtorch(const Moments& m, const torch::Tensor& tensor) {
  const torch::Tensor all = (tensor.layout() == torch::kStrided ? tensor : tensor.to_dense()).to(torch::kDouble).contiguous().flatten();
  const torch::Tensor x = all.masked_select(all.isfinite());
  EXPECT_EQ(m.count, static_cast<std::uint64_t>(all.numel()));
  EXPECT_EQ(m.nan_count, all.isnan().sum().item<std::uint8_t>());
  EXPECT_EQ(m.inf_count, all.isinf().sum().item<std::uint8_t>());
  EXPECT_EQ(m.zero_count, static_cast<std::uint64_t>((all == 0).sum().item<std::int64_t>()));
  if (x.numel() == 0) return;
  EXPECT_EQ(m.min, x.min().item<double>());
  EXPECT_EQ(m.max, x.max().item<double>());
  // What every kernel promises (reduction.h), and the rounding of double at the size of the elements.
  const double std = x.std(/*unbiased=*/false).item<double>(), floor = 1e-12 * x.abs().max().item<double>();
  EXPECT_NEAR(m.mean, x.mean().item<double>(), 1e-6 * std + floor);
  EXPECT_NEAR(standard_deviation(m), std, 1e-6 * std + floor);
  EXPECT_NEAR(m.l1, x.abs().sum().item<double>(), 1e-6 * m.l1);
  EXPECT_NEAR(l2_norm(m), x.norm().item<double>(), 1e-6 * l2_norm(m));
}

void expect_in_place(const torch::Tensor& tensor) {
  ASSERT_TRUE(is_in_place(tensor));
  expect_equals_libtorch(reduce_in_place(tensor), tensor);
  const FiniteNorm norm = finite_norm_of(reduce_in_place(tensor));
  const torch::Tensor wide = tensor.to(torch::kDouble).contiguous();
  EXPECT_EQ(norm.all_finite, wide.isfinite().all().item<bool>());
  if (!norm.all_finite) return;
  EXPECT_NEAR(norm.l2_norm, wide.norm().item<double>(), 1e-6 * norm.l2_norm);
}

TEST(Reduction, EveryFloatingPointTypeOfLibtorch) {
  torch::manual_seed(1);
  for (const auto type : {torch::kFloat, torch::kDouble, torch::kBFloat16, torch::kHalf}) {
    SCOPED_TRACE(torch::toString(type));
    expect_in_place(torch::randn({33, 129}).to(type));
  }
}

TEST(Reduction, NonContiguousTensorsCountEachElementOnce) {
  torch::manual_seed(2);
  const auto base = torch::randn({40, 60, 7});
  expect_in_place(base.transpose(0, 2));
  expect_in_place(base.permute({1, 0, 2}));
  expect_in_place(base.slice(1, 3, 50, 2));
  expect_in_place(base.slice(0, 5, 6));
  expect_in_place(base.select(2, 3));
  expect_in_place(base.slice(2, 1, 6));
  expect_in_place(base.slice(0, 0, 40, 3).transpose(0, 1).slice(2, 0, 7, 2));
  expect_in_place(torch::randn({5, 1}).expand({5, 300}));
  expect_in_place(torch::randn({1}).expand({1000}));
  expect_in_place(torch::randn({}).expand({2, 3, 4}));
  expect_in_place(base.unfold(1, 5, 2));
  expect_in_place(torch::randn({3, 4, 5, 6}).contiguous(torch::MemoryFormat::ChannelsLast));
  expect_in_place(torch::randn({64, 4100}).t().slice(0, 1));
}

TEST(Reduction, StridedTensorsFindNanAndInf) {
  auto base = torch::randn({30, 50});
  base[3][7] = std::numeric_limits<float>::quiet_NaN();
  base[29][48] = -std::numeric_limits<float>::infinity();
  expect_in_place(base.slice(1, 0, 50, 1).transpose(0, 1));
  expect_in_place(base.slice(1, 1, 50, 2));
  expect_in_place(base.slice(1, 0, 50, 2));
  EXPECT_TRUE(std::isnan(finite_norm_of(reduce_in_place(base.slice(1, 1, 50, 2))).l2_norm));
  EXPECT_TRUE(std::isinf(finite_norm_of(reduce_in_place(base.slice(1, 0, 50, 2))).l2_norm));
}

TEST(Reduction, EmptyScalarAndZeroSizedDimensions) {
  expect_in_place(torch::empty({0}));
  expect_in_place(torch::empty({3, 0, 5}));
  expect_in_place(torch::empty({3, 0, 5}).transpose(0, 2));
  expect_in_place(torch::tensor(2.5));
}

TEST(Reduction, SparseTensorsAreCoalescedAndCountTheirZeros) {
  const auto indices = torch::tensor({{0, 2, 2, 4}}, torch::kLong);
  const auto values = torch::tensor({{1.0f, 2.0f}, {3.0f, -4.0f}, {-3.0f, 1.0f}, {0.0f, 7.0f}});
  const auto sparse = torch::sparse_coo_tensor(indices, values, {6, 2});  // row 2 twice: they add up
  ASSERT_FALSE(is_in_place(sparse));
  expect_equals_libtorch(reduce_elsewhere({sparse})[0], sparse);
}

TEST(Reduction, LazilyNegatedTensorsAreResolved) {
  const auto negated = torch::_neg_view(torch::randn({100}) + 3);
  ASSERT_FALSE(is_in_place(negated));
  expect_equals_libtorch(reduce_elsewhere({negated})[0], negated);
}

TEST(Reduction, DevicePathGivesTheSameFiguresAsTheKernels) {
  torch::manual_seed(3);
  auto broken = torch::randn({50, 20});
  broken[4][5] = std::numeric_limits<float>::quiet_NaN();
  broken[5][6] = std::numeric_limits<float>::infinity();
  broken[6][7] = 0;
  const std::vector<torch::Tensor> tensors{torch::randn({300, 7}) * 1e15,
                                           broken,
                                           torch::full({5}, std::nan("")),
                                           torch::empty({0}),
                                           torch::zeros({9}),
                                           torch::randn({17}).to(torch::kHalf),
                                           torch::randn({4, 4}).t(),
                                           torch::randn({64}).to(torch::kBFloat16)};
  const auto reduced = reduce_on_device(tensors);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    SCOPED_TRACE(i);
    expect_equals_libtorch(reduced[i], tensors[i]);
  }
}

TEST(Reduction, DevicePathCountsTheSameMagnitudesAsTheKernels) {
  torch::manual_seed(5);
  auto wide = torch::exp2(torch::rand({3000}) * 45 - 35);
  wide[0] = 0;
  wide[1] = std::numeric_limits<float>::quiet_NaN();
  wide[2] = -std::numeric_limits<float>::infinity();
  for (int i = 0; i < 40; ++i) wide[3 + i] = (i % 2 == 0 ? 1 : -1) * std::ldexp(1.0, i - 33);  // the bounds themselves
  const std::vector<torch::Tensor> tensors{wide, torch::randn({7, 9}).to(torch::kHalf), torch::randn({300}).to(torch::kDouble) * 1e-8,
                                           torch::zeros({4})};
  std::vector<MagnitudeHistogram> histograms(tensors.size());
  reduce_on_device(tensors, {&histograms[0], &histograms[1], nullptr, &histograms[3]});
  for (const std::size_t i : {std::size_t{0}, std::size_t{1}, std::size_t{3}}) {
    SCOPED_TRACE(i);
    MagnitudeHistogram expected;
    reduce_in_place(tensors[i], &expected);
    EXPECT_EQ(expected.underflow, histograms[i].underflow);
    EXPECT_EQ(expected.buckets, histograms[i].buckets);
    EXPECT_EQ(expected.overflow, histograms[i].overflow);
  }
  EXPECT_EQ(histograms[2].buckets, MagnitudeHistogram{}.buckets);
}

TEST(Reduction, OtherTypesHaveNone) {
  for (const auto type : {torch::kLong, torch::kInt, torch::kBool, torch::kComplexFloat}) EXPECT_FALSE(dtype_of(type));
}

}  // namespace
}  // namespace vigil
