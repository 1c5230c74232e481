// Pruning: weights that are set to zero, and stay so while training goes on.
//
//   vigil::PruningMasks masks(*model);                       // the weights of its layers
//   masks.prune(vigil::PruningAmount::share(0.5));           // the smaller half of them all
//   for (auto& batch : *loader) {
//     ...
//     optimizer.step();
//     masks.apply();                                         // zero again, whatever the optimizer did
//   }
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "vigil/model/prunable_parameters.h"

namespace vigil {

/// How much to prune: of the weights, or of the channels, that are not pruned yet.
class PruningAmount {
 public:
  /// 0 to 1. Of n it is `share * n`, rounded to the nearest whole number, and a half to the even one, as torch.nn.utils.prune does.
  /// @throws std::invalid_argument out of that range, and for NaN
  static PruningAmount share(double share);
  /// As it is. @throws std::invalid_argument below 0
  static PruningAmount count(std::int64_t count);

  /// Of n that are there. @throws std::invalid_argument for a count above n
  std::uint64_t of(std::uint64_t n) const;

 private:
  bool is_share_ = true;
  double share_ = 0;
  std::uint64_t count_ = 0;
};

/// Which ones go first. Of those that are equal, the ones with the lowest index, in row-major order; over several tensors, those of the
/// tensor that comes first.
struct PruningMethod {
  enum class Kind : std::uint8_t {
    l1,               ///< weights by their magnitude, the smallest first
    random,           ///< weights, each as likely as the others
    ln_channels,      ///< whole slices along `dim` by their norm, the smallest first (Ln structured)
    random_channels,  ///< whole slices along `dim`, each as likely as the others
  };
  enum class Scope : std::uint8_t {
    global,  ///< the amount is of all chosen tensors together; for weights only
    layer,   ///< the amount is of each tensor
  };
  Kind kind = Kind::l1;
  Scope scope = Scope::global;  ///< channels go by layer whatever this says: norms of layers of different shapes do not compare
  std::int64_t dim = 0;         ///< of channels; 0 are a Linear's or Conv's outputs, 1 its inputs; negative: from the end
  double norm = 2;              ///< above 0; infinity: the largest magnitude
  std::uint64_t seed = 0;       ///< of the random kinds; with the same seed and model the same weights, on every machine

  bool takes_channels() const noexcept { return kind == Kind::ln_channels || kind == Kind::random_channels; }
};

/// The masks of a model's pruned parameters. Takes one byte for each of their elements. Refers to the parameters, whose shapes stay as they
/// are; they may be loaded anew, and the module moved to another device or floating-point type. Not for several threads at once.
class PruningMasks {
 public:
  /// Nothing is pruned yet. @throws std::invalid_argument as prunable_parameters() does
  explicit PruningMasks(const torch::nn::Module& module, const PruningTargets& targets = {});
  explicit PruningMasks(std::vector<PrunableParameter> parameters);

  /// Prunes `amount` of what is left: 50 % twice are 75 %. A channel is left while one of its weights is. Weights become +0.
  /// @throws std::invalid_argument for an amount, norm or dimension that does not fit, and naming every chosen tensor that has NaN or Inf;
  /// nothing is changed then
  void prune(const PruningAmount& amount, const PruningMethod& method = {});

  /// Prunes until `sparsity`, 0 to 1, of the weights (of the channels) are pruned, rounded as above, of all together or of each tensor, by
  /// the method's scope. Where as many are already, nothing happens: nothing grows back. @throws as prune()
  void prune_to(double sparsity, const PruningMethod& method = {});

  /// Sets the pruned weights to +0, whatever was written there, NaN and Inf too. After each step of the optimizer: momentum and weight
  /// decay move pruned weights as well. Elsewhere it is as good as any other write to parameters: not between a forward pass and its
  /// backward. Allocates nothing for parameters on the CPU that are as they were. False when one is not as it should be; the others are
  /// done, and failure() says why.
  bool apply() noexcept;

  /// Sets the gradients of pruned weights to +0. Not needed for the weights, which apply() sees to, but then their gradients count in no
  /// norm (clipping, monitoring) and leave nothing in the optimizer's state. Before clipping and the step; after TrainingMonitor's
  /// after_backward(), which else would not see that they are NaN. Result as of apply().
  bool mask_gradients() noexcept;

  /// Why apply() or mask_gradients() has returned false, the first time that one did; else empty.
  const std::string& failure() const noexcept { return failure_; }

  /// Applies the masks a last time and forgets them: the zeros are weights like the others now. False as of apply(), and then nothing is
  /// forgotten.
  bool make_permanent() noexcept;

  std::uint64_t element_count() const noexcept;  ///< of the chosen parameters
  std::uint64_t pruned_count() const noexcept;   ///< of them by a mask; a weight that happens to be zero is not among them
  double sparsity() const noexcept;              ///< pruned_count() / element_count(); 0 without elements

  const std::vector<PrunableParameter>& parameters() const noexcept { return parameters_; }
  /// Of one of parameters(): its shape, bool, true where a weight is kept; a copy. @throws std::out_of_range
  at::Tensor kept(std::size_t index) const;

  friend PruningMasks masks_from_zeros(const torch::nn::Module& module, const PruningTargets& targets);

 private:
  struct Mask {
    at::Tensor pruned;  // bool, of the parameter's strides, so that both lie in the same order
    std::uint64_t count = 0;
  };

  template <class Count>
  void prune_by(const PruningMethod& method, Count count);
  void set_masks(std::vector<at::Tensor> pruned);
  bool clear_all(bool of_gradients) noexcept;
  void fail(const std::string& name, const char* reason) noexcept;

  std::vector<PrunableParameter> parameters_;
  std::vector<Mask> masks_;
  std::string failure_;
};

/// Takes every weight that is zero for pruned, so that a model that was loaded stays pruned: masks are not saved, zeros are.
PruningMasks masks_from_zeros(const torch::nn::Module& module, const PruningTargets& targets = {});

}  // namespace vigil
