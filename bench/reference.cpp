#include "bench/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include <ATen/Dispatch.h>

#include "bench/fixture.h"

namespace vigil::bench {
namespace {

constexpr double kTolerance = 1e-6;

std::string text(const char* what, double expected, double actual) {
  char line[160];
  std::snprintf(line, sizeof line, "%s is %.17g, expected %.17g", what, actual, expected);
  return line;
}

void expect_equal(const std::string& benchmark, const char* what, double expected, double actual) {
  if (expected != actual) fail(benchmark, text(what, expected, actual));
}

template <class T>
Reference reference_over(const T* data, std::int64_t count) {
  Reference r;
  r.count = static_cast<std::uint64_t>(count);
  r.min = std::numeric_limits<double>::infinity();
  r.max = -r.min;
  long double sum = 0, absolute = 0, squares = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto x = static_cast<double>(data[i]);
    if (std::isnan(x)) {
      ++r.nans;
      continue;
    }
    r.zeros += x == 0;
    r.min = std::min(r.min, x);
    r.max = std::max(r.max, x);
    sum += x;
    absolute += std::abs(x);
    squares += static_cast<long double>(x) * x;
  }
  const long double n = static_cast<long double>(r.count - r.nans);
  r.mean = static_cast<double>(sum / n);
  r.standard_deviation = static_cast<double>(std::sqrt(std::max(squares / n - (sum / n) * (sum / n), 0.0L)));
  r.l1 = static_cast<double>(absolute);
  r.l2 = static_cast<double>(std::sqrt(squares));
  return r;
}

}  // namespace

Reference reference_of(const at::Tensor& tensor) {
  return AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, tensor.scalar_type(), "reference_of",
                                         [&] { return reference_over(tensor.data_ptr<scalar_t>(), tensor.numel()); });
}

MagnitudeHistogram reference_histogram_of(const at::Tensor& tensor) {
  MagnitudeHistogram histogram;
  const float* data = tensor.data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    if (data[i] == 0 || std::isnan(data[i])) continue;
    int exponent = 0;  // |x| = fraction 2^exponent with 0.5 <= fraction < 1: a power of two belongs to the bucket that it ends
    if (std::frexp(std::abs(data[i]), &exponent) == 0.5f) --exponent;
    const int bucket = exponent - MagnitudeHistogram::kLowestExponent - 1;
    if (bucket < 0) {
      ++histogram.underflow;
    } else if (bucket >= static_cast<int>(MagnitudeHistogram::kBuckets)) {
      ++histogram.overflow;
    } else {
      ++histogram.buckets[static_cast<std::size_t>(bucket)];
    }
  }
  return histogram;
}

void expect_near(const std::string& benchmark, const char* what, double expected, double actual, double tolerance) {
  if (!(std::abs(actual - expected) <= tolerance * std::abs(expected))) fail(benchmark, text(what, expected, actual));
}

void expect_right(const std::string& benchmark, const Reference& reference, const Moments& moments) {
  expect_equal(benchmark, "count", static_cast<double>(reference.count), static_cast<double>(moments.count));
  expect_equal(benchmark, "nan_count", static_cast<double>(reference.nans), static_cast<double>(moments.nan_count));
  expect_equal(benchmark, "inf_count", 0, static_cast<double>(moments.inf_count));
  expect_equal(benchmark, "zero_count", static_cast<double>(reference.zeros), static_cast<double>(moments.zero_count));
  expect_equal(benchmark, "min", reference.min, moments.min);
  expect_equal(benchmark, "max", reference.max, moments.max);
  expect_near(benchmark, "standard deviation", reference.standard_deviation, standard_deviation(moments), kTolerance);
  expect_near(benchmark, "L1 norm", reference.l1, moments.l1, kTolerance);
  expect_near(benchmark, "L2 norm", reference.l2, l2_norm(moments), kTolerance);
  if (std::abs(moments.mean - reference.mean) > kTolerance * reference.standard_deviation) {
    fail(benchmark, text("mean", reference.mean, moments.mean));
  }
}

void expect_right(const std::string& benchmark, const Reference& reference, const FiniteNorm& norm) {
  if (norm.all_finite != (reference.nans == 0)) fail(benchmark, "the guard is wrong about NaN");
  if (!norm.all_finite) return expect_equal(benchmark, "a norm that is NaN", 1, std::isnan(norm.l2_norm) ? 1 : 0);
  expect_near(benchmark, "L2 norm", reference.l2, norm.l2_norm, kTolerance);
}

void expect_right(const std::string& benchmark, const MagnitudeHistogram& reference, const MagnitudeHistogram& histogram) {
  expect_equal(benchmark, "underflow", static_cast<double>(reference.underflow), static_cast<double>(histogram.underflow));
  expect_equal(benchmark, "overflow", static_cast<double>(reference.overflow), static_cast<double>(histogram.overflow));
  for (std::size_t i = 0; i < reference.buckets.size(); ++i) {
    const std::string what = "bucket " + std::to_string(i);
    expect_equal(benchmark, what.c_str(), static_cast<double>(reference.buckets[i]), static_cast<double>(histogram.buckets[i]));
  }
}

}  // namespace vigil::bench
