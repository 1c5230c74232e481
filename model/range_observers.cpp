#include "vigil/model/range_observers.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include "vigil/monitor/dtype.h"
#include "vigil/operators/torch_version.h"

namespace vigil {
namespace {

// ∫(u − q(u))² du from 0 to u, where q rounds to the integers from `least` to `most`.
double noise_up_to(double u, double least, double most) {
  const double nearest = std::clamp(std::nearbyint(u), least, most);
  const double beside = u - nearest;
  return nearest / 12 + beside * beside * beside / 3;
}

// The scalar form of parameters_for_range(), for the thousands of grids that are tried.
struct TriedGrid {
  double scale;
  double least, most;  // of the integers, less the zero point

  TriedGrid(float low, float high, const QuantisationGrid& grid) {
    const auto integers = static_cast<double>(grid.most() - grid.least());
    const float epsilon = std::numeric_limits<float>::epsilon();
    int zero_point = 0;
    if (grid.is_symmetric) {
      scale = std::max(static_cast<float>(std::max(-low, high) / static_cast<float>(integers / 2)), epsilon);
      zero_point = grid.is_signed ? 0 : (grid.most() + 1) / 2;
    } else {
      const float step = std::max((high - low) / static_cast<float>(integers), epsilon);
      scale = step;
      zero_point = std::clamp(grid.least() - static_cast<int>(std::nearbyint(low / step)), grid.least(), grid.most());
    }
    least = grid.least() - zero_point;
    most = grid.most() - zero_point;
  }
};

double noise_of(const GrowingHistogram& histogram, double scale, double least, double most) {
  if (histogram.width() <= 0) return 0;
  const double first = histogram.low() / scale, step = histogram.width() / scale;
  double sum = 0, below = noise_up_to(first, least, most);
  for (std::size_t i = 0; i < histogram.counts().size(); ++i) {
    const double above = noise_up_to(first + step * static_cast<double>(i + 1), least, most);
    sum += static_cast<double>(histogram.counts()[i]) * (above - below);
    below = above;
  }
  return sum / step * scale * scale;
}

constexpr int kSteps = 128;

// The share in (0, 1] of least noise, by 1/kSteps and then by 1/kSteps².
template <class NoiseAt>
double best_share(NoiseAt noise_at) {
  double best = 1, least = noise_at(1.0);
  const auto seek = [&](double from, double to) {
    for (int i = 1; i < kSteps; ++i) {
      const double share = from + (to - from) * i / kSteps;
      if (const double noise = noise_at(share); noise < least) {
        least = noise;
        best = share;
      }
    }
  };
  seek(0, 1);
  seek(std::max(best - 1.0 / kSteps, 0.0), std::min(best + 1.0 / kSteps, 1.0));
  return best;
}

}  // namespace

RangeObserver::RangeObserver(const QuantisationGrid& grid, std::int64_t axis) : grid_(grid), axis_(axis) {
  parameters_for_range(at::zeros({1}), at::zeros({1}), grid);
}

void RangeObserver::observe(const at::Tensor& values) {
  if (values.numel() == 0) return;
  const at::NoGradGuard no_grad;
  if (!at::isFloatingType(values.scalar_type())) throw std::invalid_argument("only floating point is observed");
  at::Tensor rows = values.detach().to(at::kCPU, at::kFloat);
  std::int64_t axis = axis_;
  if (grid_.per_channel) {
    if (axis < 0) axis += rows.dim();
    if (axis < 0 || axis >= rows.dim()) throw std::invalid_argument("no dimension " + std::to_string(axis_) + " to observe by");
    rows = rows.movedim(axis, 0).reshape({rows.size(axis), -1});
  } else {
    rows = rows.reshape({1, -1});
  }
  rows = rows.contiguous();
  const auto count = static_cast<std::size_t>(rows.size(0)), length = static_cast<std::size_t>(rows.size(1));
  if (channels_ != 0 && channels_ != count) {
    throw std::invalid_argument("a tensor of " + std::to_string(count) + " channels, after such of " + std::to_string(channels_));
  }
  std::vector<std::vector<float>> channels(count);
  const auto* value = static_cast<const float*>(read_pointer(rows));
  bool has_finite = false;
  for (std::vector<float>& channel : channels) {
    channel.reserve(length);
    for (std::size_t i = 0; i < length; ++i, ++value) {
      if (is_finite_bits(*value)) {
        channel.push_back(*value);
        least_ = std::min(least_, *value);
        most_ = std::max(most_, *value);
      } else if (is_nan_bits(*value)) {
        ++nan_;
      } else {
        ++inf_;
      }
    }
    has_finite = has_finite || !channel.empty();
  }
  observed_ += count * length;
  if (!has_finite) return;
  channels_ = count;
  axis_ = axis;
  take(channels);
}

QuantisationParameters RangeObserver::parameters() const {
  if (channels_ == 0) throw std::logic_error("nothing finite was observed: there is no range yet");
  const std::vector<Range> chosen = ranges();
  at::Tensor least = at::empty({static_cast<std::int64_t>(chosen.size())}), most = at::empty_like(least);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    least.data_ptr<float>()[i] = chosen[i].least;
    most.data_ptr<float>()[i] = chosen[i].most;
  }
  return parameters_for_range(least, most, grid_, axis_);
}

MinMaxObserver::MinMaxObserver(const QuantisationGrid& grid, std::int64_t axis, double averaging)
    : RangeObserver(grid, axis), averaging_(averaging) {
  if (!(averaging >= 0 && averaging <= 1)) throw std::invalid_argument("a moving average is by 0 to 1");
}

void MinMaxObserver::take(const std::vector<std::vector<float>>& channels) {
  seen_.resize(channels.size());
  has_any_.resize(channels.size());
  for (std::size_t i = 0; i < channels.size(); ++i) {
    if (channels[i].empty()) continue;
    const auto [least, most] = std::minmax_element(channels[i].begin(), channels[i].end());
    Range& seen = seen_[i];
    if (!has_any_[i]) {
      seen = {*least, *most};
      has_any_[i] = true;
    } else if (averaging_ > 0) {
      const auto share = static_cast<float>(averaging_);
      seen.least += share * (*least - seen.least);
      seen.most += share * (*most - seen.most);
    } else {
      seen = {std::min(seen.least, *least), std::max(seen.most, *most)};
    }
  }
}

std::vector<RangeObserver::Range> MinMaxObserver::ranges() const { return seen_; }

void GrowingHistogram::add(const std::vector<float>& values) {
  if (values.empty()) return;
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  cover(*least, *most);
  const std::size_t last = counts_.size() - 1;
  for (const float value : values) {
    const double place = (static_cast<double>(value) - low_) / width_;
    ++counts_[std::min(static_cast<std::size_t>(std::max(place, 0.0)), last)];
  }
  total_ += values.size();
}

void GrowingHistogram::cover(float least, float most) {
  const auto bins = static_cast<double>(counts_.size());
  if (total_ == 0) {
    least_ = least;
    most_ = most;
    low_ = least;
    width_ = (static_cast<double>(most) - static_cast<double>(least)) / bins;
    // All the same so far: bins of about a float's resolution there.
    if (!(width_ > 0)) width_ = std::max(std::abs(static_cast<double>(least)) * 0x1p-23, 0x1p-149);
    return;
  }
  least_ = std::min(least_, least);
  most_ = std::max(most_, most);
  const double before = std::max(std::ceil((low_ - static_cast<double>(least_)) / width_), 0.0);
  const double after = std::max(std::ceil((static_cast<double>(most_) - low_) / width_ - bins), 0.0);
  const double merged = std::ceil((before + bins + after) / bins);
  if (merged <= 1) return;
  std::vector<std::uint64_t> counts(counts_.size());
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const auto into = static_cast<std::size_t>((static_cast<double>(i) + before) / merged);
    counts[std::min(into, counts.size() - 1)] += counts_[i];
  }
  counts_ = std::move(counts);
  low_ -= before * width_;
  width_ *= merged;
}

double expected_noise(const GrowingHistogram& histogram, const QuantisationParameters& parameters) {
  const auto zero_point = parameters.zero_point.item<std::int32_t>();
  return noise_of(histogram, static_cast<double>(parameters.scale.item<float>()), parameters.least - zero_point,
                  parameters.most - zero_point);
}

HistogramObserver::HistogramObserver(const QuantisationGrid& grid, std::int64_t axis, std::size_t bins)
    : RangeObserver(grid, axis), bins_(bins) {
  if (bins < 2) throw std::invalid_argument("a histogram has 2 bins at least");
}

void HistogramObserver::take(const std::vector<std::vector<float>>& channels) {
  while (histograms_.size() < channels.size()) histograms_.emplace_back(bins_);
  for (std::size_t i = 0; i < channels.size(); ++i) histograms_[i].add(channels[i]);
}

RangeObserver::Range HistogramObserver::best_range(const GrowingHistogram& histogram) const {
  const float low = std::min(histogram.least(), 0.0f), high = std::max(histogram.most(), 0.0f);
  const auto noise = [&](float from, float to) {
    const TriedGrid tried(from, to, grid());
    return noise_of(histogram, tried.scale, tried.least, tried.most);
  };
  const auto part = [](float whole, double share) { return static_cast<float>(static_cast<double>(whole) * share); };
  const double both = best_share([&](double share) { return noise(part(low, share), part(high, share)); });
  Range best{part(low, both), part(high, both)};
  if (grid().is_symmetric || low == 0 || high == 0) return best;
  constexpr int kMostTurns = 8;
  double least = noise(best.least, best.most);
  for (int turn = 0; turn < kMostTurns; ++turn) {
    Range next = best;
    next.most = part(high, best_share([&](double share) { return noise(next.least, part(high, share)); }));
    next.least = part(low, best_share([&](double share) { return noise(part(low, share), next.most); }));
    const double found = noise(next.least, next.most);
    if (!(found < least)) break;
    least = found;
    best = next;
  }
  return best;
}

std::vector<RangeObserver::Range> HistogramObserver::ranges() const {
  std::vector<Range> chosen;
  for (const GrowingHistogram& histogram : histograms_) chosen.push_back(best_range(histogram));
  return chosen;
}

std::unique_ptr<RangeObserver> make_observer(ObserverKind kind, const QuantisationGrid& grid, std::int64_t axis) {
  constexpr double kAveraging = 0.01;
  switch (kind) {
    case ObserverKind::min_max: return std::make_unique<MinMaxObserver>(grid, axis);
    case ObserverKind::moving_average: return std::make_unique<MinMaxObserver>(grid, axis, kAveraging);
    case ObserverKind::histogram: return std::make_unique<HistogramObserver>(grid, axis);
  }
  throw std::invalid_argument("no such observer");
}

}  // namespace vigil
