#include "vigil/model/pruning_selection.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "vigil/monitor/dtype.h"
#include "vigil/operators/torch_version.h"

namespace vigil {
namespace {

constexpr std::uint64_t kInfinity = 0x7ff0000000000000ULL;

// The magnitude of a float, as the bits of a double: they are in the order of the magnitudes, whatever the types. Subnormals are not left
// to a conversion, which a thread that flushes them would make zeros of.
std::uint64_t magnitude_of_float(std::uint32_t bits) noexcept {
  bits &= 0x7fffffffU;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  const double wide = bits < 0x00800000U ? static_cast<double>(bits) * 0x1p-149 : static_cast<double>(value);
  std::uint64_t magnitude;
  std::memcpy(&magnitude, &wide, sizeof magnitude);
  return magnitude;
}

struct Float32Magnitude {
  using Word = std::uint32_t;
  static std::uint64_t of(Word bits) noexcept { return magnitude_of_float(bits); }
};
struct Float64Magnitude {
  using Word = std::uint64_t;
  static std::uint64_t of(Word bits) noexcept { return bits & 0x7fffffffffffffffULL; }
};
struct BFloat16Magnitude {
  using Word = std::uint16_t;
  static std::uint64_t of(Word bits) noexcept { return magnitude_of_float(std::uint32_t{bits} << 16); }
};
struct Float16Magnitude {
  using Word = std::uint16_t;
  static std::uint64_t of(Word bits) noexcept {
    const float value = float_from_float16(bits);
    std::uint32_t wide;
    std::memcpy(&wide, &value, sizeof wide);
    return magnitude_of_float(wide);
  }
};

template <class Magnitude, class Use>
void for_each_magnitude_of(const at::Tensor& values, Use& use) {
  const auto* words = static_cast<const typename Magnitude::Word*>(read_pointer(values));
  const auto count = static_cast<std::size_t>(values.numel());
  for (std::size_t i = 0; i < count; ++i) use(i, Magnitude::of(words[i]));
}

// `use(index, magnitude)`, in row-major order.
template <class Use>
void for_each_magnitude(const at::Tensor& values, Use use) {
  switch (values.scalar_type()) {
    case at::kFloat: return for_each_magnitude_of<Float32Magnitude>(values, use);
    case at::kDouble: return for_each_magnitude_of<Float64Magnitude>(values, use);
    case at::kBFloat16: return for_each_magnitude_of<BFloat16Magnitude>(values, use);
    case at::kHalf: return for_each_magnitude_of<Float16Magnitude>(values, use);
    default: throw std::invalid_argument("weights of this type cannot be pruned");
  }
}

double value_of(std::uint64_t magnitude) noexcept {
  double value;
  std::memcpy(&value, &magnitude, sizeof value);
  return value;
}

bool* pruned_in(PruningCandidate& candidate) { return static_cast<bool*>(candidate.pruned.data_ptr()); }
const bool* pruned_in(const PruningCandidate& candidate) { return static_cast<const bool*>(read_pointer(candidate.pruned)); }

// The magnitude at which the `count` smallest end, and how many of those that are equal to it are among them.
struct Threshold {
  std::uint64_t magnitude, equal;
};

// Sixteen bits of the magnitude in each pass, the highest first: a count for each of their values says in which one the threshold lies.
Threshold find_threshold(const std::vector<PruningCandidate>& candidates, std::uint64_t count) {
  std::vector<std::uint64_t> counts(std::size_t{1} << 16);
  std::uint64_t prefix = 0, left = count;
  for (int shift = 48; shift >= 0; shift -= 16) {
    std::fill(counts.begin(), counts.end(), 0);
    const std::uint64_t fixed = shift == 48 ? 0 : ~std::uint64_t{0} << (shift + 16);
    for (const PruningCandidate& candidate : candidates) {
      const bool* pruned = pruned_in(candidate);
      for_each_magnitude(candidate.values, [&](std::size_t i, std::uint64_t magnitude) {
        if ((magnitude & fixed) == prefix && !pruned[i]) ++counts[(magnitude >> shift) & 0xffff];
      });
    }
    std::uint64_t digit = 0;
    while (left > counts[digit]) left -= counts[digit++];
    prefix |= digit << shift;
  }
  return {prefix, left};
}

// Below `bound`, each number as likely. The standard's distributions differ between libraries.
std::uint64_t random_below(std::uint64_t bound, std::mt19937_64& generator) {
  const std::uint64_t uneven = (std::mt19937_64::max() % bound + 1) % bound;
  for (;;) {
    const std::uint64_t drawn = generator();
    if (drawn <= std::mt19937_64::max() - uneven) return drawn % bound;
  }
}

// An element at (before, channel, after) lies at (before * channels + channel) * after_size + after.
struct ChannelLayout {
  std::int64_t before = 1, channels = 1, after = 1;
};

ChannelLayout layout_of(const at::Tensor& tensor, std::int64_t dim) {
  ChannelLayout layout;
  for (std::int64_t d = 0; d < tensor.dim(); ++d) (d < dim ? layout.before : d == dim ? layout.channels : layout.after) *= tensor.size(d);
  return layout;
}

}  // namespace

NonfiniteCount count_nonfinite(const at::Tensor& values) {
  NonfiniteCount counted;
  for_each_magnitude(values, [&](std::size_t, std::uint64_t magnitude) {
    counted.nan += magnitude > kInfinity;
    counted.infinite += magnitude == kInfinity;
  });
  return counted;
}

std::uint64_t count_pruned(const PruningCandidate& candidate) {
  const bool* pruned = pruned_in(candidate);
  return static_cast<std::uint64_t>(std::count(pruned, pruned + candidate.pruned.numel(), true));
}

void select_smallest(std::vector<PruningCandidate>& candidates, std::uint64_t count) {
  if (count == 0) return;
  Threshold threshold = find_threshold(candidates, count);
  for (PruningCandidate& candidate : candidates) {
    bool* pruned = pruned_in(candidate);
    for_each_magnitude(candidate.values, [&](std::size_t i, std::uint64_t magnitude) {
      if (pruned[i] || magnitude > threshold.magnitude) return;
      if (magnitude == threshold.magnitude) {
        if (threshold.equal == 0) return;
        --threshold.equal;
      }
      pruned[i] = true;
    });
  }
}

void select_random(std::vector<PruningCandidate>& candidates, std::uint64_t count, std::mt19937_64& generator) {
  std::uint64_t left = 0;
  for (const PruningCandidate& candidate : candidates)
    left += static_cast<std::uint64_t>(candidate.pruned.numel()) - count_pruned(candidate);
  for (PruningCandidate& candidate : candidates) {
    bool* pruned = pruned_in(candidate);
    const std::int64_t elements = candidate.pruned.numel();
    for (std::int64_t i = 0; i < elements && count > 0; ++i) {
      if (pruned[i]) continue;
      if (random_below(left--, generator) >= count) continue;
      pruned[i] = true;
      --count;
    }
  }
}

PruningChannels channels_of(const PruningCandidate& candidate, std::int64_t dim, double norm) {
  const ChannelLayout layout = layout_of(candidate.values, dim);
  const auto channels = static_cast<std::size_t>(layout.channels);
  const auto channel_at = [&](std::size_t i) { return i / static_cast<std::size_t>(layout.after) % channels; };
  const bool* pruned = pruned_in(candidate);
  const bool is_largest = norm == std::numeric_limits<double>::infinity();
  std::vector<double> norms(channels);
  std::vector<char> is_left(channels);
  for_each_magnitude(candidate.values, [&](std::size_t i, std::uint64_t magnitude) {
    const double value = value_of(magnitude);
    const std::size_t channel = channel_at(i);
    if (!pruned[i]) is_left[channel] = 1;
    if (is_largest) {
      norms[channel] = std::max(norms[channel], value);
    } else {
      norms[channel] += norm == 1 ? value : norm == 2 ? value * value : std::pow(value, norm);
    }
  });
  PruningChannels found;
  for (std::size_t c = 0; c < channels; ++c) {
    if (!is_largest && norm != 1) norms[c] = norm == 2 ? std::sqrt(norms[c]) : std::pow(norms[c], 1 / norm);
    if (is_left[c]) found.left.push_back(static_cast<std::int64_t>(c));
  }
  found.norms = std::move(norms);
  return found;
}

std::vector<std::int64_t> smallest_channels(const PruningChannels& channels, std::uint64_t count) {
  std::vector<std::int64_t> chosen = channels.left;
  std::stable_sort(chosen.begin(), chosen.end(), [&](std::int64_t left, std::int64_t right) {
    return channels.norms[static_cast<std::size_t>(left)] < channels.norms[static_cast<std::size_t>(right)];
  });
  chosen.resize(count);
  return chosen;
}

std::vector<std::int64_t> random_channels(const PruningChannels& channels, std::uint64_t count, std::mt19937_64& generator) {
  std::vector<std::int64_t> chosen;
  std::uint64_t left = channels.left.size();
  for (const std::int64_t channel : channels.left) {
    if (random_below(left--, generator) < count - chosen.size()) chosen.push_back(channel);
  }
  return chosen;
}

void mark_channels(PruningCandidate& candidate, std::int64_t dim, const std::vector<std::int64_t>& channels) {
  const ChannelLayout layout = layout_of(candidate.pruned, dim);
  bool* pruned = pruned_in(candidate);
  for (std::int64_t before = 0; before < layout.before; ++before) {
    for (const std::int64_t channel : channels)
      std::fill_n(pruned + (before * layout.channels + channel) * layout.after, layout.after, true);
  }
}

}  // namespace vigil
