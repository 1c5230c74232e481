// What one pass over the elements of each tensor of a model tells: the source of checks, differences, fingerprints and tables.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "vigil/inspection/hash128.h"
#include "vigil/inspection/model_tensor.h"
#include "vigil/monitor/magnitude_histogram.h"
#include "vigil/monitor/moments.h"

namespace vigil {

/// Of one tensor. Numbers of bool and integers are those of their conversion to double, of quantised types the stored integers, of complex
/// ones the real and the imaginary parts, each an element of its own; counts are exact in all.
struct TensorReading {
  Moments moments;
  MagnitudeHistogram magnitudes;
  /// Elements that are not zero and below the smallest normal number of their type: 2^-126 for float32 and bfloat16, 2^-14 for float16,
  /// 2^-1022 for float64. 0 for other types.
  std::uint64_t denormals = 0;
  std::optional<std::uint64_t> first_nan, first_inf;  ///< of all elements in row-major order, from 0
  /// All elements have the same value, and none is NaN or infinite; false without an element. -0 equals 0.
  bool is_constant = false;
  Hash128 hash{};     ///< XXH3-128 of the elements' bytes in row-major order, little-endian
  std::string error;  ///< why the elements could not be read as a whole; then nothing else here means anything
};

struct ReadingOptions {
  unsigned threads = 0;  ///< 0: as many as the machine runs at once
  /// Bytes of elements read so far, and of all. Called from any of the threads, by one at a time, after some of the pieces; must not throw.
  std::function<void(std::uint64_t done, std::uint64_t all)> progress = {};
};

/// One reading for each tensor, in their order; those that have the same `elements`, type and sizes are read once. Several are read at
/// once, the largest first, and each by one thread. Figures are the same on any number of threads; the hash also however the elements are
/// cut into pieces. A tensor that cannot be read, or has no elements to read, has an error in its reading. @throws std::bad_alloc
std::vector<TensorReading> read_tensors(const std::vector<ModelTensor>& tensors, const ReadingOptions& options = {});

}  // namespace vigil
