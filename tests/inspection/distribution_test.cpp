// Distributions, against their definitions written out: in long double, over sorted copies.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>

#include "inspection/memory_tensor.h"
#include "vigil/inspection/element_numbers.h"
#include "vigil/inspection/tensor_distribution.h"
#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// What the definitions say of finite numbers.
class Reference {
 public:
  explicit Reference(const std::vector<double>& all) {
    for (const double x : all) {
      if (is_finite_bits(x)) sorted_.push_back(x);
    }
    std::sort(sorted_.begin(), sorted_.end());
    for (const double x : sorted_) mean_ += x;
    mean_ /= n();
  }

  long double n() const { return static_cast<long double>(sorted_.size()); }
  long double mean() const { return mean_; }
  long double central(int power) const {
    long double sum = 0;
    for (const double x : sorted_) sum += std::pow(x - mean_, static_cast<long double>(power));
    return sum / n();
  }
  long double quantile(long double q) const {
    const long double place = (n() - 1) * q;
    const auto k = static_cast<std::size_t>(place);
    const std::size_t next = std::min(k + 1, sorted_.size() - 1);
    return sorted_[k] + (place - static_cast<long double>(k)) * (static_cast<long double>(sorted_[next]) - sorted_[k]);
  }
  // As numpy.histogram documents it.
  std::vector<std::uint64_t> histogram(double lower, double upper, std::size_t bins) const {
    std::vector<std::uint64_t> counts(bins);
    const double width = (upper - lower) / static_cast<double>(bins);
    const auto edge = [&](std::size_t i) { return i == bins ? upper : lower + static_cast<double>(i) * width; };
    for (std::size_t i = 0; i < bins; ++i) {
      for (const double x : sorted_) counts[i] += x >= edge(i) && (x < edge(i + 1) || (i + 1 == bins && x == upper)) ? 1 : 0;
    }
    return counts;
  }
  double density(double x, double h) const {
    long double sum = 0;
    for (const double one : sorted_) sum += std::exp(-0.5L * (x - one) / h * (x - one) / h);
    return static_cast<double>(sum / (n() * h * std::sqrt(2 * std::acos(-1.0L))));
  }
  const std::vector<double>& sorted() const { return sorted_; }

 private:
  std::vector<double> sorted_;
  long double mean_ = 0;
};

void expect_near(double value, long double expected, const char* what) {
  EXPECT_NEAR(value, static_cast<double>(expected), 1e-6 * std::max(1e-300, std::fabs(static_cast<double>(expected)))) << what;
}

// All figures of a distribution that has no range of its own.
void expect_defined(const Distribution& told, const std::vector<double>& all, std::size_t bins) {
  const Reference reference(all);
  ElementCounts counts;
  for (const double x : all) {
    counts.nan += is_nan_bits(x) ? 1 : 0;
    counts.positive_infinite += x == kInfinity ? 1 : 0;
    counts.negative_infinite += x == -kInfinity ? 1 : 0;
    counts.zeros += x == 0 ? 1 : 0;
    counts.negative += is_finite_bits(x) && x < 0 ? 1 : 0;
  }
  EXPECT_EQ(told.counts.elements, all.size());
  EXPECT_EQ(told.counts.nan, counts.nan);
  EXPECT_EQ(told.counts.positive_infinite, counts.positive_infinite);
  EXPECT_EQ(told.counts.negative_infinite, counts.negative_infinite);
  EXPECT_EQ(told.counts.zeros, counts.zeros);
  EXPECT_EQ(told.counts.negative, counts.negative);
  EXPECT_EQ(told.counts.finite(), reference.sorted().size());
  EXPECT_EQ(told.moments.count, all.size());
  EXPECT_EQ(told.moments.zero_count, counts.zeros);
  EXPECT_EQ(told.moments.min, reference.sorted().front());
  EXPECT_EQ(told.moments.max, reference.sorted().back());

  const long double m2 = reference.central(2);
  EXPECT_NEAR(told.mean, static_cast<double>(reference.mean()), 1e-6 * static_cast<double>(std::sqrt(m2)));
  expect_near(told.standard_deviation, std::sqrt(m2), "std");
  EXPECT_NEAR(told.skewness, static_cast<double>(reference.central(3) / (m2 * std::sqrt(m2))), 1e-6);
  expect_near(told.kurtosis, reference.central(4) / (m2 * m2), "kurtosis");
  for (const Quantile& quantile : told.quantiles) {
    EXPECT_NEAR(quantile.value, static_cast<double>(reference.quantile(quantile.q)),
                1e-12 * std::fabs(quantile.value) + std::numeric_limits<double>::denorm_min())
        << quantile.q;
  }
  EXPECT_EQ(told.linear.counts, reference.histogram(reference.sorted().front(), reference.sorted().back(), bins));

  ASSERT_EQ(told.exponents.negative.size(), told.exponents.positive.size());
  for (std::size_t i = 0; i < told.exponents.positive.size(); ++i) {
    const double lower = std::ldexp(1.0, told.exponents.lowest + static_cast<int>(i));
    std::uint64_t positive = 0, negative = 0;
    for (const double x : reference.sorted()) {
      positive += x >= lower && x < 2 * lower ? 1 : 0;
      negative += -x >= lower && -x < 2 * lower ? 1 : 0;
    }
    EXPECT_EQ(told.exponents.positive[i], positive) << i;
    EXPECT_EQ(told.exponents.negative[i], negative) << i;
  }
}

template <class Element>
std::vector<Element> normal(std::size_t count, double mean, double deviation, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> distribution(mean, deviation);
  std::vector<Element> values(count);
  for (Element& value : values) value = static_cast<Element>(distribution(random));
  return values;
}

template <class Element>
std::vector<double> as_double(const std::vector<Element>& values) {
  return {values.begin(), values.end()};
}

TEST(Distribution, OfASmallTensorIsWhatTheDefinitionsSay) {
  for (const std::size_t count : {2, 3, 10, 4097}) {
    SCOPED_TRACE(count);
    std::vector<float> values = normal<float>(count, 0.3, 2);
    const Distribution told = distribution_of(memory_tensor("w", ElementType::float32, values), {{0.1, 0.333}, 17, {}, 64});
    EXPECT_EQ(told.quantiles.size(), kQuantiles.size() + 2);
    expect_defined(told, as_double(values), 17);
  }
}

TEST(Distribution, OfALargeTensorIsWhatTheDefinitionsSay) {
  std::vector<float> values = normal<float>(200'000, 1000, 0.01F);  // far from 0, with few values
  std::vector<float> more = normal<float>(50'000, 0, 1e-4F);
  values.insert(values.end(), more.begin(), more.end());
  values.insert(values.end(), 30'000, 0.0F);
  values.insert(values.end(), 10, -0.0F);
  values.insert(values.end(), 7, std::numeric_limits<float>::quiet_NaN());
  values.insert(values.end(), 5, std::numeric_limits<float>::infinity());
  values.insert(values.begin() + 3000, 3, -std::numeric_limits<float>::infinity());
  expect_defined(distribution_of(memory_tensor("w", ElementType::float32, values), {{0.12345}, 40, {}, 0}), as_double(values), 40);
}

TEST(Distribution, OfFloat64GoesToItsEnds) {
  std::vector<double> values = normal<double>(70'000, 0, 1e-3);
  for (std::size_t i = 0; i < values.size(); i += 3) values[i] = std::ldexp(values[i], static_cast<int>(i % 40) - 20);
  expect_defined(distribution_of(memory_tensor("w", ElementType::float64, values), {{}, 64, {}, 0}), values, 64);

  // Whose range, squares and sums leave that of double.
  const Distribution wide =
      distribution_of(memory_tensor("w", ElementType::float64, std::vector<double>{-1.5e308, -1e308, 1e308, 1.7e308}), {{}, 4, {}, 16});
  EXPECT_EQ(wide.linear.counts, (std::vector<std::uint64_t>{2, 0, 0, 2}));
  EXPECT_NEAR(wide.quantile(0.5), 0, 1e294);
  const long double mean = (-1.5L - 1 + 1 + 1.7L) / 4, a = -1.5L - mean, b = -1 - mean, c = 1 - mean, d = 1.7L - mean;
  const long double m2 = (a * a + b * b + c * c + d * d) / 4;
  expect_near(wide.standard_deviation, std::sqrt(m2) * 1e308L, "std");
  expect_near(wide.kurtosis, (a * a * a * a + b * b * b * b + c * c * c * c + d * d * d * d) / 4 / (m2 * m2), "kurtosis");
  EXPECT_TRUE(wide.density.values.empty());
}

TEST(Distribution, HalfTypesIntegersAndBooleansAreNumbersToo) {
  std::mt19937 random(3);
  std::vector<std::uint16_t> bits(100'000);
  for (std::uint16_t& word : bits) word = static_cast<std::uint16_t>(random());  // every pattern, NaN among them
  std::vector<double> halves, brains;
  for (const std::uint16_t word : bits) {
    halves.push_back(float_from_float16(word));
    brains.push_back(float_from_bfloat16(word));
  }
  const Distribution half = distribution_of(memory_tensor("h", ElementType::float16, bits), {{}, 10, {}, 0});
  expect_defined(half, halves, 10);
  EXPECT_EQ(half.counts.subnormals, std::count_if(halves.begin(), halves.end(), [](double x) { return x != 0 && std::fabs(x) < 0x1p-14; }));
  const Distribution brain = distribution_of(memory_tensor("b", ElementType::bfloat16, bits), {{}, 10, {}, 0});
  EXPECT_EQ(brain.counts.subnormals,
            std::count_if(brains.begin(), brains.end(), [](double x) { return x != 0 && std::fabs(x) < 0x1p-126; }));
  EXPECT_EQ(brain.exponents.lowest, -127);
  EXPECT_EQ(brain.exponents.positive.front() + brain.exponents.negative.front(), brain.counts.subnormals);

  std::vector<std::int64_t> integers(80'000);
  for (std::int64_t& one : integers) one = static_cast<std::int64_t>(random() % 5000) - 2000;
  expect_defined(distribution_of(memory_tensor("i", ElementType::int64, integers), {{}, 10, {}, 0}), as_double(integers), 10);
  std::vector<std::int8_t> bytes(300);
  for (std::int8_t& one : bytes) one = static_cast<std::int8_t>(random());
  expect_defined(distribution_of(memory_tensor("i", ElementType::int8, bytes), {{}, 10, {}, 0}), as_double(bytes), 10);
  const Distribution flags = distribution_of(memory_tensor("m", ElementType::boolean, std::vector<std::uint8_t>{1, 0, 1, 1}));
  EXPECT_EQ(flags.counts.zeros, 1U);
  EXPECT_EQ(flags.mean, 0.75);
  EXPECT_THROW(distribution_of(memory_tensor("c", ElementType::complex128, std::vector<double>{1, 2})), std::invalid_argument);
}

TEST(Distribution, SmallFloatsAreWhatTheirSpecificationSays) {
  // Tables 1 and 2 of the OCP 8-bit Floating Point Specification.
  EXPECT_EQ(float_from_e4m3(0x7E), 448.0F);
  EXPECT_EQ(float_from_e4m3(0x08), 0x1p-6F);
  EXPECT_EQ(float_from_e4m3(0x07), 0x1.cp-7F);
  EXPECT_EQ(float_from_e4m3(0x81), -0x1p-9F);
  EXPECT_TRUE(is_nan_bits(float_from_e4m3(0xFF)));
  EXPECT_EQ(float_from_e5m2(0x7B), 57344.0F);
  EXPECT_EQ(float_from_e5m2(0x04), 0x1p-14F);
  EXPECT_EQ(float_from_e5m2(0x03), 0x1.8p-15F);
  EXPECT_EQ(float_from_e5m2(0x81), -0x1p-16F);
  EXPECT_EQ(float_from_e5m2(0xFC), -std::numeric_limits<float>::infinity());
  const Distribution told =
      distribution_of(memory_tensor("f", ElementType::float8_e4m3, std::vector<std::uint8_t>{0x7E, 0x7F, 0x01, 0x80}));
  EXPECT_EQ(told.counts.nan, 1U);
  EXPECT_EQ(told.counts.subnormals, 1U);
  EXPECT_EQ(told.counts.zeros, 1U);
  EXPECT_EQ(told.moments.max, 448);
}

TEST(Distribution, CountsWithinAGivenRangeAndBesideIt) {
  std::vector<float> values = normal<float>(100'000, 0, 1);
  values.insert(values.end(), 1000, 1.0F);  // on the last edge, which belongs to the last bin
  DistributionOptions options;
  options.bins = 30;
  options.range = {{-0.5, 1.0}};
  const LinearHistogram linear = distribution_of(memory_tensor("w", ElementType::float32, values), options).linear;
  EXPECT_EQ(linear.counts, Reference(as_double(values)).histogram(-0.5, 1.0, 30));
  EXPECT_EQ(linear.below, static_cast<std::uint64_t>(std::count_if(values.begin(), values.end(), [](float x) { return x < -0.5F; })));
  EXPECT_EQ(linear.above, static_cast<std::uint64_t>(std::count_if(values.begin(), values.end(), [](float x) { return x > 1.0F; })));
}

TEST(Distribution, DensityIsTheSumOfKernelsWithinItsStatedError) {
  std::vector<float> large = normal<float>(90'000, 0, 0.02);
  std::vector<float> far = large;
  far[5] = 400.0F;  // 20,000 deviations off: a grid over all of it is coarse
  for (const std::vector<float>& values : {normal<float>(3000, -2, 0.5), large, far}) {
    const Distribution told = distribution_of(memory_tensor("w", ElementType::float32, values), {{}, 64, {}, 24});
    const Density& density = told.density;
    const Reference reference(as_double(values));
    const double spread =
        static_cast<double>(std::min(std::sqrt(reference.central(2)), (reference.quantile(0.75L) - reference.quantile(0.25L)) / 1.34L));
    expect_near(density.bandwidth, 0.9L * spread * std::pow(reference.n(), -0.2L), "bandwidth");
    ASSERT_EQ(density.values.size(), 24U);
    EXPECT_NEAR(density.lower, static_cast<double>(told.moments.min) - 3 * density.bandwidth, 1e-9);
    const double height = 1 / (density.bandwidth * std::sqrt(2 * std::acos(-1.0)));
    EXPECT_LE(density.error, (values[5] < 400 ? 0.00196 : 20) * height);  // (1 / 8)^2 / 8
    double largest = 0;
    for (std::size_t i = 0; i < density.values.size(); ++i) {
      const double x = density.lower + static_cast<double>(i) * (density.upper - density.lower) / 23;
      const double expected = reference.density(x, density.bandwidth);
      EXPECT_NEAR(density.values[i], expected, density.error) << x;
      largest = std::max(largest, std::fabs(density.values[i] - expected));
    }
    RecordProperty("largest_error", std::to_string(largest));
  }
}

TEST(Distribution, SeveralTensorsAreOneAndSharedMemoryCountsOnce) {
  std::vector<float> a = normal<float>(50'000, 0, 1, 1), b = normal<float>(60'000, 3, 0.1F, 2);
  std::vector<double> c = normal<double>(100, 0, 5, 3);
  ModelTensor shared = memory_tensor("a", ElementType::float32, a);
  shared.memory = 7;
  ModelTensor again = shared;
  again.name = "tied";
  std::vector<double> all = as_double(a);
  all.insert(all.end(), b.begin(), b.end());
  const ModelTensor second = memory_tensor("b", ElementType::float32, b);
  expect_defined(distribution_of({shared, second, again}, {{}, 50, {}, 0}), all, 50);
  all.insert(all.end(), c.begin(), c.end());
  expect_defined(distribution_of({shared, second, again, memory_tensor("c", ElementType::float64, c)}, {{}, 50, {}, 0}), all, 50);
}

TEST(Distribution, OfAConstantAnEmptyAndANonFiniteTensorIsTold) {
  const Distribution constant = distribution_of(memory_tensor("w", ElementType::float32, std::vector<float>(100'000, 0.1F)));
  EXPECT_EQ(constant.mean, static_cast<double>(0.1F));
  EXPECT_EQ(constant.standard_deviation, 0);
  EXPECT_TRUE(is_nan_bits(constant.kurtosis));
  EXPECT_EQ(constant.quantile(0.5), static_cast<double>(0.1F));
  EXPECT_EQ(constant.linear.lower, static_cast<double>(0.1F) - 0.5);
  EXPECT_EQ(constant.linear.counts[32], 100'000U);
  EXPECT_TRUE(constant.density.values.empty());

  const Distribution empty = distribution_of(memory_tensor("w", ElementType::float32, std::vector<float>{}));
  EXPECT_EQ(empty.counts.elements, 0U);
  EXPECT_TRUE(is_nan_bits(empty.mean));
  EXPECT_TRUE(empty.quantiles.empty() && empty.linear.counts.empty() && empty.exponents.positive.empty());

  const Distribution lost =
      distribution_of(memory_tensor("w", ElementType::float64, std::vector<double>(10, std::numeric_limits<double>::quiet_NaN())));
  EXPECT_EQ(lost.counts.nan, 10U);
  EXPECT_EQ(lost.counts.finite(), 0U);
  EXPECT_TRUE(is_nan_bits(lost.quantile(0.5)));
}

TEST(Distribution, RefusesOptionsOutOfTheirRange) {
  const ModelTensor tensor = memory_tensor("w", ElementType::float32, std::vector<float>{1, 2});
  EXPECT_THROW(distribution_of(tensor, {{1.5}, 64, {}, 0}), std::invalid_argument);
  EXPECT_THROW(distribution_of(tensor, {{}, 0, {}, 0}), std::invalid_argument);
  EXPECT_THROW(distribution_of(tensor, {{}, 64, {{1.0, 1.0}}, 0}), std::invalid_argument);
  EXPECT_THROW(distribution_of(tensor, {{}, 64, {}, 5000}), std::invalid_argument);
  ModelTensor lying = tensor;
  lying.sizes = {3};
  EXPECT_THROW(distribution_of(lying), std::runtime_error);
}

}  // namespace
}  // namespace vigil
