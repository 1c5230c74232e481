// Which elements of tensors go first when they are pruned.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace vigil {

/// A tensor and what of it is pruned; both on the CPU and contiguous, of the same shape.
struct PruningCandidate {
  at::Tensor values;  ///< float32, float64, float16 or bfloat16
  at::Tensor pruned;  ///< bool; written to
};

/// How many values are NaN, and how many infinite.
struct NonfiniteCount {
  std::uint64_t nan = 0, infinite = 0;
};
NonfiniteCount count_nonfinite(const at::Tensor& values);

std::uint64_t count_pruned(const PruningCandidate& candidate);

/// Marks the `count` smallest by magnitude of those that are not pruned; of equal ones those that come first. `count` is at most their
/// number, and all are finite. Exact, in time linear in the elements and without a copy of them.
void select_smallest(std::vector<PruningCandidate>& candidates, std::uint64_t count);

/// Marks `count` of those that are not pruned; each choice of so many is as likely (Knuth, TAOCP 3.4.2, algorithm S).
void select_random(std::vector<PruningCandidate>& candidates, std::uint64_t count, std::mt19937_64& generator);

/// The slices of one candidate along a dimension.
struct PruningChannels {
  std::vector<double> norms;       ///< of all
  std::vector<std::int64_t> left;  ///< indices of those with an element that is not pruned
};
PruningChannels channels_of(const PruningCandidate& candidate, std::int64_t dim, double norm);

/// Of `left` the `count` ones to prune: by norm, or at random.
std::vector<std::int64_t> smallest_channels(const PruningChannels& channels, std::uint64_t count);
std::vector<std::int64_t> random_channels(const PruningChannels& channels, std::uint64_t count, std::mt19937_64& generator);

void mark_channels(PruningCandidate& candidate, std::int64_t dim, const std::vector<std::int64_t>& channels);

}  // namespace vigil
