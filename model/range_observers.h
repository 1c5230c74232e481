// Watch values go by and choose the range that an integer grid is to cover.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "vigil/model/quantisation_grid.h"

namespace vigil {

/// One thread at a time.
class RangeObserver {
 public:
  /// @param axis  the channels' dimension when grid.per_channel, negative: from the end of the first tensor that is observed
  /// @throws std::invalid_argument for a grid of bits that there are not
  RangeObserver(const QuantisationGrid& grid, std::int64_t axis);
  virtual ~RangeObserver() = default;
  RangeObserver(const RangeObserver&) = delete;
  RangeObserver& operator=(const RangeObserver&) = delete;

  /// @param values  floating point, any shape, any device; an empty tensor changes nothing. NaN and Inf are counted, and have no part in
  ///                the range. @throws std::invalid_argument for another number of channels than before
  void observe(const at::Tensor& values);
  /// @throws std::logic_error when nothing finite was observed
  QuantisationParameters parameters() const;

  std::uint64_t observed() const noexcept { return observed_; }  ///< values, NaN and Inf among them
  std::uint64_t nan() const noexcept { return nan_; }
  std::uint64_t inf() const noexcept { return inf_; }
  const QuantisationGrid& grid() const noexcept { return grid_; }

  /// Extremes of the finite values, over all channels; +Inf and -Inf before there are any.
  float least() const noexcept { return least_; }
  float most() const noexcept { return most_; }

 protected:
  struct Range {
    float least = 0, most = 0;
  };
  /// Finite values of each of the channels, as often as observe() is called with any. A channel may be empty.
  virtual void take(const std::vector<std::vector<float>>& channels) = 0;
  /// That the grid is to cover, of each channel.
  virtual std::vector<Range> ranges() const = 0;

 private:
  QuantisationGrid grid_;
  std::int64_t axis_;
  std::size_t channels_ = 0;
  std::uint64_t observed_ = 0, nan_ = 0, inf_ = 0;
  float least_ = std::numeric_limits<float>::infinity(), most_ = -std::numeric_limits<float>::infinity();
};

/// The extremes, as torch.ao's MinMaxObserver and PerChannelMinMaxObserver; with `averaging` c > 0 as its moving-average ones:
/// least += c·(least of the tensor − least), from the first tensor on, and so the most.
class MinMaxObserver : public RangeObserver {
 public:
  /// @param averaging  0 (the extremes of all) to 1 (of the latest); torch.ao has 0.01. @throws std::invalid_argument outside
  explicit MinMaxObserver(const QuantisationGrid& grid, std::int64_t axis = 0, double averaging = 0);

 protected:
  void take(const std::vector<std::vector<float>>& channels) override;
  std::vector<Range> ranges() const override;

 private:
  double averaging_;
  std::vector<Range> seen_;
  std::vector<bool> has_any_;
};

/// Counts of values in bins of equal width. The range grows by whole multiples of the width, so that counts are added up, never spread.
class GrowingHistogram {
 public:
  explicit GrowingHistogram(std::size_t bins) : counts_(bins) {}
  /// Finite ones.
  void add(const std::vector<float>& values);
  std::uint64_t total() const noexcept { return total_; }
  float least() const noexcept { return least_; }
  float most() const noexcept { return most_; }
  double low() const noexcept { return low_; }      ///< lower edge of the first bin
  double width() const noexcept { return width_; }  ///< of a bin; 0 before there are values
  const std::vector<std::uint64_t>& counts() const noexcept { return counts_; }

 private:
  void cover(float least, float most);

  std::vector<std::uint64_t> counts_;
  std::uint64_t total_ = 0;
  float least_ = 0, most_ = 0;
  double low_ = 0, width_ = 0;
};

/// Expected Σ(x − q(x))² of the histogram's values on that grid, each bin's values taken as spread evenly over it, as torch.ao's
/// HistogramObserver takes them; clipped ones included. `parameters` per tensor.
double expected_noise(const GrowingHistogram& histogram, const QuantisationParameters& parameters);

/// The range of least expected noise. torch.ao's HistogramObserver narrows it by steps of quantiles and stops where the noise first grows;
/// here each end is sought over all of the histogram, first in 128 steps and then between the best one's neighbours, in turns until the
/// noise falls no more, 8 at most; where the grid is symmetric both ends are one.
class HistogramObserver : public RangeObserver {
 public:
  static constexpr std::size_t kBins = 2048;

  /// @throws std::invalid_argument for fewer than 2 bins
  explicit HistogramObserver(const QuantisationGrid& grid, std::int64_t axis = 0, std::size_t bins = kBins);
  /// Of each channel, one per tensor.
  const std::vector<GrowingHistogram>& histograms() const noexcept { return histograms_; }

 protected:
  void take(const std::vector<std::vector<float>>& channels) override;
  std::vector<Range> ranges() const override;

 private:
  Range best_range(const GrowingHistogram& histogram) const;

  std::size_t bins_;
  std::vector<GrowingHistogram> histograms_;
};

enum class ObserverKind : std::uint8_t { min_max, moving_average, histogram };

/// A moving average with torch.ao's 0.01.
std::unique_ptr<RangeObserver> make_observer(ObserverKind kind, const QuantisationGrid& grid, std::int64_t axis = 0);

}  // namespace vigil
