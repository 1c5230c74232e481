// How the elements of a tensor are distributed, or those of several together: counts, moments, quantiles, histograms, density.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "vigil/inspection/model_tensor.h"
#include "vigil/monitor/magnitude_histogram.h"
#include "vigil/monitor/moments.h"

namespace vigil {

/// Quantiles that every distribution has.
inline constexpr std::array<double, 11> kQuantiles{0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1};

struct DistributionOptions {
  std::vector<double> quantiles;                   ///< beside kQuantiles; 0 to 1, at most 64
  std::size_t bins = 64;                           ///< of the linear histogram, 1 to 4096
  std::optional<std::pair<double, double>> range;  ///< that it covers, finite and ascending; else from the smallest to the largest
  std::size_t density_points = 128;                ///< where the density is told, 2 to 4096; 0: nowhere, which saves its time
};

/// Counts of all elements; exact.
struct ElementCounts {
  std::uint64_t elements = 0;
  std::uint64_t nan = 0, positive_infinite = 0, negative_infinite = 0;
  std::uint64_t zeros = 0;       ///< +0 and -0
  std::uint64_t subnormals = 0;  ///< nonzero, and below the smallest normal number of the tensor's own type
  std::uint64_t negative = 0;    ///< finite and below 0

  std::uint64_t finite() const noexcept { return elements - nan - positive_infinite - negative_infinite; }
};

/// Counts in bins of equal width, as numpy.histogram and at::histc have them: edge i is lower + i * ((upper - lower) / bins), the last one
/// `upper`; a bin holds its lower edge and not its upper one, but for the last, which holds both. Exact. Where all elements are the same x,
/// and no range was given, it is from x - 0.5 to x + 0.5.
struct LinearHistogram {
  double lower = 0, upper = 0;
  std::vector<std::uint64_t> counts;   ///< empty without a finite element
  std::uint64_t below = 0, above = 0;  ///< outside of a range that was given

  double edge(std::size_t i) const noexcept;
};

/// Counts of the finite elements that are not zero by sign and binary exponent: those with 2^e <= |x| < 2^(e + 1) (std::ilogb) in
/// [e - lowest]. Exact. Magnitudes below 2^-126 (where a tensor of float64, int32 or int64 is among them, 2^-1022) count in the exponent
/// below that. (MagnitudeHistogram, which rings have, counts a power of two one bucket lower.)
struct ExponentHistogram {
  int lowest = 0;
  std::vector<std::uint64_t> negative, positive;  ///< equally long, both ends counted in one of them; empty without such an element
};

/// Kernel density estimate with a Gaussian kernel: f(x) = sum over i of phi((x - x_i) / h) / (n h) over the n finite elements.
/// The elements are distributed linearly over the two nearest points of a fine grid, and the kernel is summed over that: Wand, "Fast
/// Computation of Multivariate Kernel Estimators" (1994). For a distance d between its points each value is off by at most
/// d^2 / (8 h^3 sqrt(2 pi)), as linear interpolation of the kernel is, plus 1e-9 / h for what is left out beyond 6.5 h.
struct Density {
  double bandwidth = 0;         ///< h by Silverman's rule of thumb, 0.9 min(std, IQR / 1.34) n^(-1/5); where the IQR is 0, by std alone
  double lower = 0, upper = 0;  ///< where the first and the last value are told, three bandwidths beyond the elements; equal steps between
  std::vector<double> values;   ///< empty without a finite element, and where all are the same
  double error = 0;             ///< the bound above; at most 0.002 of the kernel's height unless the range is above 8,000 bandwidths
};

struct Quantile {
  double q = 0, value = 0;
};

/// All but `counts` is of the finite elements. Without one, `mean` to `kurtosis` are NaN, and the rest is empty.
struct Distribution {
  ElementCounts counts;
  Moments moments;                ///< as a sample has them, by compute_moments; error below 1e-6
  MagnitudeHistogram magnitudes;  ///< likewise, for precision advice (monitor/number_format.h)
  /// Of the population: with m_k = mean of (x - mean)^k, sqrt(m2), m3 / m2^1.5 and m4 / m2^2, which is 3 for a normal distribution (the
  /// excess is 3 less). By blocks, merged after Pebay, "Formulas for Robust, One-Pass Parallel Computation of Covariances and
  /// Arbitrary-Order Statistical Moments" (2008). Skewness and kurtosis are NaN where all elements are the same.
  double mean = 0, standard_deviation = 0, skewness = 0, kurtosis = 0;
  /// Ascending by q, kQuantiles and what else was asked for. Exact, by definition 7 of Hyndman and Fan (numpy's "linear"): with
  /// k = floor((n - 1) q), x_(k) + ((n - 1) q - k) (x_(k+1) - x_(k)).
  std::vector<Quantile> quantiles;
  LinearHistogram linear;
  ExponentHistogram exponents;
  Density density;

  /// One of `quantiles`; NaN for a q that is not there.
  double quantile(double q) const noexcept;
};

/// Of one tensor. Reads it twice, once where it has at most 65,536 elements, four times where it is larger and of float64, int32 or int64.
/// Takes at most 0.5 MiB for each quantile's two neighbours, 2 MiB beside and a piece's conversion, however large it is (about 13 MiB for
/// kQuantiles; 8 bytes an element of a small one). Any thread. @throws std::invalid_argument for a type without values (has_values), and
/// for options out of their range; what the tensor's elements throw
Distribution distribution_of(const ModelTensor& tensor, const DistributionOptions& options = {});

/// Of several together: memory that they share counts once, and types without values are left out. Likewise.
Distribution distribution_of(const std::vector<ModelTensor>& tensors, const DistributionOptions& options = {});

}  // namespace vigil
