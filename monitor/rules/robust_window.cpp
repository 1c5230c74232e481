#include "vigil/monitor/rules/robust_window.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "vigil/monitor/dtype.h"

namespace vigil {

RobustWindow::RobustWindow(std::size_t capacity) : values_(capacity), scratch_(capacity) {}

void RobustWindow::add(double value) noexcept {
  if (!is_finite_bits(value)) return;
  values_[next_] = value;
  next_ = (next_ + 1) % values_.size();
  size_ = std::min(size_ + 1, values_.size());
  is_known_ = false;
}

double RobustWindow::median_of_scratch() noexcept {
  if (size_ == 0) return 0;
  const auto middle = scratch_.begin() + static_cast<std::ptrdiff_t>(size_ / 2);
  const auto end = scratch_.begin() + static_cast<std::ptrdiff_t>(size_);
  std::nth_element(scratch_.begin(), middle, end);
  if (size_ % 2 == 1) return *middle;
  return 0.5 * *middle + 0.5 * *std::max_element(scratch_.begin(), middle);
}

double RobustWindow::median() noexcept {
  if (is_known_) return median_;
  std::copy_n(values_.begin(), size_, scratch_.begin());
  median_ = median_of_scratch();
  is_known_ = true;
  return median_;
}

double RobustWindow::median_deviation() noexcept {
  const double middle = median();
  std::transform(values_.begin(), values_.begin() + static_cast<std::ptrdiff_t>(size_), scratch_.begin(),
                 [middle](double value) { return std::fabs(value - middle); });
  return median_of_scratch();
}

SpikeDetector::Score SpikeDetector::score(double value) noexcept {
  constexpr double kOneDeviation = 1.4826;  // of a normal distribution, over its median absolute deviation
  Score score;
  if (values_.size() < kLeast) return score;
  score.is_known = true;
  score.median = values_.median();
  if (since_negative_ >= kWindow && value >= 0) {
    if (logarithms_.size() < kLeast) return {};
    if (value == 0) return score;
    const double deviation = std::max(kLeastDeviation, kOneDeviation * logarithms_.median_deviation());
    score.z = (std::log(value) - logarithms_.median()) / deviation;
    score.ratio = score.median > 0 ? value / score.median : std::numeric_limits<double>::infinity();
    return score;
  }
  const double deviation = std::max(kLeastDeviation * std::fabs(score.median), kOneDeviation * values_.median_deviation());
  score.z = deviation > 0 ? (value - score.median) / deviation : 0;
  score.ratio = std::numeric_limits<double>::infinity();
  return score;
}

SpikeDetector::Score SpikeDetector::score_and_add(double value) noexcept {
  if (!is_finite_bits(value)) return {};
  const Score result = score(value);
  since_negative_ = value < 0 ? 0 : std::min(since_negative_ + 1, kWindow);
  values_.add(value);
  if (value > 0) logarithms_.add(std::log(value));
  return result;
}

}  // namespace vigil
