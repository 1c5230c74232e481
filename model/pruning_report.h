// What pruning has made of a model: zeros, and the bytes that they save where they are left out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include "vigil/model/prunable_parameters.h"
#include "vigil/terminal/text_style.h"

namespace vigil {

/// Bytes of a tensor with n elements of e bytes, z of them zero, k = n - z.
struct PrunedBytes {
  std::uint64_t dense = 0;  ///< n e
  std::uint64_t csr = 0;    ///< k (e + i) + (r + 1) i, as a matrix of r = its first size rows; i = 4 bytes, or 8 from 2^31 columns or k on
  std::uint64_t coo = 0;    ///< k (e + 8 d), d = its dimensions, with the indices of int64 that libtorch has
  std::uint64_t bitmask = 0;  ///< k e + ⌈n / 8⌉: a bit for each element, and those that are not zero
  std::uint64_t smallest() const noexcept;
};

struct PrunedTensor {
  std::string name;
  std::vector<std::int64_t> sizes;
  std::uint64_t elements = 0, zeros = 0;
  PrunedBytes bytes;
  /// Slices along the first and the second dimension that are all zero: outputs and inputs of a Linear or Conv. 0 where there is no such
  /// dimension.
  std::int64_t zero_outputs = 0, zero_inputs = 0;

  double sparsity() const noexcept;  ///< zeros / elements; 0 without elements
  /// Of a layer without those slices. A bias of a removed output still adds to what follows, unless it is zero as well.
  std::vector<std::int64_t> smaller_sizes() const;
  std::uint64_t smaller_bytes() const noexcept;
};

struct PruningReport {
  std::vector<PrunedTensor> tensors;  ///< the chosen ones
  PrunedTensor others;                ///< the other parameters and the buffers together; they stay dense in each format
  std::uint64_t other_count = 0;
  PrunedTensor total() const;  ///< of all; sizes are empty
};

/// Of one tensor: dense, of any type. An element is zero when it equals 0, so -0 is one, and NaN is none.
PrunedTensor pruned_tensor(const std::string& name, const at::Tensor& tensor);

/// `all` are the model's tensors, and `chosen` those of them that are told one by one; of several that share memory one counts.
PruningReport pruning_report(const std::vector<PrunableParameter>& all, const std::vector<PrunableParameter>& chosen);
/// Of a module's parameters and buffers. @throws std::invalid_argument as prunable_parameters() does
PruningReport pruning_report(const torch::nn::Module& module, const PruningTargets& targets = {});

/// A table of what was, and what is: both of the same model. Lines end with newlines.
std::string pruning_text(const PruningReport& before, const PruningReport& after, const OutputPlace& place);

}  // namespace vigil
