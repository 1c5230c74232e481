// The latest values of a series, and how far a new one lies off: by median and median absolute deviation, which one outlier cannot move.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vigil {

/// The latest `capacity` finite values. Allocates at construction only.
class RobustWindow {
 public:
  explicit RobustWindow(std::size_t capacity);

  /// NaN and infinities are left out: one of them would stand in every median of the window's length.
  void add(double value) noexcept;
  void clear() noexcept { size_ = next_ = 0; }
  std::size_t size() const noexcept { return size_; }
  bool is_full() const noexcept { return size_ == values_.size(); }
  /// 0 while it is empty.
  double median() noexcept;
  /// Median of |x - median()|; 0 while it is empty.
  double median_deviation() noexcept;

 private:
  double median_of_scratch() noexcept;

  std::vector<double> values_, scratch_;
  std::size_t size_ = 0, next_ = 0;
  double median_ = 0;
  bool is_known_ = false;  // median_
};

/// Tells spikes of a series that is positive as a rule (losses, norms, times) by the logarithm, so that a series that is noisy by nature
/// over decades is measured by that noise. By the values themselves while the window holds a negative one. 0, which a batch without
/// anything to learn from gives, has no logarithm and leaves it at that.
class SpikeDetector {
 public:
  /// Values that make a level.
  static constexpr std::size_t kWindow = 128, kLeast = 32;
  /// Least deviation, of the logarithm or relative to the median: below it all series are equally quiet. 0.05 is 5 %.
  static constexpr double kLeastDeviation = 0.05;

  struct Score {
    bool is_known = false;  ///< the window has kLeast values
    double z = 0;           ///< deviations above the median; 1.4826 MAD is one, the standard deviation where noise is normal
    double ratio = 0;       ///< times the median; +Inf where that means nothing
    double median = 0;      ///< of the window
  };

  SpikeDetector() : logarithms_(kWindow), values_(kWindow) {}
  /// Scores a finite `value` against the window, which it enters afterwards.
  Score score_and_add(double value) noexcept;
  RobustWindow& values() noexcept { return values_; }

 private:
  Score score(double value) noexcept;

  RobustWindow logarithms_, values_;
  std::size_t since_negative_ = kWindow;  // values since the latest one
};

}  // namespace vigil
