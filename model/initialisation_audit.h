// Judges how a model begins: its weights, and what one batch does in it, forward and backward.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "vigil/model/layer_parameters.h"
#include "vigil/monitor/moments.h"
#include "vigil/terminal/text_style.h"

namespace vigil {

/// Where the verdicts begin.
struct AuditOptions {
  /// Measured std over that of the scheme that comes nearest; beyond these a weight is too small or too large.
  double smallest_ratio = 0.5, largest_ratio = 2;
  /// Largest over smallest of a figure of all layers, as fitted over the depth; beyond it a signal or gradient vanishes or explodes.
  double depth_ratio = 10;
  /// Largest over smallest variance of weights: SageMaker Debugger's PoorWeightInitialization. It is told of, and decides nothing.
  double variance_ratio = 10;
  /// Share of units behind a relu that are 0 for the whole batch. Half are, where the examples of a batch are much alike.
  double dead_share = 0.75;
  /// Share of inputs of tanh and sigmoid at which their derivative is below 1 % of its largest (|x| > 2.99 and > 5.99).
  double saturated_share = 0.5;
  bool backward = true;  ///< false: the gradient is not looked at
  /// A scalar of the forward's result; empty: its mean square.
  std::function<at::Tensor(const at::Tensor& output)> loss;
};

enum class AuditFinding : std::uint8_t {
  nonfinite_weights,
  all_zero,   ///< a weight
  constant,   ///< all elements of a weight are the same: all units of the layer stay equal
  symmetric,  ///< rows of a weight are equal: these units stay equal
  too_small,  ///< smallest_ratio
  too_large,  ///< largest_ratio
  nonfinite_output,
  constant_output,  ///< the same value everywhere: nothing of the input comes through
  dead,             ///< dead_share
  saturated,        ///< saturated_share
  no_gradient,      ///< a weight that has a gradient of 0 only
};

std::string_view name_of(AuditFinding finding) noexcept;

/// A weight of at least two dimensions.
struct WeightAudit {
  std::string path;
  std::vector<std::int64_t> sizes;
  std::optional<Fans> fans;
  Moments moments;
  std::string nearest_scheme;  ///< "kaiming, relu"; empty where no scheme is known for it
  double nearest_std = 0;
  double ratio = 0;                 ///< measured std over `nearest_std`; NaN without one
  std::int64_t rows = 0;            ///< units: of all blocks
  std::int64_t equal_rows = 0;      ///< rows that an earlier one equals, bit by bit
  std::optional<Moments> gradient;  ///< of it; nothing without a backward pass, or when it is not in it
};

/// What came out of a layer in the forward pass.
struct SignalAudit {
  Moments output;                                  ///< over all calls; before the activation
  double input_std = 0;                            ///< of what went in first; NaN for whole numbers
  std::string activation;                          ///< the operator that follows: "relu"; through a normalisation, too. Empty: none
  std::uint64_t units = 0, dead_units = 0;         ///< behind a relu, with at least 8 values each
  std::uint64_t values = 0, saturated_values = 0;  ///< that went into tanh or sigmoid
  std::optional<Moments> gradient;                 ///< with respect to the output
};

struct LayerAudit {
  std::string path;  ///< of the module; of parameters of the root the operator
  std::string type;
  LayerKind kind = LayerKind::other;
  std::vector<WeightAudit> weights;
  double bias_mean = 0;               ///< of its biases; 0 without one
  std::optional<SignalAudit> signal;  ///< nothing without a forward pass, or when it did not reach the layer
  std::vector<AuditFinding> findings;
  std::vector<std::string> advice;  ///< one for each finding: what was found, and what to do
};

/// A figure along the depth: exp of the least-squares line through the logarithms of all layers.
struct DepthTrend {
  double factor = 1;       ///< from one layer to the next; the gradient's from one to the one before
  double total = 1;        ///< from the first to the last
  std::size_t layers = 0;  ///< 0: too few to tell (below 3)
};

struct InitialisationAudit {
  std::vector<LayerAudit> layers;  ///< as they ran; then those that did not, as the model has them
  /// Largest over smallest variance of the weights (not of embeddings and norms), and the same of variance · fan_in, which does not depend
  /// on the layers' sizes. 1 with fewer than two.
  double variance_ratio = 1, scaled_variance_ratio = 1;
  DepthTrend signal;    ///< of the std of the outputs of linear layers and convolutions
  DepthTrend gradient;  ///< of the Euclidean norm of the gradients with respect to them
  bool has_forward = false, has_backward = false;
  std::string backward_problem;     ///< why there was none, although it was asked for
  std::vector<std::string> advice;  ///< what is wrong with the model as a whole
  std::vector<std::string> notes;   ///< what is no fault, but should be known

  /// No finding in any layer, and no advice for the whole.
  bool is_good() const;
};

/// Runs `forward` once, with gradients enabled and in the module's own mode (training or evaluation), and one backward pass from its result
/// to the layers. Afterwards all is as before: parameters, gradients, buffers, modes, random generators. What the pass needs of memory
/// stays until the end. On the thread that calls.
///
/// C++ modules have no common forward(), so the program gives one: `[&] { return net->forward(batch); }`. A batch of at least 32 examples
/// of the real data says most.
///
/// @throws what `forward` throws, with all restored; std::runtime_error when too many observers of operators are attached
InitialisationAudit audit_initialisation(torch::nn::Module& module, const std::function<at::Tensor()>& forward,
                                         const AuditOptions& options = {});

/// The weights alone.
InitialisationAudit audit_initialisation(const torch::nn::Module& module, const AuditOptions& options = {});

/// Of parameters from elsewhere, such as a TorchScript module; `forward` may be empty.
InitialisationAudit audit_initialisation(const std::vector<LayerParameter>& parameters,
                                         const std::vector<std::pair<std::string, at::Tensor>>& buffers,
                                         const std::function<at::Tensor()>& forward, const AuditOptions& options = {});

/// For a module whose forward() takes the example and gives one tensor: `audit_initialisation(net, example)`.
template <class Holder>
InitialisationAudit audit_initialisation(Holder& module, const at::Tensor& example, const AuditOptions& options = {}) {
  return audit_initialisation(*module, std::function<at::Tensor()>([&] { return module->forward(example); }), options);
}

/// A table of the layers, what is advised for them and for the whole.
std::string audit_text(const InitialisationAudit& audit, const OutputPlace& place);

}  // namespace vigil
