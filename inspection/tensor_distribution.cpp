#include "vigil/inspection/tensor_distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>

#include "vigil/inspection/central_moments.h"
#include "vigil/inspection/element_numbers.h"
#include "vigil/inspection/finite_blocks.h"
#include "vigil/inspection/kernel_density.h"
#include "vigil/inspection/order_statistics.h"
#include "vigil/monitor/float_environment.h"
#include "vigil/monitor/reduction.h"

namespace vigil {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
// Tensors up to this size are kept and sorted.
constexpr std::uint64_t kKeptElements = 65'536;
// Points of the grid of the density of larger ones, and the most that it gets where these are not enough.
constexpr std::size_t kGridPoints = 16'384, kMostGridPoints = 65'536;
// Points of the grid to a bandwidth.
constexpr double kPointsPerBandwidth = 8;

void check(const DistributionOptions& options) {
  const auto fail = [](const std::string& what) { throw std::invalid_argument("distribution_of: " + what); };
  if (options.quantiles.size() > 64) fail("expected at most 64 quantiles");
  for (const double q : options.quantiles) {
    if (!(q >= 0 && q <= 1)) fail("expected quantiles from 0 to 1");
  }
  if (options.bins < 1 || options.bins > 4096) fail("expected 1 to 4096 bins");
  if (options.density_points == 1 || options.density_points > 4096) fail("expected 0, or 2 to 4096 points of the density");
  if (options.range &&
      !(is_finite_bits(options.range->first) && is_finite_bits(options.range->second) && options.range->first < options.range->second))
    fail("expected a range that is finite and ascending");
}

// Ranks that quantiles lie between, ascending.
std::vector<std::uint64_t> ranks_of(const std::vector<Quantile>& quantiles, std::uint64_t n) {
  std::set<std::uint64_t> ranks;
  for (const Quantile& quantile : quantiles) {
    const auto below = static_cast<std::uint64_t>(std::floor(quantile.q * static_cast<double>(n - 1)));
    ranks.insert(std::min(below, n - 1));
    ranks.insert(std::min(below + 1, n - 1));
  }
  return {ranks.begin(), ranks.end()};
}

// `at` gives the element of a rank.
template <class At>
void interpolate(std::vector<Quantile>& quantiles, std::uint64_t n, At at) {
  for (Quantile& quantile : quantiles) {
    const double place = quantile.q * static_cast<double>(n - 1), whole = std::floor(place);
    const auto rank = std::min(static_cast<std::uint64_t>(whole), n - 1);
    const double lower = at(rank), part = place - whole;
    // Not by their difference, which may leave the range of double.
    quantile.value = part > 0 ? lower * (1 - part) + at(std::min(rank + 1, n - 1)) * part : lower;
  }
}

// By the definition of LinearHistogram, whatever rounding makes of the guess.
class BinCounter {
 public:
  BinCounter(double lower, double upper, std::size_t bins) {
    histogram_.lower = lower;
    histogram_.upper = upper;
    histogram_.counts.assign(bins, 0);
    edges_.reserve(bins + 1);
    for (std::size_t i = 0; i <= bins; ++i) edges_.push_back(histogram_.edge(i));
    unit_ = is_finite_bits(upper - lower) ? 1 : 0.5;
    const double per_unit = static_cast<double>(bins) / (upper * unit_ - lower * unit_);
    per_unit_ = is_finite_bits(per_unit) ? per_unit : 0;
  }

  template <class Number>
  void add(const Number* numbers, std::size_t count) noexcept {
    const std::size_t last = histogram_.counts.size() - 1;
    for (std::size_t i = 0; i < count; ++i) {
      const auto x = static_cast<double>(numbers[i]);
      if (x < histogram_.lower) {
        ++histogram_.below;
      } else if (x > histogram_.upper) {
        ++histogram_.above;
      } else {
        std::size_t bin = std::min(static_cast<std::size_t>((x * unit_ - histogram_.lower * unit_) * per_unit_), last);
        while (bin > 0 && x < edges_[bin]) --bin;
        while (bin < last && x >= edges_[bin + 1]) ++bin;
        ++histogram_.counts[bin];
      }
    }
  }

  const LinearHistogram& histogram() const noexcept { return histogram_; }

 private:
  LinearHistogram histogram_;
  std::vector<double> edges_;
  double unit_ = 1, per_unit_ = 0;  // a difference may leave the range of double where that of halves does not
};

// What the bits of a block's numbers tell.
struct SignCounts {
  std::uint64_t negative = 0, positive_zeros = 0, negative_zeros = 0, subnormals = 0;
};

template <class Number>
void count_signs(const Number* numbers, std::size_t count, double smallest_normal, SignCounts& counts) noexcept {
  using Bits = NumberBits<Number>;
  using Word = typename Bits::Word;
  // Of integers it is 0: none below.
  const Word limit = static_cast<Word>(std::max(Bits::of(static_cast<Number>(smallest_normal)), Word{1}) - 1);
  Word negative = 0, positive_zeros = 0, negative_zeros = 0, subnormals = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Word word = Bits::of(numbers[i]);
    negative += word > Bits::kSign ? 1 : 0;
    positive_zeros += word == 0 ? 1 : 0;
    negative_zeros += word == Bits::kSign ? 1 : 0;
    subnormals += static_cast<Word>((word & ~Bits::kSign) - 1) < limit ? 1 : 0;
  }
  counts.negative += negative;
  counts.positive_zeros += positive_zeros;
  counts.negative_zeros += negative_zeros;
  counts.subnormals += subnormals;
}

// From the counts by the upper 16 bits: sign, exponent, and the first bits of the fraction.
template <class Number>
ExponentHistogram exponents_of(const std::vector<std::uint64_t>& upper, const SignCounts& signs) {
  using Bits = NumberBits<Number>;
  constexpr std::size_t kExponents = static_cast<std::size_t>(Bits::kExponentBias) * 2 + 1,
                        kFractions = std::size_t{1} << (Bits::kFractionBits - (Bits::kBits - 16));
  ExponentHistogram histogram;
  std::vector<std::uint64_t> positive(kExponents), negative(kExponents);
  for (std::size_t exponent = 0; exponent < kExponents; ++exponent) {
    for (std::size_t fraction = 0; fraction < kFractions; ++fraction) {
      positive[exponent] += upper[exponent * kFractions + fraction];
      negative[exponent] += upper[0x8000 + exponent * kFractions + fraction];
    }
  }
  positive[0] -= signs.positive_zeros;
  negative[0] -= signs.negative_zeros;
  std::size_t begin = 0, end = kExponents;
  while (begin < end && positive[begin] + negative[begin] == 0) ++begin;
  while (begin < end && positive[end - 1] + negative[end - 1] == 0) --end;
  if (begin == end) return histogram;
  histogram.lowest = static_cast<int>(begin) - Bits::kExponentBias;
  const auto between = [&](const std::vector<std::uint64_t>& counts) {
    return std::vector<std::uint64_t>(counts.begin() + static_cast<std::ptrdiff_t>(begin),
                                      counts.begin() + static_cast<std::ptrdiff_t>(end));
  };
  histogram.positive = between(positive);
  histogram.negative = between(negative);
  return histogram;
}

void set_moments(Distribution& told, const CentralMoments& sums) {
  if (told.moments.min == told.moments.max) {
    told.mean = told.moments.min;
    told.standard_deviation = 0;
    return;
  }
  const auto n = static_cast<long double>(sums.n);
  const long double variance = sums.m2 / n;
  told.mean = static_cast<double>(sums.mean);
  told.standard_deviation = static_cast<double>(std::sqrt(variance));
  told.skewness = static_cast<double>(sums.m3 / n / (variance * std::sqrt(variance)));
  told.kurtosis = static_cast<double>(sums.m4 / n / (variance * variance));
}

// How many points a grid over the elements needs for a bandwidth.
std::size_t points_for(const Distribution& told, double bandwidth) {
  const double points = std::ceil((told.moments.max - told.moments.min) / bandwidth * kPointsPerBandwidth) + 1;
  return static_cast<std::size_t>(std::clamp(points, 64.0, static_cast<double>(kMostGridPoints)));
}

double bandwidth_of(const Distribution& told) {
  return silverman_bandwidth(told.standard_deviation, told.quantile(0.75) - told.quantile(0.25), told.counts.finite());
}

template <class Number>
Distribution look_at(const std::vector<const ModelTensor*>& tensors, std::uint64_t elements, const DistributionOptions& options) {
  Distribution told;
  told.mean = told.standard_deviation = told.skewness = told.kurtosis = kNan;
  told.counts.elements = elements;
  OrderStatistics<Number> order;
  CentralMoments sums;
  SignCounts signs;
  std::vector<Number> kept;
  const bool keeps_all = elements <= kKeptElements;
  std::uint64_t seen = 0;
  const auto reduce = [&told](DType type, const void* data, std::size_t count) {
    merge(told.moments, compute_moments(type, data, count, &told.magnitudes));
  };
  const NonfiniteCounts nonfinite = for_each_finite<Number>(
      tensors,
      [&](const ModelTensor& tensor, const void* data, std::size_t count) {
        seen += count;
        if (const auto type = statistics_type(tensor.type)) reduce(*type, data, count);
      },
      [&](const ModelTensor& tensor, const Number* numbers, std::size_t count) {
        // The types that monitor/ does not reduce: without NaN, or so narrow that no sum of theirs matters.
        if (!statistics_type(tensor.type)) reduce(sizeof(Number) == 4 ? DType::float32 : DType::float64, numbers, count);
        order.count_first(numbers, count);
        count_signs(numbers, count, smallest_normal(tensor.type), signs);
        merge(sums, central_moments(numbers, count));
        if (keeps_all) kept.insert(kept.end(), numbers, numbers + count);
      });
  if (seen != elements) throw std::runtime_error("a tensor has not as many elements as its sizes say");
  told.counts.nan = nonfinite.nan;
  told.counts.positive_infinite = nonfinite.positive_infinite;
  told.counts.negative_infinite = nonfinite.negative_infinite;
  told.moments.count = elements;
  told.moments.nan_count = nonfinite.nan;
  told.moments.inf_count = nonfinite.positive_infinite + nonfinite.negative_infinite;
  told.counts.zeros = signs.positive_zeros + signs.negative_zeros;
  told.counts.negative = signs.negative;
  told.counts.subnormals = signs.subnormals;
  const std::uint64_t n = told.counts.finite();
  if (n == 0) return told;

  set_moments(told, sums);
  told.exponents = exponents_of<Number>(order.first_counts(), signs);
  const double lowest = told.moments.min, highest = told.moments.max;
  std::set<double> wanted(kQuantiles.begin(), kQuantiles.end());
  wanted.insert(options.quantiles.begin(), options.quantiles.end());
  for (const double q : wanted) told.quantiles.push_back({q, 0});
  const bool is_constant = lowest == highest;
  BinCounter bins(options.range ? options.range->first
                  : is_constant ? lowest - 0.5
                                : lowest,
                  options.range ? options.range->second
                  : is_constant ? highest + 0.5
                                : highest,
                  options.bins);
  const bool has_density = options.density_points > 0 && !is_constant && is_finite_bits(highest - lowest) &&
                           is_finite_bits(static_cast<double>(kMostGridPoints) / (highest - lowest));

  if (keeps_all) {
    std::sort(kept.begin(), kept.end());
    interpolate(told.quantiles, n, [&](std::uint64_t rank) { return static_cast<double>(kept[rank]); });
    bins.add(kept.data(), kept.size());
    told.linear = bins.histogram();
    if (const double bandwidth = has_density ? bandwidth_of(told) : 0; bandwidth > 0) {
      DensityGrid grid(lowest, highest, points_for(told, bandwidth));
      grid.add(kept.data(), kept.size());
      told.density = grid.density(bandwidth, options.density_points);
    }
    return told;
  }

  order.want(ranks_of(told.quantiles, n));
  std::optional<DensityGrid> grid;
  if (has_density) grid.emplace(lowest, highest, kGridPoints);
  const auto nothing = [](const ModelTensor&, const void*, std::size_t) {};
  for (bool is_second = true; !order.is_done(); is_second = false) {
    for_each_finite<Number>(tensors, nothing, [&](const ModelTensor&, const Number* numbers, std::size_t count) {
      order.count(numbers, count);
      if (!is_second) return;
      bins.add(numbers, count);
      if (grid) grid->add(numbers, count);
    });
    order.end_round();
  }
  told.linear = bins.histogram();
  interpolate(told.quantiles, n, [&](std::uint64_t rank) { return static_cast<double>(order.value(rank)); });
  if (const double bandwidth = grid ? bandwidth_of(told) : 0; bandwidth > 0) {
    if (const std::size_t points = points_for(told, bandwidth); points > kGridPoints) {
      grid.emplace(lowest, highest, points);
      for_each_finite<Number>(tensors, nothing,
                              [&](const ModelTensor&, const Number* numbers, std::size_t count) { grid->add(numbers, count); });
    }
    told.density = grid->density(bandwidth, options.density_points);
  }
  return told;
}

Distribution look_at_all(const std::vector<const ModelTensor*>& tensors, const DistributionOptions& options) {
  check(options);
  const DefaultFloatEnvironment environment;
  std::uint64_t elements = 0;
  bool fits = true;
  for (const ModelTensor* const tensor : tensors) {
    elements += element_count(*tensor);
    fits = fits && fits_float(tensor->type);
  }
  return fits ? look_at<float>(tensors, elements, options) : look_at<double>(tensors, elements, options);
}

}  // namespace

double LinearHistogram::edge(std::size_t i) const noexcept {
  if (i >= counts.size()) return upper;
  const auto part = static_cast<double>(i), bins = static_cast<double>(counts.size());
  const double width = (upper - lower) / bins;
  return is_finite_bits(width) ? lower + part * width : lower * (1 - part / bins) + upper * (part / bins);
}

double Distribution::quantile(double q) const noexcept {
  for (const Quantile& one : quantiles) {
    if (one.q == q) return one.value;
  }
  return kNan;
}

Distribution distribution_of(const ModelTensor& tensor, const DistributionOptions& options) {
  if (!has_values(tensor.type))
    throw std::invalid_argument("distribution_of: elements of type " + std::string(name_of(tensor.type)) + " are no numbers by themselves");
  return look_at_all({&tensor}, options);
}

Distribution distribution_of(const std::vector<ModelTensor>& tensors, const DistributionOptions& options) {
  std::vector<const ModelTensor*> own;
  std::set<std::uint64_t> seen;
  for (const ModelTensor& tensor : tensors) {
    if (has_values(tensor.type) && (tensor.memory == 0 || seen.insert(tensor.memory).second)) own.push_back(&tensor);
  }
  return look_at_all(own, options);
}

}  // namespace vigil
