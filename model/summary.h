// A model as a table: its modules, what goes in and comes out of them, and what they cost.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include "vigil/model/parameter_count.h"
#include "vigil/terminal/text_style.h"

namespace vigil {

/// Sizes and figures are 0 or nothing where no forward pass was run, or where the module was not seen in it.
struct ModuleSummary {
  ModuleCount count;                                ///< path, type, depth, parent, parameters and buffers
  double share = 0;                                 ///< of all parameters, those below it included; 0 to 1
  std::uint64_t calls = 0;                          ///< in the pass
  std::optional<std::vector<std::int64_t>> input;   ///< sizes of the first tensor that went in, of the first call
  std::optional<std::vector<std::int64_t>> output;  ///< of the first that came out
  std::vector<std::int64_t> kernel;                 ///< of a convolution or pooling, else empty
  std::uint64_t own_macs = 0;                       ///< multiply-accumulates of all calls, not those of modules below it
  std::uint64_t macs = 0;                           ///< with those below it
  std::uint64_t activation_bytes = 0;               ///< what came out of modules that have parameters, of it and below it
};

struct ModelSummary {
  std::vector<ModuleSummary> modules;  ///< depth first, the root first
  TensorCount total;
  std::vector<TypeCount> by_type;
  bool has_forward = false;
  std::uint64_t macs = 0;
  std::uint64_t operators = 0;       ///< that the program called in the pass
  std::uint64_t lost_operators = 0;  ///< that could not be followed; not 0: figures of the pass are too small
  std::uint64_t input_bytes = 0;
  std::uint64_t activation_bytes = 0;

  /// As torchinfo estimates: the outputs of all modules that have parameters, and a gradient of each.
  std::uint64_t pass_bytes() const noexcept { return 2 * activation_bytes; }
  /// Parameters, inputs and pass.
  std::uint64_t total_bytes() const noexcept { return total.parameter_bytes + input_bytes + pass_bytes(); }
};

/// Runs `forward` once, in evaluation mode and without gradients, and watches its operators. Modes are restored, also when it throws;
/// a batch of one example will do. `inputs` are the tensors that it takes, for their bytes and sizes.
///
/// Multiply-accumulates are those of multiply_accumulates() (operators/operation_cost.h), so attention has its products; none is lost: what
/// no module can be told for is the root's. C++ modules have no hooks, so who ran what is inferred from the parameters that operators use
/// and from where their data goes: an operator without parameters belongs to the deepest module that has both what it follows and what uses
/// its result. Sizes that this leaves open are left out.
///
/// On the thread that calls. @throws what `forward` throws; std::runtime_error when too many observers of operators are attached
ModelSummary model_summary(torch::nn::Module& module, const std::function<at::Tensor()>& forward, const std::vector<at::Tensor>& inputs);

/// The parameters alone.
ModelSummary model_summary(const torch::nn::Module& module);
ModelSummary model_summary(const torch::jit::Module& module);

/// Of a TorchScript module, with forward() as its code has it, not optimised, so that libtorch tells which module runs what. Runs a copy that
/// shares the tensors and is in evaluation mode, whose types libtorch keeps: not for every step.
/// @throws c10::Error, std::exception what the code throws
ModelSummary model_summary(torch::jit::Module& module, const std::vector<c10::IValue>& inputs);

inline const at::Tensor& first_result(const at::Tensor& result) { return result; }
template <class... Others>
const at::Tensor& first_result(const std::tuple<at::Tensor, Others...>& result) {
  return std::get<0>(result);
}

/// For a module whose forward() takes these tensors and gives one, or a tuple that begins with one: `model_summary(net, tokens, mask)`.
template <class Holder, class... Inputs,
          class = decltype(std::declval<Holder&>()->forward(std::declval<const at::Tensor&>(), std::declval<const Inputs&>()...))>
ModelSummary model_summary(Holder& module, const at::Tensor& input, const Inputs&... more) {
  const auto forward = [&] { return at::Tensor(first_result(module->forward(input, more...))); };
  return model_summary(*module, std::function<at::Tensor()>(forward), std::vector<at::Tensor>{input, more...});
}

struct SummaryTextOptions {
  int depth = 100;  ///< levels of modules that are shown; those below count with those above
};

/// A table of the modules and the totals. Columns are left out where `place` is too narrow.
std::string summary_text(const ModelSummary& summary, const OutputPlace& place, const SummaryTextOptions& options = {});

/// An object: "total", and "modules" with all of them. What is not known is null.
std::string summary_json(const ModelSummary& summary);

}  // namespace vigil
