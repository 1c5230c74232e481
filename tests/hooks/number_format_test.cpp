// What smaller number formats lose, against libtorch's own conversions; those of 8 bits are in tests/monitor/number_format_test.cpp.
#include <torch/torch.h>

#include <gtest/gtest.h>

#include <cmath>

#include "vigil/monitor/number_format.h"
#include "vigil/monitor/reduction.h"
#include "vigil/operators/torch_version.h"

namespace vigil {
namespace {

// The same three shares, counted after the conversion.
struct Counted {
  double overflow = 0, subnormal = 0, underflow = 0;
};

Counted counted(const torch::Tensor& values, torch::ScalarType type, double smallest_normal) {
  const torch::Tensor rounded = values.to(type).to(torch::kFloat64).abs(), before = values.to(torch::kFloat64).abs();
  const torch::Tensor matters = before.isfinite() & (before > 0);
  const double all = matters.sum().item<double>();
  const auto share = [&](const torch::Tensor& which) { return (which & matters).sum().item<double>() / all; };
  return {share(rounded.isinf()), share((rounded > 0) & (before <= smallest_normal)), share(rounded == 0)};
}

FormatLoss loss_of(const torch::Tensor& values, const NumberFormat& format) {
  const torch::Tensor dense = values.contiguous();
  MagnitudeHistogram histogram;
  const Moments moments = compute_moments(DType::float32, dense.data_ptr<float>(), static_cast<std::size_t>(dense.numel()), &histogram);
  return loss_in(format, histogram, moments);
}

TEST(FormatLoss, IsWhatAConversionToHalfLoses) {
  torch::manual_seed(1);
  for (const double scale : {1.0, 1e-3, 1e-5, 1e-7, 1e-9}) {
    const torch::Tensor values = torch::randn({20'000}) * scale;
    const Counted expected = counted(values, torch::kHalf, std::exp2(-14));
    const FormatLoss loss = loss_of(values, kNumberFormats[0]);
    EXPECT_EQ(loss.overflow, 0) << scale;
    EXPECT_NEAR(*loss.underflow, expected.underflow, 1e-9) << scale;
    EXPECT_NEAR(*loss.subnormal, expected.subnormal, 1e-9) << scale;
  }
}

TEST(FormatLoss, OfOverflowIsABoundAndExactlyNothingWhereThereIsNone) {
  torch::Tensor values = torch::randn({1000});
  values[7] = 65519.0F;  // rounds to 65504
  EXPECT_EQ(counted(values, torch::kHalf, std::exp2(-14)).overflow, 0);
  EXPECT_EQ(loss_of(values, kNumberFormats[0]).overflow, 0);
  values[7] = -65520.0F;  // and this to the infinity
  values[8] = 20.0F;      // too large for the buckets, but not for the format
  EXPECT_EQ(counted(values, torch::kHalf, std::exp2(-14)).overflow, 0.001);
  EXPECT_EQ(loss_of(values, kNumberFormats[0]).overflow, 0.002);
}

TEST(FormatLoss, Bfloat16EndsWhereFloat32DoesAlmost) {
  torch::Tensor values = torch::ones({100});
  values[0] = 3.3895e38F;  // just above the largest, and rounds to it
  EXPECT_EQ(counted(values, torch::kBFloat16, 0).overflow, 0);
  EXPECT_EQ(loss_of(values, kNumberFormats[1]).overflow, 0);
  values[0] = 3.4e38F;
  EXPECT_EQ(counted(values, torch::kBFloat16, 0).overflow, 0.01);
  EXPECT_EQ(loss_of(values, kNumberFormats[1]).overflow, 0.01);
  EXPECT_FALSE(loss_of(values, kNumberFormats[1]).underflow);
}

TEST(FormatLoss, OfInt8IsInterpolatedWithinItsStatedError) {
  torch::manual_seed(2);
  for (const double scale : {10.0, 1.0, 1e-3, 1e-6}) {
    torch::Tensor values = torch::randn({50'000}) * scale;
    for (const double outlier : {4.0, 20.0, 300.0}) {
      values[7] = outlier * scale;
      const double step = values.abs().max().item<double>() / 127;
      const torch::Tensor rounded = torch::quantize_per_tensor(values, step, 0, torch::kQInt8).int_repr();
      const double expected = (rounded == 0).to(torch::kFloat64).mean().item<double>();
      const FormatLoss loss = loss_of(values, kNumberFormats[4]);
      EXPECT_EQ(loss.overflow, 0);
      EXPECT_NEAR(*loss.underflow, expected, loss.underflow_error) << scale << ' ' << outlier;
      EXPECT_NEAR(*loss.underflow, expected, outlier < 100 ? 0.005 : 0.05) << scale;  // near 0 values lie evenly
    }
  }
}

TEST(FormatLoss, OfInt8IsNotToldWhereItsBorderIsNotCounted) {
  EXPECT_FALSE(loss_of(torch::tensor({5000.0F, 1.0F}), kNumberFormats[4]).underflow);
  EXPECT_FALSE(loss_of(torch::tensor({5e-7F, 1e-9F}), kNumberFormats[4]).underflow);
}

#if VIGIL_TORCH_AT_LEAST(2, 1)
TEST(FormatLoss, IsWhatAConversionToFloat8Loses) {
  torch::manual_seed(3);
  for (const double scale : {1.0, 1e-2, 1e-4, 1e-6}) {
    const torch::Tensor values = torch::randn({20'000}) * scale;
    for (const auto& [type, format, normal] :
         {std::make_tuple(torch::kFloat8_e4m3fn, 2, std::exp2(-6)), std::make_tuple(torch::kFloat8_e5m2, 3, std::exp2(-14))}) {
      const Counted expected = counted(values, type, normal);
      const FormatLoss loss = loss_of(values, kNumberFormats[static_cast<std::size_t>(format)]);
      EXPECT_NEAR(*loss.underflow, expected.underflow, 1e-9) << scale;
      EXPECT_NEAR(*loss.subnormal, expected.subnormal, 1e-9) << scale;
    }
  }
}
#endif

TEST(FormatLoss, OfNothingIsNothing) {
  EXPECT_EQ(loss_of(torch::zeros({10}), kNumberFormats[0]).overflow, 0);
  EXPECT_EQ(loss_of(torch::zeros({10}), kNumberFormats[0]).underflow, 0);
}

}  // namespace
}  // namespace vigil
