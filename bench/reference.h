// What the results must be, computed slowly and in another way.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "vigil/monitor/magnitude_histogram.h"
#include "vigil/monitor/moments.h"

namespace vigil::bench {

/// Of elements that are NaN or finite with a mean near 0, in long double.
struct Reference {
  std::uint64_t count = 0, nans = 0, zeros = 0;
  double min = 0, max = 0, mean = 0, standard_deviation = 0, l1 = 0, l2 = 0;
};

/// `tensor` is contiguous and not empty.
Reference reference_of(const at::Tensor& tensor);

/// Counts by frexp().
MagnitudeHistogram reference_histogram_of(const at::Tensor& float32_tensor);

/// These end the program (fixture.h: `fail`) unless the result is right: counts, min and max exactly; std, L1 and L2 within the relative
/// error that vigil promises, 1e-6, and the mean within 1e-6 standard deviations.
void expect_right(const std::string& benchmark, const Reference& reference, const Moments& moments);
void expect_right(const std::string& benchmark, const Reference& reference, const FiniteNorm& norm);
void expect_right(const std::string& benchmark, const MagnitudeHistogram& reference, const MagnitudeHistogram& histogram);
/// For peers, which add up in float: relative.
void expect_near(const std::string& benchmark, const char* what, double expected, double actual, double tolerance = 1e-3);

}  // namespace vigil::bench
