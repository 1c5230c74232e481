// What 8-bit floats lose, against a rounding of each element by their specification, and what is advised.
#include "vigil/monitor/number_format.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "vigil/monitor/reduction.h"

namespace vigil {
namespace {

struct Tensor {
  MagnitudeHistogram histogram;
  Moments moments;
};

Tensor reduced(const std::vector<float>& values) {
  Tensor tensor;
  tensor.moments = compute_moments(DType::float32, values.data(), values.size(), &tensor.histogram);
  return tensor;
}

// A format of the OCP 8-bit Floating Point Specification: all its finite magnitudes, and the one that would follow.
struct SmallFloat {
  std::vector<double> magnitudes;
  double beyond = 0, smallest_normal = 0;
};

SmallFloat small_float(int exponent_bits, int fraction_bits, int bias, int finite_codes) {
  SmallFloat format;
  const auto value = [&](int code) {
    const int exponent = code >> fraction_bits, fraction = code & ((1 << fraction_bits) - 1);
    const int whole = exponent == 0 ? fraction : fraction + (1 << fraction_bits);
    return std::ldexp(whole, std::max(exponent, 1) - bias - fraction_bits);
  };
  EXPECT_EQ(exponent_bits + fraction_bits, 7);
  for (int code = 0; code < finite_codes; ++code) format.magnitudes.push_back(value(code));
  format.beyond = value(finite_codes);
  format.smallest_normal = std::ldexp(1.0, 1 - bias);
  return format;
}

// The code of |x|, to nearest, ties to the even code; magnitudes.size() for what is too large.
std::size_t rounded(const SmallFloat& format, double magnitude) {
  std::vector<double> all = format.magnitudes;
  all.push_back(format.beyond);
  if (magnitude >= format.beyond) return format.magnitudes.size();
  const std::size_t above = static_cast<std::size_t>(std::upper_bound(all.begin(), all.end(), magnitude) - all.begin()), below = above - 1;
  const double to_below = magnitude - all[below], to_above = all[above] - magnitude;
  if (to_below != to_above) return to_below < to_above ? below : above;
  return below % 2 == 0 ? below : above;
}

// E4M3: S.1111.111 is NaN, so 127 codes are finite. E5M2: the uppermost exponent is for infinities and NaN.
const std::array<SmallFloat, 2>& small_floats() {
  static const std::array<SmallFloat, 2> formats{small_float(4, 3, 7, 127), small_float(5, 2, 15, 124)};
  return formats;
}

TEST(SmallFormatLoss, IsWhatRoundingBySpecificationLoses) {
  EXPECT_EQ(small_floats()[0].magnitudes.back(), 448);
  EXPECT_EQ(small_floats()[1].magnitudes.back(), 57344);
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  for (const double scale : {1.0, 0.02, 1e-3, 1e-5, 1e-7}) {
    std::vector<float> values(20'000);
    for (float& value : values) value = static_cast<float>(scale * normal(random));
    for (int power = -12; power < -5; ++power) values.push_back(std::ldexp(1.0F, power));  // ties, and bounds of buckets
    const Tensor tensor = reduced(values);
    for (std::size_t i = 0; i < 2; ++i) {
      const SmallFloat& format = small_floats()[i];
      double underflow = 0, subnormal = 0;
      for (const float value : values) {
        const double magnitude = std::fabs(static_cast<double>(value));
        const bool is_zero = rounded(format, magnitude) == 0;
        underflow += is_zero ? 1 : 0;
        subnormal += !is_zero && magnitude <= format.smallest_normal ? 1 : 0;
      }
      const FormatLoss loss = loss_in(kNumberFormats[2 + i], tensor.histogram, tensor.moments);
      EXPECT_EQ(loss.overflow, 0);
      EXPECT_DOUBLE_EQ(*loss.underflow, underflow / static_cast<double>(values.size())) << scale;
      EXPECT_DOUBLE_EQ(*loss.subnormal, subnormal / static_cast<double>(values.size())) << scale;
    }
  }
}

TEST(SmallFormatLoss, OfOverflowIsABoundThatBeginsWhereRoundingDoes) {
  for (std::size_t i = 0; i < 2; ++i) {
    const SmallFloat& format = small_floats()[i];
    const double middle = (format.magnitudes.back() + format.beyond) / 2;
    for (const double value :
         {middle, std::nextafter(static_cast<float>(middle), 0.0F) * 1.0, std::nextafter(static_cast<float>(middle), 1e9F) * 1.0}) {
      std::vector<float> values(100, 1.0F);
      values[3] = -static_cast<float>(value);
      values[4] = 17;  // beyond the buckets as well
      const Tensor tensor = reduced(values);
      const bool is_lost = rounded(format, value) == format.magnitudes.size();
      EXPECT_EQ(loss_in(kNumberFormats[2 + i], tensor.histogram, tensor.moments).overflow, is_lost ? 0.02 : 0) << value;
    }
  }
}

TEST(SmallFormatLoss, OfScaledElementsIsThatOfTheirProducts) {
  std::mt19937 random(2);
  std::normal_distribution<double> normal;
  std::vector<float> values(5000);
  for (float& value : values) value = static_cast<float>(0.02 * normal(random));
  const Tensor tensor = reduced(values);
  for (const int scale : {-6, 3, 12}) {
    std::vector<float> products = values;
    for (float& product : products) product = std::ldexp(product, scale);
    const Tensor scaled = reduced(products);
    for (std::size_t i : {0, 2, 3}) {
      const FormatLoss expected = loss_in(kNumberFormats[i], scaled.histogram, scaled.moments);
      const FormatLoss loss = loss_in(kNumberFormats[i], tensor.histogram, tensor.moments, scale);
      EXPECT_EQ(loss.overflow, expected.overflow) << scale;
      // Scaled by 12 the borders of float16 are below what is counted.
      ASSERT_EQ(loss.underflow.has_value(), kNumberFormats[i].underflow - scale >= MagnitudeHistogram::kLowestExponent);
      if (!loss.underflow) continue;
      EXPECT_EQ(*loss.underflow, *expected.underflow) << scale;
      EXPECT_EQ(*loss.subnormal, *expected.subnormal) << scale;
    }
  }
}

TEST(PrecisionAdvice, SaysWhatIsSafeAndWhichPowerOfTwoWouldMakeItSo) {
  std::mt19937 random(3);
  std::normal_distribution<double> normal;
  std::vector<float> values(50'000);
  for (float& value : values) value = static_cast<float>(0.02 * normal(random));
  const Tensor weights = reduced(values);
  const PrecisionAdvice advice = advise(weights.histogram, weights.moments);
  EXPECT_EQ(advice[0].verdict, FormatVerdict::safe);
  EXPECT_EQ(advice[1].verdict, FormatVerdict::safe);
  EXPECT_EQ(advice[2].verdict, FormatVerdict::safe_scaled);  // 0.02 is about the smallest normal number of E4M3
  EXPECT_EQ(advice[4].verdict, FormatVerdict::safe);
  // As far up as it goes: the largest element does not overflow, and would with one more.
  const double largest = std::max(-weights.moments.min, weights.moments.max);
  EXPECT_LE(std::ldexp(largest, advice[2].scale), 464);
  EXPECT_GT(std::ldexp(largest, advice[2].scale + 1), 464);
  EXPECT_LE(*advice[2].scaled.subnormal, PrecisionThresholds{}.subnormal);

  values[1] = 1e5F;
  const Tensor spoilt = reduced(values);
  const PrecisionAdvice worse = advise(spoilt.histogram, spoilt.moments);
  EXPECT_EQ(worse[0].verdict, FormatVerdict::safe_scaled);
  EXPECT_EQ(worse[0].scale, -1);
  EXPECT_EQ(worse[2].verdict, FormatVerdict::unsafe);
  EXPECT_EQ(worse[4].verdict, FormatVerdict::out_of_sight);
  values[1] = 100;
  const Tensor lopsided = reduced(values);
  EXPECT_EQ(advise(lopsided.histogram, lopsided.moments)[4].verdict, FormatVerdict::unsafe);  // one outlier takes all steps
}

TEST(PrecisionAdvice, DoesNotScaleDownWhatWouldBeWipedOut) {
  // The one large element asks for a scale under which the others, all above what is counted, become 0 or subnormal.
  std::vector<float> values(1000, 100.0F);
  values.push_back(1e38F);
  const Tensor wiped_out = reduced(values);
  EXPECT_EQ(advise(wiped_out.histogram, wiped_out.moments)[0].verdict, FormatVerdict::unsafe);
  const FormatLoss far_down = loss_in(kNumberFormats[0], wiped_out.histogram, wiped_out.moments, -111);
  EXPECT_FALSE(far_down.underflow || far_down.subnormal);
  values.assign(1000, 20.0F);
  values.push_back(6e5F);
  const Tensor subnormal = reduced(values);
  EXPECT_EQ(advise(subnormal.histogram, subnormal.moments)[2].verdict, FormatVerdict::unsafe);
  const FormatLoss down = loss_in(kNumberFormats[2], subnormal.histogram, subnormal.moments, -11);
  EXPECT_EQ(down.underflow, 0);
  EXPECT_FALSE(down.subnormal);
  // Without an element above 2^4 there is nothing that is not told.
  const Tensor small = reduced({1, 2, 3, 4});
  EXPECT_EQ(loss_in(kNumberFormats[0], small.histogram, small.moments, -40).underflow, 1);
  const FormatLoss halves = loss_in(kNumberFormats[2], small.histogram, small.moments, -11);
  EXPECT_EQ(halves.underflow, 0.5);  // 2 * 2^-11 is half way to the smallest subnormal number, and goes to the even one
  EXPECT_EQ(halves.subnormal, 0.5);
}

TEST(SmallFormatLoss, OfOverflowIsABoundUnderAnyScale) {
  const Tensor tensor = reduced({1e-10F, 2e-10F, 1e-20F, 1});
  // Times 2^60 the first two are beyond float16, and below what is counted.
  EXPECT_GE(loss_in(kNumberFormats[0], tensor.histogram, tensor.moments, 60).overflow, 0.75);
}

TEST(PrecisionAdvice, OfATensorInItsOwnTypeIsSafe) {
  const Tensor tiny = reduced(std::vector<float>(10, std::ldexp(1.0F, -24)));  // the smallest of float16
  EXPECT_NE(advise(tiny.histogram, tiny.moments, "float32")[0].verdict, FormatVerdict::safe);
  const FormatAdvice own = advise(tiny.histogram, tiny.moments, "float16")[0];
  EXPECT_EQ(own.verdict, FormatVerdict::safe);
  EXPECT_EQ(own.loss.subnormal, 0);
  EXPECT_EQ(losses_in(tiny.histogram, tiny.moments, "float16")[0].subnormal, 0);
  const Tensor tinier = reduced({1e-20F});
  EXPECT_EQ(advise(tinier.histogram, tinier.moments, "bfloat16")[1].verdict, FormatVerdict::safe);
  EXPECT_EQ(advise(tinier.histogram, tinier.moments, "bfloat16")[0].verdict, FormatVerdict::unsafe);
}

TEST(PrecisionAdvice, OfZerosIsSafeAndOfWhatIsNotCountedOutOfSight) {
  const Tensor zeros = reduced(std::vector<float>(10, 0.0F));
  for (const FormatAdvice& one : advise(zeros.histogram, zeros.moments)) EXPECT_EQ(one.verdict, FormatVerdict::safe);
  const Tensor tiny = reduced(std::vector<float>(10, 1e-20F));
  const PrecisionAdvice advice = advise(tiny.histogram, tiny.moments);
  EXPECT_EQ(advice[0].verdict, FormatVerdict::unsafe);  // no scaling is seen to help: all may be much smaller
  EXPECT_EQ(advice[1].verdict, FormatVerdict::out_of_sight);
  EXPECT_EQ(advice[4].verdict, FormatVerdict::out_of_sight);
  EXPECT_FALSE(advice[4].loss.underflow);
}

TEST(PrecisionAdvice, OfMomentsThatCannotBeIsGivenAllTheSame) {
  Tensor tensor = reduced({1, 2, 3});
  for (const double largest : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN(), 1e308, 5e-324}) {
    tensor.moments.min = -largest;
    tensor.moments.max = largest;
    EXPECT_EQ(advise(tensor.histogram, tensor.moments)[4].verdict == FormatVerdict::out_of_sight, largest > 254 * 16);
    tensor.histogram.overflow = ~std::uint64_t{0};
    advise(tensor.histogram, tensor.moments);
    overflow_bound(kNumberFormats[0], tensor.moments);
  }
}

TEST(PrecisionAdvice, OfOneFormatIsThatOfAll) {
  std::mt19937 random(4);
  std::normal_distribution<double> normal;
  std::vector<float> values(1000);
  for (float& value : values) value = static_cast<float>(1e-4 * normal(random));
  const Tensor tensor = reduced(values);
  const FormatLosses losses = losses_in(tensor.histogram, tensor.moments);
  for (std::size_t i = 0; i < kNumberFormats.size(); ++i) {
    const FormatLoss one = loss_in(kNumberFormats[i], tensor.histogram, tensor.moments);
    EXPECT_EQ(losses[i].overflow, one.overflow);
    EXPECT_EQ(losses[i].underflow, one.underflow);
    EXPECT_EQ(losses[i].subnormal, one.subnormal);
    EXPECT_EQ(losses[i].underflow_error, one.underflow_error);
  }
}

}  // namespace
}  // namespace vigil
