// The parameters of a model with what their layers do with them: how many values are summed into one, and by which blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace torch {
namespace nn {
class Module;
}
namespace jit {
struct Module;
}
}  // namespace torch

namespace vigil {

enum class LayerKind : std::uint8_t {
  other,  ///< unknown: its parameters have fans by their dimensions, as in torch.nn.init
  linear,
  bilinear,
  convolution,
  transposed_convolution,
  embedding,
  normalisation,
  recurrent,
  attention,
};

struct LayerParameter {
  std::string path;       ///< `conv1.weight`
  std::string module;     ///< path of the layer that owns it: `conv1`; empty at the root
  std::string type;       ///< `Conv2d`, also for torch::nn::Conv2dImpl and __torch__.….Conv2d; guessed from sizes where a file has none
  std::string parameter;  ///< `weight`
  LayerKind kind = LayerKind::other;
  at::Tensor tensor;                     ///< defined; shares the model's memory
  std::vector<std::string> other_paths;  ///< of the same tensor
  std::int64_t groups = 1;               ///< of a convolution
  std::int64_t blocks = 1;               ///< matrices that lie one below the other: gates of a recurrent layer, query, key and value
  std::int64_t hidden = 0;               ///< of a recurrent layer: the size of its state
  std::optional<std::int64_t> padding;   ///< row of an embedding that stays 0
  at::Tensor weight;                     ///< of a bias: the weight of its layer, if there is one
};

/// Each tensor once, under its first name in a layer of a known kind, else under its first; in the order of the modules (depth first, a
/// module before its children) and of their parameters.
std::vector<LayerParameter> layer_parameters(const torch::nn::Module& module);
/// Of a TorchScript module, and of an archive of torch::save() that torch::jit::load() has read. The latter tells no types, so they are
/// guessed: two dimensions are Linear, three to five Conv1d to Conv3d, one is LayerNorm, or BatchNorm beside a running mean; names tell
/// LSTM, GRU, RNN and MultiheadAttention. A guess takes embeddings for Linear and transposed convolutions for convolutions of one group.
std::vector<LayerParameter> layer_parameters(const torch::jit::Module& module);

/// Values that are summed into one of the output, and outputs that one of the input goes into.
struct Fans {
  std::int64_t in = 0, out = 0;
};

/// Of one block of a weight of at least two dimensions; nothing for others. Linear [out, in]: (in, out). Convolution
/// [out, in/groups, kernel…]: (in/groups, out/groups) times the positions of the kernel. Transposed convolution [in, out/groups, kernel…]:
/// (in/groups, out/groups) times the positions, strides not counted. Embedding [rows, size]: (1, size), as one row is looked up. Bilinear
/// [out, in1, in2]: (in1·in2, out). torch.nn.init takes sizes 1 and 0 for all, without groups.
std::optional<Fans> fans_of(const LayerParameter& parameter);

}  // namespace vigil
